"""RLE operations in `Dataset.map` against C libraries behind `tf.numpy_function`.

Every row is measured in this run, on the same elements: 100 masks of 1500 × 2250 made from a seed;
milliseconds by the clock and of CPU, an element. `area`, `bbox` and `iou` are compared with what
reading the strings costs, `run_lengths`: a C library reads them faster than stock ops can. The
library rlemasklib is left out where it is not installed.

    python benchmarks/rle.py [--json FILE] [--only TEXT] [--growth] [--plot FILE] [--shared FOLDER]
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import pathlib
import sys
from collections.abc import Callable

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
os.environ.setdefault('CUDA_VISIBLE_DEVICES', '')
REPO = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPO))

import _report  # noqa: E402
import masks  # noqa: E402
import numpy as np  # noqa: E402
import rle_baselines as baselines  # noqa: E402
import tensorflow as tf  # noqa: E402
from throughput import cost  # noqa: E402

from segment_anything_tfds.ops import rle  # noqa: E402

WANTED = 64  # of 100 masks, as a training step samples them
Function = Callable[[dict], object]


@dataclasses.dataclass(frozen=True)
class Case:
    """One operation: ours, what users do today, and the ratios that ours must reach.

    Attributes:
      name: of the row.
      ours, theirs: functions of an element.
      faster: how many times as fast as `theirs` ours must be, by the clock.
      fast_c: the same with a faster C library, or None.
      within: how many times the time of `fast_c` ours may take.
      of_reading: how many times the CPU time of `run_lengths` ours may take.
      once: call `theirs` only once, outside of `Dataset.map`, for it takes seconds.
    """

    name: str
    ours: Function
    theirs: Function | None = None
    faster: float | None = None
    fast_c: Function | None = None
    within: float | None = None
    of_reading: float | None = None
    once: bool = False


def resize(height: int, width: int, **options) -> Function:
    """Draws all masks of an element at another size."""
    return lambda e: rle.decode_resized(e['counts'], e['size'], (height, width), **options)


def resize_some(element):
    """Draws the wanted masks of an element at 256 × 256."""
    return rle.decode_resized(element['counts'][:WANTED], element['size'][:WANTED], (256, 256))


def floor(element):
    """Writes N × H × W bytes."""
    size = tf.cast(element['size'][0], tf.int32)
    shape = [tf.shape(element['counts'])[0], size[0], size[1]]
    return tf.fill(shape, tf.cast(size[0] > 0, tf.uint8))


def sample(element):
    """One random foreground point a mask."""
    return rle.sample_points(element['counts'], element['size'], 1, seed=[1, 2])


def shares(element):
    """Shares of the patches of a ViT at 1024 × 683."""
    return rle.patch_shares(element['counts'], element['size'], 16, image_size=(1024, 683))


CASES = [
    Case(
        'decode',
        lambda e: rle.decode(e['counts'], e['size']),
        baselines.coco_decode,
        12,
        baselines.c_decode_zeroed,
        1,
    ),
    Case(
        'decode_resized 1024 × 683',
        resize(1024, 683),
        baselines.coco_resize((1024, 683)),
        75,
        baselines.c_resize((1024, 683)),
    ),
    Case(
        'decode_resized 256 × 256',
        resize(256, 256),
        baselines.coco_resize((256, 256)),
        250,
        baselines.c_resize((256, 256)),
        1.5,
    ),
    Case(
        f'{WANTED} of 100 masks to 256 × 256',
        resize_some,
        baselines.coco_resize_some((256, 256), WANTED),
        350,
    ),
    Case(
        'decode_resized 256 × 256, area',
        resize(256, 256, method='area'),
        baselines.coco_resize((256, 256), 'area'),
    ),
    Case(
        'run_lengths',
        lambda e: rle.run_lengths(e['counts']).values,
    ),
    Case(
        'area',
        lambda e: rle.area(e['counts'], e['size']),
        baselines.coco_area,
        fast_c=baselines.c_area,
        of_reading=2,
    ),
    Case(
        'bbox',
        lambda e: rle.bbox(e['counts'], e['size'], convention='coco'),
        baselines.coco_bbox,
        of_reading=2,
    ),
    Case(
        'iou 100 × 100',
        lambda e: rle.iou(e['counts'], e['counts'], e['size']),
        baselines.coco_iou,
        fast_c=baselines.c_iou,
        of_reading=3,
    ),
    Case(
        'hierarchy',
        lambda e: rle.hierarchy(e['counts'], e['size']),
        baselines.dense_nesting,
        20,
        once=True,
    ),
    Case('patch_shares, 16 of 1024 × 683', shares, baselines.coco_shares((1024, 683), 16)),
    Case('one random point a mask', sample, baselines.coco_sample, 100),
    Case(
        'encode 100 of 375 × 562',
        lambda e: rle.encode(resize(375, 562)(e)),
        lambda e: baselines.coco_encode(resize(375, 562)(e)),
    ),
]


def workload(seeds: int = 4) -> tf.data.Dataset:
    """Elements of 100 masks, as the dataset gives them."""
    counts = [masks.make(seed=seed) for seed in range(seeds)]
    mean = np.mean([len(one) for element in counts for one in element])
    print(f'{seeds} × 100 masks of {masks.SIZE}, mean counts {mean:.0f} characters')
    return elements(counts, masks.SIZE)


def elements(counts: list[list[bytes]], size) -> tf.data.Dataset:
    """Elements of the given masks, all of one size."""
    sizes = np.tile(np.array(size, np.uint64), [len(counts), len(counts[0]), 1])
    return tf.data.Dataset.from_tensor_slices({'counts': np.array(counts, object), 'size': sizes})


def run(cases: list[Case], data: tf.data.Dataset, report: _report.Report, calls, label=''):
    """Measures cases, the reading of strings, and the floor of `decode`."""

    def measure(function, **options):
        return cost(data, function, parallel_calls=calls, **options)

    reading = None
    for case in cases:
        name = f'{label}{case.name}'
        ours = report.time(f'{name}: ours', measure(case.ours), 'ms')
        if case.name == 'run_lengths':
            reading = ours
        if case.of_reading is not None:
            reading = reading or measure(lambda e: rle.run_lengths(e['counts']).values)
            of_reading = _report.Cost(ours.wall / reading.wall, ours.cpu / reading.cpu)
            report.value(f'{name}: of run_lengths, wall', of_reading.wall)
            report.value(f'{name}: of run_lengths, CPU', of_reading.cpu, f'<= {case.of_reading:g}')
        if case.theirs is not None:
            theirs = one_call(data, case.theirs) if case.once else measure(case.theirs, warm_up=0.5)
            report.time(f'{name}: pycocotools', theirs, 'ms')
            target = None if case.faster is None else f'>= {case.faster:g}'
            report.ratio(f'{name}: pycocotools / ours', theirs, ours, target)
        if case.fast_c is not None and baselines.rlemasklib is not None:
            fast = report.time(f'{name}: rlemasklib', measure(case.fast_c), 'ms')
            target = None if case.within is None else f'<= {case.within:g}'
            report.ratio(f'{name}: ours / rlemasklib', ours, fast, target)
        if case.name == 'decode':
            lowest = report.time(f'{label}writing N × H × W bytes', measure(floor), 'ms')
            report.ratio(f'{name}: ours / writing', ours, lowest, '<= 1.5' if case.faster else None)


def one_call(data: tf.data.Dataset, function: Function) -> _report.Cost:
    """Milliseconds of the first element, the function being called once."""
    element = next(iter(data))
    taken = _report.seconds(lambda: function(element))
    return _report.Cost(1000 * taken.wall, 1000 * taken.cpu)


def real(folder: pathlib.Path) -> tf.data.Dataset | None:
    """100 real masks of one size, where the folder has them."""
    file = folder / 'sav_000001_auto.json'
    if not file.is_file():
        return None
    by_size = {}

    def walk(part):
        if isinstance(part, dict) and isinstance(part.get('counts'), str):
            by_size.setdefault(tuple(part['size']), []).append(part['counts'].encode())
        elif isinstance(part, (dict, list)):
            for inner in part.values() if isinstance(part, dict) else part:
                walk(inner)

    walk(json.loads(file.read_text()))
    size, counts = max(by_size.items(), key=lambda item: len(item[1]))
    return elements(
        [counts[start : start + 100] for start in range(0, len(counts) - 99, 100)], size
    )


def main() -> None:
    """Runs what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    _report.add_arguments(parser)
    parser.add_argument('--only', default='', help='only cases whose name holds this')
    parser.add_argument('--sequential', action='store_true', help='one call at a time')
    parser.add_argument('--growth', action='store_true', help='how cost grows, and memory')
    parser.add_argument('--plot', type=pathlib.Path, help='draw the growth here')
    parser.add_argument('--shared', type=pathlib.Path, default=REPO.parent / 'shared' / 'data')
    args = parser.parse_args()
    packages = ('tensorflow', 'pycocotools', 'rlemasklib')
    report = _report.Report(packages, note=args.note, file=args.json)
    if args.growth or args.plot:
        import rle_growth

        rle_growth.run(report, elements, args.plot)
    else:
        calls = None if args.sequential else tf.data.AUTOTUNE
        cases = [case for case in CASES if args.only in case.name]
        run(cases, workload(), report, calls)
        found = real(args.shared)
        if found is not None and not args.only:
            fast = [case for case in cases if case.name in ('decode', 'decode_resized 256 × 256')]
            untargeted = [dataclasses.replace(c, faster=None, within=None) for c in fast]
            run(untargeted, found, report, calls, label='real masks, ')
    report.write()


if __name__ == '__main__':
    main()
