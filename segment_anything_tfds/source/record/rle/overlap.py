"""Every mask against every mask, from the runs: intersection, IoU, non-maximum suppression.

All masks lie on one line, mask n from position n x height x width on. How many ones come before a
position is found by one binary search, so a run of one mask, moved to where another mask lies,
holds as many pixels of it as there are ones before its end, less those before its start:

    line    mask 0: 0 1 1 1 0 0    mask 1: 0 0 1 1 1 0
    ones before position 6 + 1: 3; before 6 + 4: 5; so run [1, 4) of mask 0 shares 2 with mask 1
"""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from segment_anything_tfds.source.record.rle import arguments, measures
from segment_anything_tfds.source.record.rle import spans as spans_lib

_PORTION = 1 << 19  # runs that are moved together: some 30 MB


@arguments.takes_segmentation
def intersection_area(
    a: Sequence[bytes | str], b: Sequence[bytes | str], size: Sequence[int]
) -> np.ndarray:
    """Counts the pixels that every mask of `a` shares with every mask of `b`, int64 [N, M].

    Args:
      a: N compressed strings, N may be 0.
      b: M compressed strings, M may be 0.
      size: [height, width] of all masks, in pixels.

    Raises:
      ValueError: a string is malformed or does not fit `size`.

    Example:
      >>> intersection_area([b'22'], [b'22', b'13'], (2, 2)).tolist()
      [[2, 2]]
    """
    return compare('intersection_area', a, b, size)[0]


@arguments.takes_segmentation
def iou(
    a: Sequence[bytes | str],
    b: Sequence[bytes | str],
    size: Sequence[int],
    *,
    crowd: Sequence[bool] | None = None,
) -> np.ndarray:
    """Divides intersection by union, float64 [N, M], as `pycocotools.mask.iou(a, b, crowd)`.

    Two empty masks have an IoU of 0.

    Args:
      a: N compressed strings: the detections; N may be 0.
      b: M compressed strings: the ground truth; M may be 0.
      size: [height, width] of all masks, in pixels.
      crowd: bool [M], marks masks of `b` that stand for a crowd: the divisor is then the area of
        the mask of `a` alone.

    Raises:
      ValueError: a string is malformed or does not fit `size`, or `crowd` has another length.

    Example:
      >>> iou([b'22'], [b'22', b'13'], (2, 2)).round(3).tolist()
      [[1.0, 0.667]]
    """
    common, areas_a, areas_b = compare('iou', a, b, size)
    divisor = areas_a[:, None] + areas_b - common
    if crowd is not None:
        crowd = np.asarray(crowd, bool)
        if crowd.shape != areas_b.shape:
            raise ValueError(
                f'`coco_rle.iou`: expected `crowd` of shape {areas_b.shape}, one flag a mask of '
                f'`b`; got {crowd.shape}.'
            )
        divisor = np.where(crowd, areas_a[:, None], divisor)
    return common / np.maximum(divisor, 1)


@arguments.takes_segmentation
def nms(
    counts: Sequence[bytes | str],
    scores: Sequence[float],
    size: Sequence[int],
    threshold: float,
    *,
    max_masks: int | None = None,
) -> np.ndarray:
    """Drops masks that overlap a better one, by IoU; the same masks as `rle.nms` keeps.

    Masks are taken by falling score (at equal scores, the earlier one first); one is dropped if its
    IoU with a mask that was kept is greater than `threshold`.

    Args:
      counts: N compressed strings, N may be 0.
      scores: N numbers without NaN.
      size: [height, width] of all masks, in pixels; or [N, 2] with equal rows.
      threshold: the largest IoU that two kept masks may have, 0 to 1.
      max_masks: keep at most so many.

    Returns:
      int64 [K], indices of the kept masks, by falling score.

    Raises:
      ValueError: a string is malformed or does not fit `size`, scores of another length or with
        NaN, a `threshold` outside 0..1, `max_masks` below 1.

    Example:
      >>> nms([b'22', b'22', b'13'], [0.5, 0.9, 0.1], (2, 2), 0.7).tolist()
      [1, 2]
    """
    scores = np.asarray(scores, np.float64)
    if scores.shape != (len(counts),) or np.isnan(scores).any():
        raise ValueError(
            f'`coco_rle.nms`: expected `scores` of {len(counts)} numbers, one a mask; got '
            f'{scores.tolist()!r:.80}. Leave masks without a score out first.'
        )
    if not isinstance(threshold, numbers.Real) or not 0 <= threshold <= 1:
        raise ValueError(
            f'`coco_rle.nms`: expected `threshold` to be a number from 0 to 1; got {threshold!r}.'
        )
    if max_masks is not None and max_masks < 1:
        raise ValueError(f'`coco_rle.nms`: expected `max_masks` of at least 1; got {max_masks!r}.')
    common, areas, _ = compare('nms', counts, counts, size)
    # rounded as `rle.nms` rounds
    overlaps = (common / np.maximum(areas[:, None] + areas - common, 1)).astype(np.float32)
    is_near = overlaps > np.float32(threshold)
    dropped, kept = np.zeros(len(scores), bool), []
    for index in np.argsort(-scores, kind='stable').tolist():
        if not dropped[index] and (max_masks is None or len(kept) < max_masks):
            kept.append(index)
            dropped |= is_near[index]
    return np.array(kept, np.int64)


