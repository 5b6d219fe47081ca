"""What a mask measures: runs, area, box, emptiness."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from segment_anything_tfds.source.record.rle import arguments
from segment_anything_tfds.source.record.rle import spans as spans_lib

CONVENTIONS = ('coco', 'sa1b', 'xyxy_inclusive')


@arguments.takes_segmentation
def run_lengths(
    counts: Sequence[bytes | str], size: Sequence[int] | None = None
) -> list[np.ndarray]:
    """Gives run lengths of masks: N arrays int64 [R], of any R, zeros first.

    Args:
      counts: N compressed strings, N may be 0.
      size: [height, width], in pixels, which the runs must fill; unchecked where not given.

    Raises:
      ValueError: a string is malformed or does not fit `size`; its index and what is wrong are
        named.

    Example:
      >>> [runs.tolist() for runs in run_lengths([b'7391I'])]
      [[7, 3, 9, 4, 2]]
    """
    runs = arguments.read_runs('run_lengths', counts, _num_pixels('run_lengths', size))
    return np.split(runs.lengths, runs.splits[1:-1]) if len(runs.splits) > 1 else []


@arguments.takes_segmentation
def area(counts: Sequence[bytes | str], size: Sequence[int] | None = None) -> np.ndarray:
    """Counts the pixels in each mask, int64 [N].

    Args:
      counts: N compressed strings, N may be 0.
      size: [height, width], in pixels, which the runs must fill; unchecked where not given.

    Raises:
      ValueError: a string is malformed or does not fit `size`.

    Example:
      >>> area([b'7391I']).tolist()
      [7]
    """
    return arguments.read_runs('area', counts, _num_pixels('area', size)).sums()[1]


@arguments.takes_segmentation
def is_empty(counts: Sequence[bytes | str], size: Sequence[int]) -> np.ndarray:
    """Tells which masks hold no pixel, bool [N].

    Args:
      counts: N compressed strings, N may be 0.
      size: [height, width] of all masks, in pixels; or [N, 2] with equal rows.

    Raises:
      ValueError: a string is malformed or does not fit `size`.

    Example:
      >>> is_empty([b'22', b'4'], (2, 2)).tolist()
      [False, True]
    """
    return areas(spans_lib.read('is_empty', counts, size)) == 0


@arguments.takes_segmentation
def bbox(counts: Sequence[bytes | str], size: Sequence[int], *, convention: str) -> np.ndarray:
    """Finds the smallest box around each mask, in a convention that must be named.

    | convention | numbers | one pixel at x = 3, y = 5 |
    |---|---|---|
    | `coco` | x, y, width, height | 3, 5, 1, 1 |
    | `sa1b` | x, y, max x − min x, max y − min y | 3, 5, 0, 0 |
    | `xyxy_inclusive` | min x, min y, max x, max y | 3, 5, 3, 5 |

    Args:
      counts: N compressed strings, N may be 0.
      size: [height, width] of all masks, in pixels; or [N, 2] with equal rows.
      convention: `'coco'`, `'sa1b'` or `'xyxy_inclusive'`.

    Returns:
      int64 [N, 4], in pixels; an empty mask gives 0, 0, 0, 0.

    Raises:
      ValueError: a string is malformed or does not fit `size`, or an unknown convention.

    Example:
      >>> bbox([b'22'], (2, 2), convention='coco').tolist()
      [[1, 0, 1, 2]]
    """
    if convention not in CONVENTIONS:
        raise ValueError(
            f'`coco_rle.bbox`: expected `convention` to be one of {CONVENTIONS}; got '
            f'{convention!r}. Choose one of them.'
        )
    corners = spans_lib.corners(spans_lib.read('bbox', counts, size))
    if convention != 'xyxy_inclusive':
        corners[:, 2:] -= corners[:, :2]
    return corners if convention == 'coco' else np.maximum(corners - [0, 0, 1, 1], 0)


def areas(spans: spans_lib.Spans) -> np.ndarray:
    """Counts the pixels of each mask, int64 [N]."""
    sums = np.bincount(spans.owners, spans.ends - spans.starts, minlength=spans.num_masks)
    return sums.astype(np.int64)


def _num_pixels(where: str, size: Sequence[int] | None) -> int | None:
    return None if size is None else math.prod(arguments.check_size(where, 'size', size))
