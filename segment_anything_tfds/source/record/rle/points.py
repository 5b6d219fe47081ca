"""Points and masks: random points of each mask, and which masks hold a point."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from segment_anything_tfds.source.record.rle import arguments
from segment_anything_tfds.source.record.rle import spans as spans_lib

_LABELS = ('foreground', 'background')


@arguments.takes_segmentation
def sample_points(
    counts: Sequence[bytes | str],
    size: Sequence[int],
    num_points: int,
    *,
    seed: int | Sequence[int],
    label: str = 'foreground',
) -> tuple[np.ndarray, np.ndarray]:
    """Draws points of each mask, uniform over its pixels, with replacement, straight from the runs.

    Coordinates are those of pixels, x first; pixel 3 has its centre at 3.0, as in SAM.

    Args:
      counts: N compressed strings, N may be 0.
      size: [height, width] of all masks, in pixels; or [N, 2] with equal rows.
      num_points: P, points of each mask, at least 1.
      seed: non-negative int, or several; equal seeds give equal points.
      label: `'foreground'`: pixels of the mask; `'background'`: pixels outside.

    Returns:
      `point_coords` float32 [N, P, 2] and `point_labels` int32 [N, P]: 1 in the mask, 0 outside,
      -1 with coordinates 0, 0 where the mask has no such pixel.

    Raises:
      ValueError: as `decode`; an unknown label, or `num_points` below 1.

    Example:
      >>> sample_points([b'31'], (2, 2), 1, seed=0)[0].tolist()
      [[[1.0, 1.0]]]
    """
    if label not in _LABELS:
        raise ValueError(
            f'`coco_rle.sample_points`: expected `label` to be one of {_LABELS}; got {label!r}.'
        )
    if num_points < 1:
        raise ValueError(
            f'`coco_rle.sample_points`: expected `num_points` of at least 1; got {num_points}.'
        )
    height, width = arguments.check_size('sample_points', 'size', size)
    runs = arguments.read_runs('sample_points', counts, height * width)
    generator = np.random.default_rng(seed)
    is_foreground = label == 'foreground'
    points = np.zeros((len(counts), num_points, 2), np.float32)
    labels = np.full((len(counts), num_points), -1, np.int32)
    for n, (start, stop) in enumerate(zip(runs.splits[:-1], runs.splits[1:], strict=True)):
        lengths = runs.lengths[start:stop]
        chosen = lengths[is_foreground::2]
        drawn = generator.random(num_points)  # Even for an empty mask: others stay the same.
        if total := int(chosen.sum()):
            rank = np.minimum((drawn * total).astype(np.int64), total - 1)
            ends = np.cumsum(chosen)
            run = np.searchsorted(ends, rank, 'right')
            # Runs 2 3 1 2 have ones at 2..4 and 6..7. The one of rank 3 is in the second run of
            # ones, which ends at 8; it has rank 5 at its end, so the pixel is 8 - (5 - 3) = 6.
            run_ends = np.cumsum(lengths)[is_foreground::2][run]
            columns, rows = np.divmod(run_ends - ends[run] + rank, height)
            points[n], labels[n] = np.stack([columns, rows], axis=1), is_foreground
    return points, labels


@arguments.takes_segmentation
def contains(counts: Sequence[bytes | str], size: Sequence[int], points: np.ndarray) -> np.ndarray:
    """Tells which masks hold each point, without drawing them: all masks of a click.

    Coordinates are x, y, pixel centres at whole numbers: 2.6 lies in pixel 3, as 3.4 does.

    Args:
      counts: N compressed strings, N may be 0.
      size: [height, width] of all masks, in pixels; or [N, 2] with equal rows.
      points: numbers [P, 2], x and y in pixels; P may be 0. A point outside the image, or NaN, is
        in no mask.

    Returns:
      bool [P, N].

    Raises:
      ValueError: a string is malformed or does not fit `size`, or points of another shape.

    Example:
      >>> contains([b'22', b'4'], (2, 2), [[1, 0], [0.4, 0]]).tolist()
      [[True, False], [False, False]]
    """
    points = np.asarray(points, np.float64)
    if points.ndim != 2 or points.shape[1] != 2:
        raise ValueError(
            f'`coco_rle.contains`: expected `points` of shape [P, 2], x and y; got shape '
            f'{points.shape}. Add an axis to a single point.'
        )
    spans = spans_lib.read('contains', counts, size)
    pixels = np.floor(points + 0.5)
    inside = ((pixels >= 0) & (pixels < [spans.width, spans.height])).all(axis=1)
    pixels = np.where(inside[:, None], pixels, 0).astype(np.int64)
    positions = pixels[:, :1] * spans.height + pixels[:, 1:]
    positions = positions + np.arange(spans.num_masks) * spans.num_pixels
    offsets = spans.owners * spans.num_pixels
    run = np.searchsorted(spans.starts + offsets, positions, 'right') - 1
    ends = np.append(spans.ends + offsets, 0)  # run -1, before the first one, ends before all
    return (positions < ends[run]) & inside[:, None]