def compare(
    where: str, a: Sequence[bytes | str], b: Sequence[bytes | str], size: Sequence[int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Counts common pixels int64 [N, M], and areas [N] and [M]; errors name `where`."""
    spans_a = spans_lib.read(where, a, size)
    if a is b:
        return _intersections(spans_a, spans_a), *[measures.areas(spans_a)] * 2
    spans_b = spans_lib.read(where, b, size)
    common = _intersections(spans_a, spans_b)
    return common, measures.areas(spans_a), measures.areas(spans_b)


class _Line(NamedTuple):
    """Runs on the line of all masks, after an empty one that stands for "none before".

    Attributes:
      starts, ends: int64 [F + 1], positions on the line.
      after: int64 [F + 1], ones on the line to the end of each run.
    """

    starts: np.ndarray
    ends: np.ndarray
    after: np.ndarray

    def ones_before(self, positions: np.ndarray) -> np.ndarray:
        """Counts the ones before each position."""
        run = np.searchsorted(self.starts, positions, 'right') - 1
        return self.after[run] - np.maximum(self.ends[run] - positions, 0)


def lay_out(spans: spans_lib.Spans) -> _Line:
    """Lays masks end to end."""
    offsets = spans.owners * spans.num_pixels
    starts = np.concatenate(([0], spans.starts + offsets))
    ends = np.concatenate(([0], spans.ends + offsets))
    return _Line(starts, ends, np.cumsum(ends - starts))


def _intersections(a: spans_lib.Spans, b: spans_lib.Spans) -> np.ndarray:
    """Counts common pixels int64 [N, M]; of each pair, the mask with fewer runs is moved."""
    common = np.zeros((a.num_masks, b.num_masks), np.int64)
    boxes_a, boxes_b = spans_lib.corners(a)[:, None], spans_lib.corners(b)[None]
    meets = np.maximum(boxes_a[..., :2], boxes_b[..., :2])
    near = (meets < np.minimum(boxes_a[..., 2:], boxes_b[..., 2:])).all(axis=2)
    if a is b:
        near = np.triu(near)
    rows, columns = np.nonzero(near)
    cuts_a, cuts_b = (np.searchsorted(s.owners, np.arange(s.num_masks + 1)) for s in (a, b))
    fewer_a = np.diff(cuts_a)[rows] <= np.diff(cuts_b)[columns]
    common[rows[fewer_a], columns[fewer_a]] = _shared(
        a, cuts_a, rows[fewer_a], lay_out(b), columns[fewer_a]
    )
    rest = ~fewer_a
    common[rows[rest], columns[rest]] = _shared(b, cuts_b, columns[rest], lay_out(a), rows[rest])
    return np.triu(common) + np.triu(common, 1).T if a is b else common


def _shared(
    spans: spans_lib.Spans, cuts: np.ndarray, movers: np.ndarray, line: _Line, targets: np.ndarray
) -> np.ndarray:
    """Counts the pixels that `movers[k]` of `spans` shares with `targets[k]` of `line`, [K]."""
    sizes = cuts[movers + 1] - cuts[movers]
    shared = np.zeros(len(movers), np.int64)
    for first, last in spans_lib.portions(sizes, _PORTION):
        chosen = movers[first:last]
        runs, pairs = spans_lib.expand(cuts[chosen], cuts[chosen + 1])
        offset = targets[first:last][pairs] * spans.num_pixels
        ends, starts = (
            line.ones_before(part[runs] + offset) for part in (spans.ends, spans.starts)
        )
        sums = np.cumsum(np.concatenate(([0], ends - starts)))
        at = np.concatenate(([0], np.cumsum(sizes[first:last])))
        shared[first:last] = np.diff(sums[at])
    return shared
