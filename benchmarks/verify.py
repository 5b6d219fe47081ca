"""Verifies an archive of SA-1B's shape, against `gzip -t` of the same file, in one run.

    python benchmarks/verify.py --images 250 --json rows.json

Both are whole processes, imports included. `gzip -t` reads and checks the stream alone; `sa1b
verify` also takes the file's MD5, pairs, and checks each JPEG's structure, record and run lengths.
"""

from __future__ import annotations

import argparse
import pathlib
import subprocess
import sys
import tempfile

sys.path.append(str(pathlib.Path(__file__).resolve().parent))

import _report
import archives

TARGET = '<= 1.5'


def measure(command: list[str], runs: int) -> _report.Cost:
    """The median of several runs."""

    def run():
        subprocess.run(command, check=True, capture_output=True)

    return _report.median([_report.seconds(run) for _ in range(runs)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--images', type=int, default=250)
    parser.add_argument('--runs', type=int, default=5)
    _report.add_arguments(parser)
    args = parser.parse_args()
    report = _report.Report(['isal', 'gzip'], note=args.note, file=args.json)
    with tempfile.TemporaryDirectory() as folder:
        (path,) = archives.make_archives(pathlib.Path(folder), 1, args.images)
        print(f'{args.images} images, {path.stat().st_size:,} bytes; medians of {args.runs} runs')
        command = [sys.executable, '-m', 'segment_anything_tfds', 'verify', '--expected', '0']
        measure(['gzip', '-t', str(path)], 1)  # so that both read from memory
        theirs = report.time('gzip -t', measure(['gzip', '-t', str(path)], args.runs))
        ours = report.time('sa1b verify', measure([*command, str(path)], args.runs))
    report.ratio('sa1b verify / gzip -t', ours, theirs, TARGET)
    report.write()


if __name__ == '__main__':
    main()
