"""`sa1b.load` with `images_only=True` against whole examples: images a second.

    python benchmarks/images_only.py --images 200 --json rows.json

JPEGs stay undecoded, so that what is compared is reading and parsing; archives have the shape of
SA-1B's, 100 masks an image. The two sides are read in turn, several times over; medians count.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import statistics
import sys
import tempfile
import time

REPO = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(REPO), str(REPO / 'tests'), str(REPO / 'benchmarks')]

import archives as shapes  # noqa: E402


def read(folder: pathlib.Path, images_only: bool) -> tuple[float, float]:
    """Wall and CPU seconds of a pass."""
    import tensorflow_datasets as tfds

    import segment_anything_tfds as sa1b

    decoders = {'image': {'content': tfds.decode.SkipDecoding()}}
    dataset = sa1b.load(
        '0',
        manual_dir=folder / 'archives',
        data_dir=folder / 'data',
        decoders=decoders,
        images_only=images_only,
    )
    started, cpu = time.perf_counter(), time.process_time()
    for _ in dataset:
        pass
    return time.perf_counter() - started, time.process_time() - cpu


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--images', type=int, default=200)
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--json', type=pathlib.Path, help='write the rows here')
    args = parser.parse_args(argv)
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        shapes.make_archives(folder / 'archives', 1, args.images)
        read(folder, False)  # prepares
        times = {side: [] for side in (False, True)}
        for _ in range(args.rounds):
            for side, seen in times.items():
                seen.append(read(folder, side))
    for side, seen in times.items():
        wall, cpu = (statistics.median(column) for column in zip(*seen, strict=True))
        label = 'images alone' if side else 'whole examples'
        rows.append({'side': label, 'images_per_s': args.images / wall, 'cpu_s': cpu})
        print(
            f'{label:15} {args.images / wall:8.0f} images/s {1000 * cpu / args.images:7.2f} ms CPU'
        )
    print(f'{rows[1]["images_per_s"] / rows[0]["images_per_s"]:.2f} x the rate of whole examples')
    if args.json:
        args.json.write_text(json.dumps(rows, indent=2))
    return 0


if __name__ == '__main__':
    sys.exit(main())
