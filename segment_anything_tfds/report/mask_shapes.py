"""Shape of masks, measured on their run lengths: no mask is drawn."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from segment_anything_tfds.source.record import coco_rle


@dataclasses.dataclass(frozen=True)
class Shapes:
    """Measures of N masks of one image; pixels are unit squares.

    Attributes:
      areas: int64 [N], pixels.
      centers: float64 [N, 2], x and y of the centre of mass in pixels from the top left corner of
        the image (so the centre of the first pixel is 0.5, 0.5); NaN for an empty mask.
      hull_areas: float64 [N], area of the convex hull of the pixels' squares; 0 for an empty mask.
      covered: pixels of the image that lie in at least one mask.
    """

    areas: np.ndarray
    centers: np.ndarray
    hull_areas: np.ndarray
    covered: int


def measure(counts: Sequence[bytes], size: Sequence[int]) -> Shapes:
    """Measures masks from their compressed run lengths.

    Args:
      counts: N compressed strings in COCO RLE.
      size: [height, width] of the image.

    Returns:
      Areas, centres, hull areas and covered pixels; exact (hull areas are multiples of a half).

    Raises:
      ValueError: a string is malformed, or its runs do not sum to height x width.

    Example:
      >>> measure([b'121'], [2, 2]).areas  # a zero, two ones, a zero: column by column
      array([2])
    """
    height, width = (int(edge) for edge in size)
    runs = coco_rle.parse(counts)
    totals, areas = runs.sums()
    wrong = np.flatnonzero(totals != height * width)
    for n in [*runs.problems, *wrong.tolist()]:
        rule = coco_rle.PROBLEMS.get(runs.problems.get(n), 'runs that sum to height x width')
        raise ValueError(
            f'`shapes.measure`: expected `counts` of masks of {height} x {width}, {rule}; got mask '
            f'{n} with runs that sum to {totals[n]}. Check the data with `sa1b verify`.'
        )
    mask, start, stop = _runs_of_ones(runs)
    sums = _coordinate_sums(stop, height) - _coordinate_sums(start, height)
    total = np.zeros((2, len(areas)), np.int64)
    np.add.at(total, (slice(None), mask), sums)
    with np.errstate(invalid='ignore', divide='ignore'):
        centers = (total / areas + 0.5).T
    doubled = _doubled_hull_areas(mask, start, stop, height, len(areas), width)
    return Shapes(areas, centers, doubled / 2, _union(start, stop))


def _union(start: np.ndarray, stop: np.ndarray) -> int:
    """Counts the pixels that lie in at least one run.

    Runs are taken by their first pixel; of each counts what lies after all ends so far:

        runs [0, 5) [2, 4) [4, 9)    ends so far 0, 5, 5    new pixels 5, 0, 4
    """
    order = np.argsort(start, kind='stable')
    start, stop = start[order], stop[order]
    reached = np.maximum.accumulate(np.concatenate([[0], stop]))[:-1]
    return int(np.maximum(stop - np.maximum(start, reached), 0).sum())


def _runs_of_ones(runs: coco_rle.Runs) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Finds mask, first pixel and end of every run of ones; pixels are counted column by column."""
    ends = np.cumsum(runs.lengths)
    before = np.concatenate(([0], ends))[runs.splits[:-1]]
    mask = np.repeat(np.arange(len(runs.splits) - 1), np.diff(runs.splits))
    index = np.arange(len(runs.lengths)) - runs.splits[mask]
    ones = (index % 2 == 1) & (runs.lengths > 0)
    stop = (ends - before[mask])[ones]
    return mask[ones], stop - runs.lengths[ones], stop


def _coordinate_sums(pixel: np.ndarray, height: int) -> np.ndarray:
    """Sums up x, and y, over all pixels before `pixel`: int64 [2, R]."""
    # Whole columns 0 to x - 1, then rows 0 to y - 1 of column x. In columns of 4, before pixel 6
    # (x = 1, y = 2): x sums to 4 * 0 + 2 * 1 = 2, y to 0 + 1 + 2 + 3 + 0 + 1 = 7.
    x, y = np.divmod(pixel, height)
    sum_x = height * (x * (x - 1) // 2) + y * x
    sum_y = x * (height * (height - 1) // 2) + y * (y - 1) // 2
    return np.stack([sum_x, sum_y])


def _doubled_hull_areas(
    mask: np.ndarray, start: np.ndarray, stop: np.ndarray, height: int, num_masks: int, width: int
) -> np.ndarray:
    """Measures twice the area of each mask's convex hull, int64 [N]."""
    mask, column, top, bottom = _column_spans(mask, start, stop, height)
    # Pixels are squares: column x has corners on the vertical lines x and x + 1. On each line the
    # highest and the lowest count. A pixel at (0, 0): lines 0 and 1, from 0 to 1 on both.
    corner = np.concatenate([mask * (width + 1) + column, mask * (width + 1) + column + 1])
    order = np.argsort(corner, kind='stable')
    corner = corner[order]
    first = np.flatnonzero(np.diff(corner, prepend=-1))
    if not first.size:
        return np.zeros(num_masks, np.int64)
    mask, x = np.divmod(corner[first], width + 1)
    upper = np.minimum.reduceat(np.tile(top, 2)[order], first)
    lower = np.maximum.reduceat(np.tile(bottom + 1, 2)[order], first)
    return _area_over(mask, x, -upper, num_masks) + _area_over(mask, x, lower, num_masks)


def _column_spans(
    mask: np.ndarray, start: np.ndarray, stop: np.ndarray, height: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Gives mask, column, top and bottom row of the spans that can touch the hull.

    A run that goes over several columns gives its first two and its last two: those between are
    full columns, and the hull of full columns is that of the outer two.
    """
    (first, top), (last, bottom) = np.divmod(start, height), np.divmod(stop - 1, height)
    full = np.full_like(top, height - 1)
    single = first == last
    parts = [
        (mask, first, top, np.where(single, bottom, full)),
        (mask[~single], last[~single], 0 * top[~single], bottom[~single]),
    ]
    inner = last - first > 1
    parts += [
        (mask[inner], column[inner], 0 * top[inner], full[inner])
        for column in (first + 1, last - 1)
    ]
    return tuple(np.concatenate(part) for part in zip(*parts, strict=True))


def _area_over(mask: np.ndarray, x: np.ndarray, y: np.ndarray, num_masks: int) -> np.ndarray:
    """Measures twice the area between y = 0 and the concave hull from above, of each mask's points.

    Points come by mask and ascending x. A point on or under the line between its neighbours is no
    corner of the hull, whether these are or not, so all such points go at once, until none is left.
    """
    while True:
        inner = (mask[1:-1] == mask[:-2]) & (mask[1:-1] == mask[2:])
        # The cross product of the ways to the next two points: of (0, 0), (1, 0), (2, 2) it is
        # 1 * 2 - 0 * 2 = 2, not below 0, and the middle point lies under the line.
        rise = (x[1:-1] - x[:-2]) * (y[2:] - y[:-2]) - (y[1:-1] - y[:-2]) * (x[2:] - x[:-2])
        keep = np.ones(len(x), bool)
        keep[1:-1] = ~(inner & (rise >= 0))
        if keep.all():
            break
        mask, x, y = mask[keep], x[keep], y[keep]
    same = mask[1:] == mask[:-1]
    areas = np.zeros(num_masks, np.int64)
    np.add.at(areas, mask[1:][same], ((x[1:] - x[:-1]) * (y[1:] + y[:-1]))[same])
    return areas
