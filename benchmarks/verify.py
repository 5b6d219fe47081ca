"""Verifies an archive of SA-1B's shape, against `gzip -t` of the same file, in one run.

    python benchmarks/verify.py --images 250 --json rows.json

Both are whole processes, imports included. `gzip -t` reads and checks the stream alone; `sa1b
verify` also takes the file's MD5, pairs, and checks each JPEG's structure, record and run lengths.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.append(str(pathlib.Path(__file__).resolve().parent))

import archives

TARGET = 1.5


def seconds(command: list[str], runs: int) -> float:
    """The median of the wall times of several runs."""
    found = []
    for _ in range(runs):
        start = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        found.append(time.perf_counter() - start)
    return statistics.median(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--images', type=int, default=250)
    parser.add_argument('--runs', type=int, default=5)
    parser.add_argument('--json', type=pathlib.Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        (path,) = archives.make_archives(pathlib.Path(folder), 1, args.images)
        size = path.stat().st_size
        command = [sys.executable, '-m', 'segment_anything_tfds', 'verify', '--expected', '0']
        seconds(['gzip', '-t', str(path)], 1)  # so that both read from memory
        theirs = seconds(['gzip', '-t', str(path)], args.runs)
        ours = seconds([*command, str(path)], args.runs)
    ratio = ours / theirs
    print(f'{args.images} images, {size / 1e6:.0f} MB; medians of {args.runs} runs')
    print(f'gzip -t      {theirs:6.2f} s  {size / theirs / 1e6:6.0f} MB/s')
    print(f'sa1b verify  {ours:6.2f} s  {size / ours / 1e6:6.0f} MB/s')
    print(f'ratio        {ratio:6.2f}    target at most {TARGET}')
    if args.json:
        row = {'name': 'sa1b verify / gzip -t, seconds', 'value': ratio, 'target': TARGET}
        args.json.write_text(json.dumps({'rows': [{**row, 'ok': ratio <= TARGET}]}, indent=2))


if __name__ == '__main__':
    main()
