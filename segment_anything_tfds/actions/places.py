"""Where results go: files here or in a bucket, folders here alone."""

from __future__ import annotations

import contextlib
import os
import pathlib
from collections.abc import Iterator

from segment_anything_tfds.actions.choosing import ArgumentError, Path
from segment_anything_tfds.source.archive import paths
from segment_anything_tfds.source.remote import redaction


def local_folder(option: str, path: Path) -> pathlib.Path:
    """Gives the folder to write into.

    Raises:
      ArgumentError: it is not on this computer.
    """
    text = os.fspath(path)
    if '://' not in text:
        with _refused(option, path):
            return paths.open_path(text)
    raise ArgumentError(
        f'--{option}: expected a folder on this computer; got {redaction.redact(text)}. Write into'
        ' a folder here, then copy it, or mount the bucket.'
    )


def check_folder(option: str, path: Path | None) -> None:
    """Makes sure, before the work, that a folder can be looked at, here or in a bucket.

    Raises:
      ArgumentError: it is no place to write to.
    """
    if path is not None:
        with _refused(option, path):
            paths.open_path(path).exists()


def check_file(option: str, path: Path | None) -> None:
    """Makes sure, before the work, that a result can be written there.

    Raises:
      ArgumentError: it is no place to write to.
    """
    if path is None:
        return
    with _refused(option, path):
        target = paths.open_path(path)
        if target.is_dir():
            raise ArgumentError(f'--{option}: expected a file; got the folder {target}')
        target.parent.mkdir(parents=True, exist_ok=True)


def save(path: Path, data: bytes) -> None:
    """Writes a file, and the folder that it is in."""
    target = paths.open_path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(data)


@contextlib.contextmanager
def _refused(option: str, path: Path) -> Iterator[None]:
    """Makes errors about a place name the option."""
    try:
        with paths.served(path, ArgumentError):
            yield
    except ArgumentError:
        raise
    except ValueError as error:
        raise ArgumentError(f'--{option}: {error}') from None
