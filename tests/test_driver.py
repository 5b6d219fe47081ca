"""Who may build: one process at a time, whatever became of the one before."""

import dataclasses
import errno
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

import pytest
from building import REPO, run_python

from segment_anything_tfds.prepare.staging import driver
from segment_anything_tfds.prepare.staging import note as notes
from segment_anything_tfds.source import lock

_HOLD = """
import sys, time
from segment_anything_tfds.prepare.staging import driver
with driver.hold(sys.argv[1]):
    print('held', flush=True)
    time.sleep(600)
"""
_RACE = """
import os, pathlib, sys, time
from segment_anything_tfds.prepare.staging import driver

def contend(folder, begin):
    while time.time() < begin:
        pass
    try:
        with driver.hold(folder):
            time.sleep(0.05)
        os._exit(0)
    except RuntimeError:
        os._exit(3)

for trial in range(int(sys.argv[2])):
    folder, begin = os.path.join(sys.argv[1], str(trial)), time.time() + 0.02
    children = []
    for _ in range(2):
        pid = os.fork()
        if pid == 0:
            contend(folder, begin)
        children.append(pid)
    codes = sorted(os.waitpid(pid, 0)[1] >> 8 for pid in children)
    print(codes, pathlib.Path(folder).exists())
"""


@pytest.fixture
def folder(tmp_path) -> str:
    """The path of a staging folder that is not there yet."""
    return str(tmp_path / 'incomplete.shards_1.0.0')


@pytest.fixture
def no_locks(request, monkeypatch):
    """Has the note alone decide, as in a bucket: the file system knows no locks."""

    number = getattr(request, 'param', errno.ENOLCK)

    def flock(*args):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(lock.fcntl, 'flock', flock)
    monkeypatch.setattr(driver, '_SETTLE_SECONDS', 0.0)


def _write(folder: str, note: notes.Note | dict) -> None:
    pathlib.Path(folder).mkdir(exist_ok=True)
    fields = note if isinstance(note, dict) else dataclasses.asdict(note)
    notes.path(folder).write_text(json.dumps(fields))


def _elsewhere(**changes) -> notes.Note:
    """The note of a driver on another machine that lives."""
    mine = notes.mine('theirs', 'their run')
    return dataclasses.replace(mine, **{'host': 'other', 'machine': 'other', **changes})


def _start(code: str, folder: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, '-c', code, folder],
        env=dict(os.environ, PYTHONPATH=str(REPO)),
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def other_process(folder):
    """A process that drives the build."""
    process = _start(_HOLD, folder)
    assert process.stdout.readline() == 'held\n'
    yield process
    process.kill()
    process.wait()


def test_another_living_process_is_respected(folder, other_process):
    text = f'It is driven by process {other_process.pid} on {socket.gethostname()}'
    with pytest.raises(RuntimeError, match=text), driver.hold(folder):
        pass
    assert notes.read(folder).pid == other_process.pid


def test_lock_ends_with_its_process(folder, other_process):
    other_process.send_signal(signal.SIGKILL)
    other_process.wait()
    assert notes.read(folder).pid == other_process.pid  # it could not clear up
    with driver.hold(folder):
        assert notes.read(folder).pid == os.getpid()
    assert not pathlib.Path(folder).exists()


def test_lock_ends_with_its_process_though_a_child_of_it_lives(folder):
    """As a data loader's worker, which was forked while the build ran."""
    process = _start(_HOLD.replace('print(', 'import os; os.fork() or print(os.getpid(), '), folder)
    child = int(process.stdout.readline().split()[0])
    process.kill()
    process.wait()
    try:
        with driver.hold(folder):
            assert notes.read(folder).pid == os.getpid()
    finally:
        os.kill(child, signal.SIGKILL)


def test_lock_of_a_file_that_is_removed_meanwhile_is_none(tmp_path, monkeypatch):
    """Its holder removes it just after another one has opened it; a third one makes it anew."""
    path, flock = str(tmp_path / 'driver.lock'), lock.fcntl.flock

    def late(file, how):
        monkeypatch.setattr(lock.fcntl, 'flock', flock)
        os.unlink(path)
        flock(file, how)

    monkeypatch.setattr(lock.fcntl, 'flock', late)
    with lock.hold(path) as is_locked:
        assert is_locked and os.path.exists(path)
        with pytest.raises(BlockingIOError), lock.hold(path):
            pass
    assert not os.path.exists(path)


@pytest.mark.parametrize('no_locks', [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP], indirect=True)
def test_file_systems_without_locks(folder, no_locks):
    text = 'Another build'
    with driver.hold(folder), pytest.raises(RuntimeError, match=text), driver.hold(folder):
        pass
    (pathlib.Path(folder) / 'driver.lock').mkdir(parents=True)  # nor is that one
    with driver.hold(folder):
        pass


def test_two_that_start_together(tmp_path):
    done = run_python(_RACE, tmp_path, 60)
    outcomes = done.stdout.splitlines()
    assert len(outcomes) == 60
    # Both in turn is possible where one ends before the other begins; both at once is not.
    assert set(outcomes) <= {'[0, 3] False', '[0, 0] False'}, set(outcomes)
    assert outcomes.count('[0, 3] False') > 50


@pytest.mark.parametrize(
    'pid', [1, 0, -1, '7', 2**40, None, 3.5, True, [1]], ids=lambda pid: f'pid_{pid}'
)
@pytest.mark.parametrize('locks', [True, False])
def test_note_of_a_dead_driver_blocks_nobody(pid, locks, folder, tmp_path, request):
    """Also where its number belongs to another process now, as after a restart."""
    if not locks:
        request.getfixturevalue('no_locks')
    precious = tmp_path / 'incomplete.ABCDEF_1.0.0'
    precious.mkdir()
    _write(folder, {'host': socket.gethostname(), 'pid': pid, 'folder': str(precious), 'run': ''})
    with driver.hold(folder) as runs:
        runs.start()
    assert precious.exists()  # nothing is removed because a note says so


