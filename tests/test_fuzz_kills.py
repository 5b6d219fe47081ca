"""Kills `sa1b download` at random moments, again and again, and looks at what it leaves.

After each kill every file that has an archive's name must be whole, bit for bit. At the end one
undisturbed run must complete the rest.
"""

from __future__ import annotations

import pathlib
import random
import subprocess
import time

import pytest

BENCHMARKS = pathlib.Path(__file__).resolve().parent.parent / 'benchmarks'
ARCHIVES, SIZE = 6, 30 * 10**6
KILLS, SECONDS = 30, 60  # whichever comes first


@pytest.mark.slow
def test_a_killed_download_leaves_whole_archives_and_goes_on(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import download

    chance, body = random.Random(0), download.make_body(SIZE)
    names = [f'sa_{number:06d}.tar' for number in range(ARCHIVES)]
    kills = seen = 0
    with download.far_server(SIZE) as (address, sent):
        urls = {name: f'{address}/{name}?oe=7F000000' for name in names}
        (command,) = download.sa1b(urls, tmp_path)
        deadline = time.monotonic() + SECONDS
        while kills < KILLS and time.monotonic() < deadline:
            process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
            time.sleep(0.3 + chance.random() * 2.2)
            process.kill()
            kills += process.wait() != 0
            whole = list(tmp_path.glob('*.tar'))
            seen += len(whole) + len(list(tmp_path.glob('*.part')))
            assert all(path.read_bytes() == body for path in whole)
            if len(whole) == ARCHIVES:
                for path in whole:
                    path.unlink()
        ended = subprocess.run(command, stderr=subprocess.PIPE, text=True)
        assert ended.returncode == 0, ended.stderr
        assert sent.value
    assert kills > 3 and seen
    assert sorted(path.name for path in tmp_path.glob('sa_*')) == names
    assert all((tmp_path / name).read_bytes() == body for name in names)
