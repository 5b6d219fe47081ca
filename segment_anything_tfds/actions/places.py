"""Where results go: files here or in a bucket, folders here alone."""

from __future__ import annotations

import os
import pathlib

from segment_anything_tfds.actions.choosing import ArgumentError, Path, served
from segment_anything_tfds.source.archive import paths


def local_folder(option: str, path: Path) -> pathlib.Path:
    """The folder to write into.

    Raises:
      ArgumentError: it is not on this computer.
    """
    text = os.fspath(path)
    if '://' in text or text.startswith(('s3:/', 'gs:/')):
        raise ArgumentError(
            f'--{option}: expected a folder on this computer; got {text}. Write into a folder here,'
            ' then copy it, or mount the bucket.'
        )
    return pathlib.Path(text)


def check_file(option: str, path: Path | None) -> None:
    """Makes sure, before the work, that a result can be written there.

    Raises:
      ArgumentError: it is no place to write to.
    """
    if path is None:
        return
    try:
        with served(path):
            target = paths.open_path(os.fspath(path))
            if target.is_dir():
                raise ArgumentError(f'--{option}: expected a file; got the folder {target}')
            target.parent.mkdir(parents=True, exist_ok=True)
    except ArgumentError:
        raise
    except ValueError as error:
        raise ArgumentError(f'--{option}: {error}') from None


def save(path: Path, data: bytes) -> None:
    """Writes a file, and the folder that it is in."""
    target = paths.open_path(os.fspath(path))
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(data)
