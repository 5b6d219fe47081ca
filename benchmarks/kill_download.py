"""Kills `sa1b download` at random moments, again and again, and looks at what it leaves.

    python benchmarks/kill_download.py --kills 100 --json rows.json

After each kill every file that has an archive's name must be whole, bit for bit. At the end one
undisturbed run must complete the rest.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import random
import subprocess
import sys
import tempfile
import time

sys.path.append(str(pathlib.Path(__file__).resolve().parent))

import download

ARCHIVES, SIZE = 12, 60 * 10**6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--kills', type=int, default=100)
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--json', type=pathlib.Path)
    args = parser.parse_args()
    chance = random.Random(args.seed)
    body, kills, torn, completed = download.make_body(SIZE), 0, 0, 0
    finished = parts = 0
    names = [f'sa_{number:06d}.tar' for number in range(ARCHIVES)]
    with download.far_server(SIZE) as (address, sent), tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        urls = {name: f'{address}/{name}?oe=7F000000' for name in names}
        (command,) = download.sa1b(urls, folder)
        while kills < args.kills:
            process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
            time.sleep(0.2 + chance.random() * 2.3)
            process.kill()
            kills += process.wait() != 0
            whole = list(folder.glob('*.tar'))
            finished += len(whole)
            parts += len(list(folder.glob('*.part')))
            torn += sum(path.read_bytes() != body for path in whole)
            if len(whole) == ARCHIVES:
                completed += 1
                for path in whole:
                    path.unlink()
        ended = subprocess.run(command, stderr=subprocess.DEVNULL).returncode
        torn += sum((folder / name).read_bytes() != body for name in names)
        left = [path.name for path in folder.glob('*.part')]
        needed = (completed + 1) * ARCHIVES * SIZE
        print(f'{kills} kills; {completed} times all {ARCHIVES} archives of {SIZE / 1e6:.0f} MB')
        print(f'looked at {finished} finished archives and {parts} parts after kills')
        print(f'files that pass for whole and are not: {torn}')
        print(f'the last run: exit code {ended}, parts left: {len(left)}')
        print(f'bytes sent over bytes needed: {sent.value / needed:.3f}')
    if args.json:
        ok = torn == 0 and ended == 0 and not left
        row = {'name': f'torn files after {kills} kills', 'value': torn, 'target': 0, 'ok': ok}
        args.json.write_text(json.dumps({'rows': [row]}, indent=2))


if __name__ == '__main__':
    main()
