"""Removes small holes and islands: on runs, beside Meta's function with OpenCV on drawn masks.

    python benchmarks/small_regions.py --json rows.json

Masks are those of painted scenes, some with holes and specks. Theirs are drawn before the clock
starts and stay drawn; ours come and go as COCO RLE. Both must find the same masks. Needs
opencv-python-headless, PyTorch, and Meta's package, which `.ci/reference` installs.
"""

from __future__ import annotations

import argparse
import importlib.util
import operator
import pathlib
import sys

import _report
import numpy as np

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / 'tests'), str(HERE.parent / 'dummy_data')]
TARGET = '>= 10'


def main(argv: list[str] | None = None) -> int:
    args = _parse(argv)
    from segment_anything_tfds.source.record import coco_rle

    report = _report.Report(['opencv-python-headless', 'torch'], note=args.note, file=args.json)
    drawn = _masks(args.size, args.masks)
    counts = coco_rle.encode(drawn)
    ours, found = _fastest(lambda: _ours(coco_rle, counts, tuple(args.size)), args.repeat)
    report.time(f'ours, on runs: {len(drawn)} masks', ours)
    amg = _meta_functions()
    if amg is None:
        print("Meta's segment_anything, PyTorch or OpenCV is not at hand: see .ci/reference")
        return 0
    theirs, masks = _fastest(lambda: _theirs(amg, drawn), args.repeat)
    report.time(f"Meta's, on drawn masks: {len(drawn)} masks", theirs)
    expected = [(coco_rle.encode(mask[None])[0], changed) for mask, changed in masks]
    report.value('masks that were changed', sum(changed for _, changed in expected))
    report.value('equal masks', sum(map(operator.eq, found, expected)), f'>= {len(drawn)}')
    report.ratio("Meta's / ours", theirs, ours, TARGET)
    return 0 if report.ok else 1


def _parse(argv):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--size', nargs=2, type=int, default=[1500, 2250], help='height, width')
    parser.add_argument('--masks', type=int, default=40)
    parser.add_argument('--repeat', type=int, default=3)
    _report.add_arguments(parser)
    return parser.parse_args(argv)


def _meta_functions():
    """Meta's `utils/amg.py` alone: the package itself wants torchvision."""
    import meta_reference

    found = meta_reference.find()
    if found is None or not all(importlib.util.find_spec(name) for name in ('torch', 'cv2')):
        return None
    path = found[0] / 'segment_anything' / 'utils' / 'amg.py'
    spec = importlib.util.spec_from_file_location('amg', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _masks(size: list[int], number: int) -> np.ndarray:
    """Masks of a scene, every other one with holes and specks of 1 to 400 pixels."""
    import canvas
    import make
    import scenes

    rng = np.random.default_rng(0)
    masks, seed = [], 0
    while len(masks) < number:
        scene = scenes.landscape(31_000 + seed, *size, next(iter(canvas.LIGHTS)))
        masks += [mask.astype(np.uint8) for mask in make.find_masks(scene).values() if mask.any()]
        seed += 1
    for mask in masks[:number:2]:
        for side in rng.integers(1, 21, 12):
            top, left = rng.integers(0, size[0] - side), rng.integers(0, size[1] - side)
            mask[top : top + side, left : left + side] ^= 1
    return np.stack(masks[:number])


def _ours(coco_rle, counts, size):
    found = coco_rle.remove_small_regions(counts, size, holes=100, islands=100)
    return list(zip(found.counts, found.changed.tolist(), strict=True))


def _theirs(amg, drawn):
    found = []
    for mask in drawn:
        mask, filled = amg.remove_small_regions(mask.astype(bool), 100, mode='holes')
        mask, removed = amg.remove_small_regions(mask, 100, mode='islands')
        found.append((mask.astype(np.uint8), filled or removed))
    return found


def _fastest(function, repeat: int):
    """The fastest of some runs, and what the last one gave."""
    found, costs = [], []
    for _ in range(repeat):
        costs.append(_report.seconds(lambda: found.append(function())))
    return min(costs, key=lambda cost: cost.wall), found[-1]


if __name__ == '__main__':
    sys.exit(main())
