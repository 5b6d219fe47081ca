"""Reads the pairs of one archive of SA-1B's shape, against `gzip -dc` of the same file.

    python benchmarks/reading.py --images 250 --json rows.json

Each way of reading is timed in turn, several times over; the medians count. `link` reads over HTTP
from a server in a process of its own on this machine.
"""

from __future__ import annotations

import argparse
import multiprocessing
import pathlib
import subprocess
import sys
import tempfile

REPO = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(REPO), str(REPO / 'tests'), str(REPO / 'benchmarks')]

import _report  # noqa: E402
import archives as shapes  # noqa: E402
import fault_server  # noqa: E402

from segment_anything_tfds.source.archive import pair_stream  # noqa: E402

TARGETS = {'archive': '<= 0.45'}


def read(source: pair_stream.Source, **options) -> None:
    with pair_stream.open_archive(source, on_fault=print, **options) as reader:
        for _ in reader:
            pass


def gunzip(path: pathlib.Path) -> None:
    with open(path, 'rb') as file:
        subprocess.run(['gzip', '-dc'], stdin=file, stdout=subprocess.DEVNULL, check=True)


def serve(path: pathlib.Path, urls, done):
    with fault_server.FaultServer() as server:
        urls.put(server.serve(path.name, path.read_bytes()))
        done.wait()


def measure(path: pathlib.Path, url: str, rounds: int) -> dict[str, _report.Cost]:
    """Medians by way of reading."""
    file, link = pair_stream.Source(0, 'file', str(path)), pair_stream.Source(0, 'link', url)
    ways = {
        'gzip -dc': lambda: gunzip(path),
        'archive': lambda: read(file),
        'archive, MD5': lambda: read(file, want_digest=True),
        'archive, all halves spooled': lambda: read(file, spool_budget=0),
        'link': lambda: read(link),
    }
    times: dict[str, list[_report.Cost]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            times[name].append(_report.seconds(way))
    return {name: _report.median(costs) for name, costs in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--images', type=int, default=250)
    parser.add_argument('--path', type=pathlib.Path, help='an archive to read instead')
    parser.add_argument('--rounds', type=int, default=5)
    _report.add_arguments(parser)
    args = parser.parse_args()
    report = _report.Report(['isal', 'gzip'], note=args.note, file=args.json)
    context = multiprocessing.get_context('spawn')
    with tempfile.TemporaryDirectory() as folder:
        path = args.path or shapes.make_archives(pathlib.Path(folder), 1, args.images)[0]
        urls, done = context.Queue(), context.Event()
        server = context.Process(target=serve, args=(path, urls, done))
        server.start()
        try:
            medians = measure(path, urls.get(), args.rounds)
        finally:
            done.set()
            server.join()
    floor = medians['gzip -dc']
    for name, cost in medians.items():
        report.time(name, cost)
        if cost is not floor:
            report.ratio(f'{name} / gzip -dc', cost, floor, TARGETS.get(name))
    report.write()


if __name__ == '__main__':
    main()
