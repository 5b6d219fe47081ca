"""Reads the pairs of one archive of SA-1B's shape, against `gzip -dc` of the same file.

    python benchmarks/reading.py --images 250 --json rows.json

Each way of reading is timed in turn, several times over; the medians count. `link` reads over HTTP
from a server in a process of its own on this machine.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

REPO = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(REPO), str(REPO / 'tests'), str(REPO / 'benchmarks')]

import archives as shapes  # noqa: E402
import fault_server  # noqa: E402

from segment_anything_tfds.source.archive import pair_stream  # noqa: E402

TARGETS = {'archive': 0.45}


def read(source: pair_stream.Source, **options) -> float:
    start = time.perf_counter()
    with pair_stream.open_archive(source, on_fault=print, **options) as reader:
        for _ in reader:
            pass
    return time.perf_counter() - start


def gunzip(path: pathlib.Path) -> float:
    start = time.perf_counter()
    with open(path, 'rb') as file:
        subprocess.run(['gzip', '-dc'], stdin=file, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - start


def serve(path: pathlib.Path, urls, done):
    with fault_server.FaultServer() as server:
        urls.put(server.serve(path.name, path.read_bytes()))
        done.wait()


def measure(path: pathlib.Path, url: str, rounds: int) -> dict[str, float]:
    """Medians in seconds, by way of reading."""
    file, link = pair_stream.Source(0, 'file', str(path)), pair_stream.Source(0, 'link', url)
    ways = {
        'gzip -dc': lambda: gunzip(path),
        'archive': lambda: read(file),
        'archive, MD5': lambda: read(file, want_digest=True),
        'archive, all halves spooled': lambda: read(file, spool_budget=0),
        'link': lambda: read(link),
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            times[name].append(way())
    return {name: statistics.median(values) for name, values in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--images', type=int, default=250)
    parser.add_argument('--path', type=pathlib.Path, help='an archive to read instead')
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--json', help='file for the figures')
    args = parser.parse_args()
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
        size = path.stat().st_size
    floor, rows = medians['gzip -dc'], []
    for name, seconds in medians.items():
        ratio = seconds / floor
        print(f'{name:28} {seconds:.3f} s  {size / seconds / 1e6:6.0f} MB/s  {ratio:.2f} x')
        target = TARGETS.get(name)
        ok = target is None or ratio <= target
        row = {'name': f'{name} / gzip -dc', 'value': round(ratio, 3), 'target': target, 'ok': ok}
        rows.append(row)
    if args.json:
        pathlib.Path(args.json).write_text(json.dumps({'rows': rows}))


if __name__ == '__main__':
    main()
