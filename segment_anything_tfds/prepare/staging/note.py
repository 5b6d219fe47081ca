"""The driver's note in the staging place: which process drives a build, and which run counts.

Workers read it to learn whether their run is over. A process that wants to drive the same build
reads it to learn whether another one does; a lock tells that only within one machine.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import os
import pathlib
import socket
import time

import psutil
from etils import epath

from segment_anything_tfds.prepare.staging import place

NAME = 'driver.json'
BEAT_SECONDS = 30.0  # between two signs of life
SILENT_SECONDS = 300.0  # without one, a driver that cannot be looked at counts as dead
_LARGEST_PID = 2**31
_SAME_START = 2.0  # seconds; what a process began shifts a little as the clock is set


@dataclasses.dataclass(frozen=True)
class Note:
    """What a driver says of itself.

    Attributes:
      host: name of its machine, for people.
      machine: identity of the running system; containers on one machine share it.
      pids: identity of the table in which its number counts; containers have one each.
      pid: number of its process, `None` once it has stopped.
      started: when its process began, in seconds since 1970.
      driver: identity of the driver; a process may be several, one after another.
      run: the run of the pipeline that counts; empty where none does.
      beat: when it last gave a sign of life, in seconds since 1970.
    """

    host: str
    run: str
    pid: int | None = None
    machine: str = ''
    pids: str = ''
    started: float | None = None
    driver: str = ''
    beat: float | None = None

    @property
    def is_of_this_machine(self) -> bool:
        """Whether the driver ran on this machine, in this container or in another one."""
        if not self.machine:  # as version 1.0.0 wrote it
            return self.host == socket.gethostname()
        return self.machine == _machine()

    @property
    def is_of_this_process(self) -> bool:
        """Whether this process wrote it, for this build or an earlier one."""
        here = (_machine(), _pids(), os.getpid())
        return (self.machine, self.pids, self.pid) == here and self.is_alive()

    @property
    def can_be_looked_up(self) -> bool:
        """Whether this process sees the driver's, if it is there."""
        return self.started is not None and (self.machine, self.pids) == (_machine(), _pids())

    @property
    def silence(self) -> float:
        """Seconds since the last sign of life, or until it, where clocks differ."""
        return math.inf if self.beat is None else abs(time.time() - self.beat)

    def is_alive(self) -> bool:
        """Tells whether the driver lives, as far as can be told without a lock."""
        # A number of a process is given again after its end, so the start must be the same too:
        #   written by 4711, begun at 12:00; now 4711 began at 12:00: alive
        #   now 4711 began at 15:30, or is not there: dead
        #   written elsewhere, where 4711 cannot be looked up: alive for 5 minutes after each beat
        if self.pid is None:
            return False
        if self.can_be_looked_up:
            begin = _begin(self.pid)
            return begin is not None and abs(begin - self.started) < _SAME_START
        return self.silence < SILENT_SECONDS


def mine(driver: str, run: str) -> Note:
    """Makes a note that this process may write."""
    return Note(
        host=socket.gethostname(),
        machine=_machine(),
        pids=_pids(),
        pid=os.getpid(),
        started=_begin(os.getpid()),
        driver=driver,
        run=run,
        beat=time.time(),
    )


def path(folder: str) -> epath.Path:
    """Tells where the note of a staging folder is."""
    return epath.Path(folder) / NAME


def write(folder: str, note: Note) -> None:
    """Writes the note, so that a reader sees all of it or the one before."""
    place.write_text(path(folder), json.dumps(dataclasses.asdict(note)))


def read(folder: str) -> Note | None:
    """Reads the note of a staging folder; `None` where there is none, or none that makes sense."""
    fields = place.read_json(path(folder))
    if fields is None or not all(isinstance(fields.get(key), str) for key in ('host', 'run')):
        return None
    texts = ('host', 'run', 'machine', 'pids', 'driver')
    pid = fields.get('pid')
    return Note(
        **{key: fields[key] for key in texts if isinstance(fields.get(key), str)},
        pid=pid if type(pid) is int and 0 < pid < _LARGEST_PID else None,
        started=_number(fields.get('started')),
        beat=_number(fields.get('beat')),
    )


def _number(value) -> float | None:
    try:
        number = float(value) if type(value) in (int, float) else math.nan
    except OverflowError:  # an integer of hundreds of digits
        return None
    return number if math.isfinite(number) else None


def _begin(pid: int) -> float | None:
    """Tells when a process began; `None` where there is no such process. Sends no signal to it."""
    try:
        return psutil.Process(pid).create_time()
    except (psutil.Error, OSError):
        return None


@functools.cache
def _machine() -> str:
    try:
        return pathlib.Path('/proc/sys/kernel/random/boot_id').read_text().strip()
    except OSError:  # not Linux
        return socket.gethostname()


@functools.cache
def _pids() -> str:
    try:
        return os.readlink('/proc/self/ns/pid')
    except OSError:  # not Linux
        return ''
