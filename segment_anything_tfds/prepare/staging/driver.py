"""Lets one process at a time drive a build, and tells workers which run of it counts.

On a disk of this machine a lock decides, which ends with its process however that ends. Other
machines and buckets know no such lock: there the driver's note decides, by the start of its process
or by its signs of life. Workers may outlive the run that started them, where another worker was
lost or the driver was stopped; they read the note and stop.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import threading
import time
import uuid
from collections.abc import Iterator

from segment_anything_tfds.prepare.staging import note as notes
from segment_anything_tfds.prepare.staging import object_store, place
from segment_anything_tfds.source import lock

_LOCK_NAME = 'driver.lock'
_SETTLE_SECONDS = 3.0  # in which two notes that are written at once have both arrived
_held_here: set[str] = set()


class Runs:
    """The runs of the pipeline that this process drives, one after another.

    Attributes:
      folder: the staging folder.
    """

    def __init__(self, folder: str, is_locked: bool):
        self.folder = folder
        self._is_locked = is_locked
        self._note = notes.mine(uuid.uuid4().hex, run='')
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._write()
        self._thread = threading.Thread(target=self._beat, name='sa1b-beat', daemon=True)
        self._thread.start()

    def start(self) -> str:
        """Names a new run, which ends the run before it; clears what that left half-written.

        Raises:
          RuntimeError: where a process on another machine has begun to drive the build.
        """
        self.check()
        with self._lock:
            self._note = dataclasses.replace(self._note, run=uuid.uuid4().hex)
            self._write()
        place.clear_temporaries(self.folder)
        return self._note.run

    def check(self) -> None:
        """Makes sure that this process still is the driver.

        Raises:
          RuntimeError: where another one has taken over.
        """
        if not self._is_ours():
            raise RuntimeError(
                'Another process has taken over the build of this data set (see'
                f' {notes.path(self.folder)}). Wait until it has ended.'
            )

    def end(self, *, well: bool) -> None:
        """Ends the last run. After a failure the note stays, so that workers that are left stop."""
        self._ended.set()
        self._thread.join()
        if not self._is_ours():
            return
        try:
            if not well:
                self._note = dataclasses.replace(self._note, pid=None, run='')
                return self._write()
        except OSError:  # on a full disk
            pass
        notes.path(self.folder).unlink(missing_ok=True)

    def _is_ours(self) -> bool:
        """Tells whether the note in the folder is this driver's; true also where it cannot be read.

        Without a lock, a note that is gone is that of another one, which has ended since.
        """
        with contextlib.suppress(Exception):  # stores have errors of their own kinds
            note = notes.read(self.folder)
            return self._is_locked if note is None else note.driver == self._note.driver
        return True

    def _write(self) -> None:
        self._note = dataclasses.replace(self._note, beat=time.time())
        notes.write(self.folder, self._note)

    def _beat(self) -> None:
        while not self._ended.wait(notes.BEAT_SECONDS):
            with self._lock, contextlib.suppress(Exception):
                if not self._is_ours():
                    return
                self._write()


@contextlib.contextmanager
def hold(folder: str) -> Iterator[Runs]:
    """Makes this process the driver while the block runs.

    Args:
      folder: the staging folder; made if need be, and removed at the end if nothing is in it.

    Yields:
      The runs of this driver.

    Raises:
      RuntimeError: where another build of the same data set is running.
    """
    # On this machine           A takes the lock; B cannot, and is refused. A's death frees it.
    # On others, in buckets     A finds no note, writes its own, waits 3 s, reads its own: drives.
    #                           B, a minute later, reads A's note, whose beat is fresh: refused.
    # Both at the same time     A and B find no note; B writes over A's. After 3 s A reads B's
    #                           note and is refused, B reads its own and drives.
    with _locked(folder) as is_locked:
        _check_alone(folder, is_locked)
        runs = Runs(folder, is_locked)
        _held_here.add(folder)
        well = False
        try:
            if not is_locked:
                time.sleep(_SETTLE_SECONDS)
                runs.check()
            yield runs
            well = True
        finally:
            _held_here.discard(folder)
            runs.end(well=well)


def is_over(folder: str, run: str) -> bool:
    """Tells whether a run has been stopped or another one started, as far as a worker can tell.

    No note is no proof: a worker may be unable to read it for a moment.
    """
    try:
        note = notes.read(folder)
    except Exception:  # stores have errors of their own kinds
        return False
    return note is not None and note.run != run


@contextlib.contextmanager
def _locked(folder: str) -> Iterator[bool]:
    """Holds the lock of a folder; gives `False` where there are none."""
    if object_store.is_remote(folder):
        yield False
        return
    with contextlib.ExitStack() as stack:
        stack.callback(_remove_empty, folder)  # runs last, when the lock's file is gone
        yield _enter(stack, folder)


def _enter(stack: contextlib.ExitStack, folder: str) -> bool:
    while True:
        place.create(folder)
        try:
            return stack.enter_context(lock.hold(os.path.join(folder, _LOCK_NAME)))
        except FileNotFoundError:  # who held it has just removed the folder
            continue
        except BlockingIOError:
            raise RuntimeError(_running(folder, notes.read(folder))) from None


def _remove_empty(folder: str) -> None:
    with contextlib.suppress(OSError):  # something is in it
        os.rmdir(folder)


def _check_alone(folder: str, is_locked: bool) -> None:
    note = notes.read(folder)
    # With the lock in hand, a driver that ran on this machine is no more.
    if note is None or (is_locked and note.is_of_this_machine):
        return
    # This process may have left the note itself, with an earlier build that did not end well.
    is_own_past = note.is_of_this_process and folder not in _held_here
    if note.is_alive() and not is_own_past:
        raise RuntimeError(_running(folder, note) + _advice(folder, note))


def _running(folder: str, note: notes.Note | None) -> str:
    who = 'It is not known by whom'
    if note is not None and note.pid is not None:
        who = f'It is driven by process {note.pid} on {note.host}'
        if not note.can_be_looked_up:
            who += f', which gave a sign of life {note.silence:.0f} s ago'
    return (
        f'Another build of this data set is running in {folder}. {who}. Wait until it has ended,'
        ' then load the data set, or give another `data_dir`.'
    )


def _advice(folder: str, note: notes.Note) -> str:
    """Gives what to do where only signs of life tell whether a process lives."""
    if note.can_be_looked_up:
        return ''
    return (
        f' If that process is certainly dead, delete {notes.path(folder)}, or wait'
        f' {notes.SILENT_SECONDS:.0f} s; finished archives are kept either way.'
    )