@pytest.mark.parametrize(
    'text',
    [
        '',
        '[]',
        '{"host": 1, "run": "x"}',
        '{"pid": 1}',
        '\x00',
        '[' * 100_000,
        f'{{"host": "x", "run": "", "pid": 5, "beat": 1{"0" * 400}}}',
        f'{{"host": "x", "run": "", "pid": 5, "started": -1{"0" * 400}, "beat": NaN}}',
        '{"host": "x", "run": "", "pid": 5, "beat": 1e300}',
    ],
    ids=range(9),
)
def test_note_that_makes_no_sense(text, folder):
    pathlib.Path(folder).mkdir()
    notes.path(folder).write_text(text)
    with driver.hold(folder):
        assert notes.read(folder).pid == os.getpid()


@pytest.mark.parametrize('locks', [True, False])
def test_driver_on_another_machine_is_respected_while_it_gives_signs_of_life(
    locks, folder, request
):
    if not locks:
        request.getfixturevalue('no_locks')
    _write(folder, _elsewhere(beat=time.time() - 20))
    text = r'on other, which gave a sign of life 2\d s ago.*certainly dead, delete .*driver\.json'
    with pytest.raises(RuntimeError, match=text), driver.hold(folder):
        pass
    assert notes.read(folder).driver == 'theirs'
    for beat in (-notes.SILENT_SECONDS - 1, 3600.0):  # no clock is that wrong
        _write(folder, _elsewhere(beat=time.time() + beat))
        with driver.hold(folder):
            assert notes.read(folder).pid == os.getpid()


def test_process_of_this_machine_is_looked_at_where_there_are_no_locks(folder, no_locks):
    """What began at another time is another process, though it has the same number."""
    parent = dataclasses.replace(
        notes.mine('theirs', 'run'), pid=os.getppid(), started=notes._begin(os.getppid())
    )
    _write(folder, dataclasses.replace(parent, beat=0.0))
    with pytest.raises(RuntimeError, match=f'process {os.getppid()}'), driver.hold(folder):
        pass
    _write(folder, dataclasses.replace(parent, started=parent.started - 100))
    with driver.hold(folder):
        pass


def test_other_containers_of_this_machine(folder, no_locks):
    """Their processes cannot be seen, so the signs of life count, or the lock."""
    mine = notes.mine('theirs', 'run')
    _write(folder, dataclasses.replace(mine, pids='pid:[1]'))
    with pytest.raises(RuntimeError, match='Another build'), driver.hold(folder):
        pass


def test_lock_decides_about_other_containers_of_this_machine(folder):
    _write(folder, dataclasses.replace(notes.mine('theirs', 'run'), pids='pid:[1]'))
    with driver.hold(folder):
        pass


def test_two_notes_written_at_once(folder, no_locks, monkeypatch):
    """The last one counts; the others see it after a while."""
    monkeypatch.setattr(driver.time, 'sleep', lambda seconds: _write(folder, _elsewhere()))
    with pytest.raises(RuntimeError, match='Another process has taken over'), driver.hold(folder):
        pass
    assert notes.read(folder).driver == 'theirs'


@pytest.mark.parametrize('locks', [True, False])
def test_driver_that_slept_while_another_one_came_and_went(locks, folder, request):
    """As on a machine that was suspended: it must not clear what that one has published."""
    if not locks:
        request.getfixturevalue('no_locks')
    with driver.hold(folder) as runs:
        notes.path(folder).unlink()
        if locks:  # nobody else can have come
            runs.check()
        else:
            with pytest.raises(RuntimeError, match='Another process has taken over'):
                runs.check()


def test_twice_in_one_process(folder, no_locks):
    with driver.hold(folder):
        with pytest.raises(RuntimeError, match=f'process {os.getpid()}'), driver.hold(folder):
            pass
        assert notes.read(folder).pid == os.getpid()
    with driver.hold(folder):
        pass


def test_signs_of_life(folder, monkeypatch):
    monkeypatch.setattr(notes, 'BEAT_SECONDS', 0.01)
    with driver.hold(folder) as runs:
        run, first = runs.start(), notes.read(folder).beat
        deadline = time.monotonic() + 20
        while notes.read(folder).beat == first:
            assert time.monotonic() < deadline
        assert notes.read(folder).run == run
        while runs._thread.is_alive():  # it may be writing just now
            assert time.monotonic() < deadline
            _write(folder, _elsewhere())
            time.sleep(0.02)
        with pytest.raises(RuntimeError, match='Another process has taken over'):
            runs.start()
    assert notes.read(folder).driver == 'theirs'


@pytest.mark.parametrize('well', [True, False])
def test_note_after_the_end(well, folder):
    pathlib.Path(folder).mkdir()
    (pathlib.Path(folder) / 'sa_000000.json').write_text('')
    try:
        with driver.hold(folder) as runs:
            run = runs.start()
            assert not driver.is_over(folder, run) and driver.is_over(folder, 'another')
            if not well:
                raise InterruptedError
    except InterruptedError:
        pass
    assert driver.is_over(folder, run) != well  # workers may be left only where it was stopped
    left = {path.name for path in pathlib.Path(folder).iterdir()}
    assert left == {'sa_000000.json'} | (set() if well else {'driver.json'})
    with driver.hold(folder):
        pass
