"""What checking a record costs, and the NumPy twin of the RLE operations against pycocotools.

    python benchmarks/records.py --json records.json

The record is of real shape: 100 annotations, `counts` of about 450 characters, a JPEG of 0.8 MB.
The other side of the check is what one would write without it: `json.loads`, then pycocotools on
each mask for its pixels (which pycocotools only gives by decoding, and not safely).
"""

from __future__ import annotations

import argparse
import json
import pathlib
import sys
from collections.abc import Callable

import numpy as np
from pycocotools import mask as coco

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / 'benchmarks')]

import _report  # noqa: E402
import archives  # noqa: E402

from segment_anything_tfds.source.record import annotations, coco_rle, jpeg  # noqa: E402

SIZE = (archives.HEIGHT, archives.WIDTH)
SMALL = (256, 256)
CHECK_TARGET = '<= 1.0'  # milliseconds of CPU


def measure(run: Callable[[], object], least: float) -> _report.Cost:
    """Median milliseconds of a call, over at least 5 calls and `least` seconds."""
    run()
    costs = []
    while len(costs) < 5 or sum(cost.wall for cost in costs) < least:
        costs.append(_report.seconds(run))
    wall, cpu = _report.median(costs)
    return _report.Cost(1e3 * wall, 1e3 * cpu)


def check(image: bytes, record: bytes) -> None:
    names = {'archive': 'sa_000000', 'image_name': 'sa_5.jpg', 'record_name': 'sa_5.json'}
    _, faults = annotations.check(image, record, **names)
    if faults:
        raise SystemExit(str(faults[0]))


def check_with_pycocotools(record: bytes) -> None:
    for row in json.loads(record)['annotations']:
        mask = coco.decode(row['segmentation'])
        if mask.shape != SIZE or int(coco.area(row['segmentation'])) != row['area']:
            raise SystemExit('pycocotools does not agree')


def decode_with_pycocotools(counts: list[bytes]) -> np.ndarray:
    return np.stack([coco.decode({'size': SIZE, 'counts': string}) for string in counts])


def resize_with_pycocotools(counts: list[bytes]) -> np.ndarray:
    rows, columns = (
        (2 * np.arange(s) + 1) * S // (2 * s) for s, S in zip(SMALL, SIZE, strict=True)
    )
    grid = np.ix_(rows, columns)
    return np.stack([coco.decode({'size': SIZE, 'counts': string})[grid] for string in counts])


def points_with_pycocotools(counts: list[bytes]) -> list:
    rng = np.random.default_rng(0)
    masks = (coco.decode({'size': SIZE, 'counts': string}) for string in counts)
    return [rng.choice(np.argwhere(mask)) for mask in masks]


def compare(
    image: bytes, record: bytes, counts: list[bytes], report: _report.Report, least: float
) -> None:
    """Times both sides of each operation."""
    pairs = [
        (
            'check of a record',
            lambda: check(image, record),
            lambda: check_with_pycocotools(record),
            CHECK_TARGET,
        ),
        ('check of a record, of it RLE strings', lambda: coco_rle.parse(counts).sums(), None, None),
        ('check of a record, of it JPEG structure', lambda: jpeg.check(image), None, None),
        (
            'decode',
            lambda: coco_rle.decode(counts, SIZE),
            lambda: decode_with_pycocotools(counts),
            None,
        ),
        (
            'decode_resized to 256 x 256',
            lambda: coco_rle.decode_resized(counts, SIZE, SMALL),
            lambda: resize_with_pycocotools(counts),
            None,
        ),
        (
            'sample_points, one a mask',
            lambda: coco_rle.sample_points(counts, SIZE, 1, seed=0),
            lambda: points_with_pycocotools(counts),
            None,
        ),
    ]
    for name, ours, theirs, limit in pairs:
        found = report.time(f'{name}: ours', measure(ours, least), 'ms')
        if limit:
            report.value(f'{name}: CPU ms', found.cpu, limit)
        if theirs:
            other = report.time(f'{name}: pycocotools', measure(theirs, least), 'ms')
            report.ratio(f'{name}: pycocotools / ours', other, found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--seconds', type=float, default=1.0, help='at least, of each side')
    _report.add_arguments(parser)
    arguments = parser.parse_args()
    rows = archives.annotations(arguments.seed)
    image, record = archives.jpeg(arguments.seed), archives.record(5, rows)
    counts = [row['segmentation']['counts'].encode() for row in rows]
    assert_equal(counts)
    mean = np.mean([len(string) for string in counts])
    print(
        f'{len(rows)} annotations, {mean:.0f} characters each, {len(record):,} bytes of JSON, '
        f'{len(image):,} bytes of JPEG; medians, one core'
    )
    report = _report.Report(['orjson', 'pycocotools'], note=arguments.note, file=arguments.json)
    compare(image, record, counts, report, arguments.seconds)
    report.write()
    sys.exit(0 if report.ok else 1)


def assert_equal(counts: list[bytes]) -> None:
    """Both sides do the same work."""
    np.testing.assert_array_equal(coco_rle.decode(counts, SIZE), decode_with_pycocotools(counts))
    resized = coco_rle.decode_resized(counts, SIZE, SMALL)
    np.testing.assert_array_equal(resized, resize_with_pycocotools(counts))


if __name__ == '__main__':
    main()
