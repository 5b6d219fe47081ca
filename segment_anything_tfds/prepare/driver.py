"""Notes which process drives a build: one at a time, and the next clears up after a dead one."""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Iterator

from etils import epath

from segment_anything_tfds.prepare import staging as staging_lib

_held_here: set[str] = set()


@contextlib.contextmanager
def hold(staging: staging_lib.Staging, unfinished: epath.Path) -> Iterator[None]:
    """Makes this process the driver while the block runs.

    TFDS writes into a folder with a random name and removes it at the end, unless it is killed; the
    folder that a dead driver left is removed here.

    Args:
      staging: where the note is kept.
      unfinished: the folder that TFDS has made for this process.

    Raises:
      RuntimeError: where another build of the same data set is running on this machine.
    """
    note = _note(staging.folder)
    if is_held(staging.folder):
        raise RuntimeError(
            f'Another build of this data set is running (see {note}). Wait until it has ended, then'
            ' load the data set, or give another `data_dir`.'
        )
    earlier = _read(note)
    if earlier is not None and _is_here(earlier) and earlier['folder'] != str(unfinished):
        epath.Path(earlier['folder']).rmtree(missing_ok=True)
    ours = {'host': socket.gethostname(), 'pid': os.getpid(), 'folder': str(unfinished)}
    staging_lib.write_text(note, json.dumps(ours))
    _held_here.add(staging.folder)
    try:
        yield
    finally:
        _held_here.discard(staging.folder)
        note.unlink(missing_ok=True)


def is_held(folder: str) -> bool:
    """Whether a living process of this machine, or this one, builds in a staging folder."""
    if folder in _held_here:
        return True
    driver = _read(_note(folder))
    return driver is not None and _is_here(driver) and _is_alive(driver['pid'])


def _note(folder: str) -> epath.Path:
    return epath.Path(folder) / 'driver.json'


def _read(note: epath.Path) -> dict | None:
    driver = staging_lib.read_json(note)
    return driver if driver is not None and {'host', 'pid', 'folder'} <= driver.keys() else None


def _is_here(driver: dict) -> bool:
    return driver['host'] == socket.gethostname()


def _is_alive(pid: int) -> bool:
    if pid == os.getpid():
        return False  # it would be in `_held_here`
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
