"""Progress: bars on terminals and in notebooks, lines in logs, calls, silence."""

import doctest
import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import threading

import building
import nbclient
import nbformat
import pytest

from segment_anything_tfds.source import meter

_SCRIPT = """
import time
from segment_anything_tfds.source import meter
meter.LINE_SECONDS = 0.2
for total in (10**10, None):
    with meter.show('Archives 0/3', total=total, done=10**9) as shown:
        with shown.part('sa_000020', 3 * 10**9, done=10**9) as add:
            add(3 * 10**9)
            shown.say('sa_000020: downloaded')
        shown.update(title='Archives 1/3', note='21 images')
        time.sleep(0.5)
"""


def _command():
    return {
        'args': [sys.executable, '-c', _SCRIPT],
        'env': {**os.environ, 'PYTHONPATH': str(building.REPO)},
    }


def _on_terminal(columns: int) -> str:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack('HHHH', 24, columns, 0, 0))
    process = subprocess.Popen(**_command(), stderr=theirs)
    os.close(theirs)
    shown = bytearray()
    while True:
        try:
            shown.extend(os.read(ours, 4096))
        except OSError:  # the other end is closed
            break
    os.close(ours)
    assert process.wait(30) == 0
    return shown.decode()


@pytest.mark.parametrize('columns', [120, 0])
def test_bars_on_a_terminal(columns):
    """Also on one that does not know how wide it is."""
    text = _on_terminal(columns)
    assert re.search(r'Archives 1/3:  30%\|.*3\.00G/10\.0G .*B/s, 21 images', text)
    assert re.search(r'Archives 1/3: 3\.00GB .*B/s, 21 images', text)
    assert re.search(r'sa_000020: 100%\|.*3\.00G/3\.00G', text)
    assert 'sa_000020: downloaded\r\n' in text
    assert '::' not in text and ': :' not in text


def test_lines_where_there_is_no_terminal():
    done = subprocess.run(**_command(), capture_output=True, text=True, check=True)
    lines = done.stderr.splitlines()
    known = [line for line in lines if line.startswith('Archives 1/3: 30%, 3.00G of 10.0GB, ')]
    unknown = [line for line in lines if line.startswith('Archives 1/3: 3.00GB, ')]
    assert len(known) >= 2 and len(unknown) >= 2
    assert all(line.endswith(', 21 images') and 'B/s' in line for line in known + unknown)
    assert all(re.search(r', \d\d:\d\d left, ', line) for line in known)
    assert 'sa_000020: downloaded' in lines
    assert '\r' not in done.stderr


def test_rate_of_what_takes_seconds_each(capsys, monkeypatch):
    """Is in seconds a thing, which tells more than `0.00 images/s`."""
    monkeypatch.setattr(meter, 'LINE_SECONDS', 1.5)
    with meter.show('Archives 0/1', total=40, unit=' images') as shown:
        shown.add(1)
        threading.Event().wait(1.7)
    lines = capsys.readouterr().err.splitlines()
    assert re.fullmatch(r'Archives 0/1: 2%, 1 of 40 images,  1\.\d+s/images, \S+ left', lines[-1])


def test_no_line_of_what_ends_at_once(capsys):
    with meter.show('images', total=2, unit=' images') as shown:
        shown.add(2)
    assert capsys.readouterr().err == ''


def test_bar_in_a_notebook(tmp_path, monkeypatch):
    monkeypatch.setenv('PYTHONPATH', str(building.REPO))
    code = _SCRIPT + "print('in a notebook:', meter._in_notebook())"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    nbclient.NotebookClient(notebook, timeout=60, kernel_name='python3').execute(cwd=str(tmp_path))
    texts = {
        name: ''.join(out.text for out in notebook.cells[0].outputs if out.get('name') == name)
        for name in ('stdout', 'stderr')
    }
    assert 'in a notebook: True' in texts['stdout']
    assert re.search(r'Archives 1/3:  30%\|.*21 images', texts['stderr'])


def test_calls_what_is_given():
    seen = []
    with meter.show('download', total=100, done=20, progress=seen.append) as shown:
        with shown.part('sa_000020', 60, 20) as add:
            add(20)  # an earlier run left it, and the total counts it already
            add(40)
            add(-60)  # the server has another archive now
        shown.update(total=None)
    assert [step.done for step in seen] == [20, 60, 0, 0]
    assert seen[0] == meter.Progress('download', 20, 100, 'B')
    assert seen[-1].total is None


def test_threads_lose_no_count():
    seen = []
    with meter.show('images', unit=' images', progress=seen.append) as shown:
        threads = [
            threading.Thread(target=lambda: [shown.add(1) for _ in range(2000)]) for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [step.done for step in seen] == list(range(1, 8001))


@pytest.mark.parametrize('progress', [None, False])
def test_silence(capsys, progress, monkeypatch):
    monkeypatch.setattr(meter, 'LINE_SECONDS', 0.001)
    assert list(meter.track(range(3), 'images', progress=progress)) == [0, 1, 2]
    with meter.show('images', progress=progress) as shown:
        shown.say('nothing')
    assert capsys.readouterr().err == ''


def test_examples_of_docstrings():
    assert doctest.testmod(meter).failed == 0
