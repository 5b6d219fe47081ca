"""The part of an archive that was fetched so far: its file and its note; and the archive's lock."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import pathlib
from collections.abc import Iterator
from typing import BinaryIO

from segment_anything_tfds.source import lock
from segment_anything_tfds.source.remote.answers import Remote

STATE_FOLDER = '.sa1b'


def path(folder: str | os.PathLike, name: str) -> pathlib.Path:
    """Gives the file in which an archive grows."""
    return pathlib.Path(folder) / f'{name}.tar.part'


def note_path(folder: str | os.PathLike, name: str) -> pathlib.Path:
    """Gives the note that says which object on the server the part belongs to."""
    return pathlib.Path(folder) / STATE_FOLDER / f'{name}.json'


def size(folder: str | os.PathLike, name: str) -> int:
    """Counts the bytes of an archive that an earlier run left; 0 where none can be gone on from."""
    file = path(folder, name)
    return file.stat().st_size if file.exists() and read_note(folder, name) else 0


def read_note(folder: str | os.PathLike, name: str) -> Remote | None:
    """Reads which object the part belongs to; `None` where nobody knows."""
    try:
        return Remote(**json.loads(note_path(folder, name).read_bytes()))
    except (OSError, ValueError, TypeError):
        return None


def write_note(folder: str | os.PathLike, name: str, remote: Remote) -> None:
    """Remembers the object that the part belongs to."""
    target = note_path(folder, name)
    temporary = target.with_suffix('.tmp')
    temporary.write_text(json.dumps(dataclasses.asdict(remote)), encoding='utf-8')
    os.replace(temporary, target)


@contextlib.contextmanager
def alone(folder: str | os.PathLike, name: str) -> Iterator[None]:
    """Keeps other processes from an archive in a folder, where its file system has locks.

    Raises:
      OSError: another process is at the archive.
    """
    state = pathlib.Path(folder) / STATE_FOLDER
    state.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(lock.hold(os.fspath(state / f'{name}.lock')))
        except BlockingIOError:
            raise OSError(
                f'`download.download`: expected {name} for this process alone; got another one '
                'that downloads or extracts it. Wait for that one.'
            ) from None
        yield


@contextlib.contextmanager
def opened(folder: str | os.PathLike, name: str) -> Iterator[BinaryIO]:
    """Opens the part, held against other processes; see `alone`."""
    with alone(folder, name), open(path(folder, name), 'a+b') as file:
        yield file


def sync(folder: str | os.PathLike) -> None:
    """Makes the disk keep the names of a folder's files."""
    with contextlib.suppress(OSError):  # some file systems cannot
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
