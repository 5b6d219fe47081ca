"""Notes which process drives a build: one at a time, and the next clears up after a dead one.

The note also says which run of the pipeline counts. Workers may outlive the run that started them,
where another worker was lost or the driver was stopped; they read the note and stop.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import uuid
from collections.abc import Iterator

from etils import epath

from segment_anything_tfds.prepare.staging import place

_held_here: set[str] = set()


class Runs:
    """The runs of the pipeline that this process drives, one after another."""

    def __init__(self, staging: place.Staging, unfinished: epath.Path):
        self._staging = staging
        self._folder = str(unfinished)
        self._run = ''
        self._write(os.getpid())

    def start(self) -> str:
        """Names a new run, which ends the run before it; clears what that left half-written.

        Raises:
          RuntimeError: where a process on another machine has begun to drive the build.
        """
        if not self._is_ours():
            raise RuntimeError(
                'Another process has taken over the build of this data set (see'
                f' {_note(self._staging.folder)}). Wait until it has ended.'
            )
        self._run = uuid.uuid4().hex
        self._write(os.getpid())
        self._staging.clear_temporaries()
        return self._run

    def end(self, *, well: bool) -> None:
        """Ends the last run; where it did not end well, workers may be left, who are told."""
        if not self._is_ours():
            return
        self._run = ''
        try:
            if not well:
                return self._write(None)
        except OSError:  # on a full disk
            pass
        _note(self._staging.folder).unlink(missing_ok=True)

    def _is_ours(self) -> bool:
        return not is_over(self._staging, self._run)

    def _write(self, pid: int | None) -> None:
        driver = {
            'host': socket.gethostname(),
            'pid': pid,
            'folder': self._folder,
            'run': self._run,
        }
        place.write_text(_note(self._staging.folder), json.dumps(driver))


@contextlib.contextmanager
def hold(staging: place.Staging, unfinished: epath.Path) -> Iterator[Runs]:
    """Makes this process the driver while the block runs.

    TFDS writes into a folder with a random name and removes it at the end, unless it is killed; the
    folder that a dead driver left is removed here.

    Args:
      staging: where the note is kept.
      unfinished: the folder that TFDS has made for this process.

    Yields:
      The runs of this driver.

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
    runs = Runs(staging, unfinished)
    _held_here.add(staging.folder)
    well = False
    try:
        yield runs
        well = True
    finally:
        _held_here.discard(staging.folder)
        runs.end(well=well)


def is_held(folder: str) -> bool:
    """Whether a living process of this machine, or this one, builds in a staging folder."""
    if folder in _held_here:
        return True
    driver = _read(_note(folder))
    return driver is not None and _is_here(driver) and _is_alive(driver['pid'])


def is_over(staging: place.Staging, run: str) -> bool:
    """Whether a run has been stopped or another one started, as far as a worker can tell.

    No note is no proof: a worker may be unable to read it for a moment.
    """
    try:
        driver = _read(_note(staging.folder))
    except Exception:  # stores have errors of their own kinds
        return False
    return driver is not None and driver['run'] != run


def _note(folder: str) -> epath.Path:
    return epath.Path(folder) / 'driver.json'


def _read(note: epath.Path) -> dict | None:
    driver = place.read_json(note)
    is_whole = driver is not None and {'host', 'pid', 'folder', 'run'} <= driver.keys()
    return driver if is_whole else None


def _is_here(driver: dict) -> bool:
    return driver['host'] == socket.gethostname()


def _is_alive(pid: int | None) -> bool:
    if pid is None or pid == os.getpid():
        return False  # it has stopped, or would be in `_held_here`
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
