"""`sa1b.load` with `images_only=True` against whole examples: images a second.

    python benchmarks/images_only.py --images 200 --json rows.json

JPEGs stay undecoded, so that what is compared is reading and parsing; archives have the shape of
SA-1B's, 100 masks an image. The two sides are read in turn, several times over; medians count.
"""

from __future__ import annotations

import argparse
import collections
import pathlib
import sys
import tempfile

REPO = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(REPO), str(REPO / 'tests'), str(REPO / 'benchmarks')]

import _report  # noqa: E402
import archives as shapes  # noqa: E402


def read(folder: pathlib.Path, images_only: bool) -> _report.Cost:
    """What a pass takes."""
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
    return _report.seconds(lambda: collections.deque(dataset, maxlen=0))


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--images', type=int, default=200)
    parser.add_argument('--rounds', type=int, default=5)
    _report.add_arguments(parser)
    args = parser.parse_args(argv)
    report = _report.Report(['tensorflow', 'tensorflow-datasets'], note=args.note, file=args.json)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        shapes.make_archives(folder / 'archives', 1, args.images)
        read(folder, False)  # prepares
        times = {side: [] for side in (False, True)}
        for _ in range(args.rounds):
            for side, seen in times.items():
                seen.append(read(folder, side))
    costs = {}
    for side, seen in times.items():
        cost = _report.median(seen)
        cost = _report.Cost(1000 * cost.wall / args.images, 1000 * cost.cpu / args.images)
        label = 'images alone' if side else 'whole examples'
        costs[side] = report.time(f'{label}: an image', cost, 'ms')
    report.ratio('whole examples / images alone', costs[False], costs[True])
    report.write()
    return 0


if __name__ == '__main__':
    sys.exit(main())
