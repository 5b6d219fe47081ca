"""Points and masks: random points of each mask."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from segment_anything_tfds.source.record.rle import spans as spans_lib

_LABELS = ('foreground', 'background')


def sample_points(
    counts: Sequence[bytes | str],
    size: Sequence[int],
    num_points: int,
    *,
    seed: int | Sequence[int],
    label: str = 'foreground',
) -> tuple[np.ndarray, np.ndarray]:
    """Points of each mask, uniform over its pixels, with replacement, straight from the runs.

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
    height, width = spans_lib.check_size('sample_points', 'size', size)
    runs = spans_lib.read_runs('sample_points', counts, height * width)
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
            run_ends = np.cumsum(lengths)[is_foreground::2][run]
            columns, rows = np.divmod(run_ends - ends[run] + rank, height)
            points[n], labels[n] = np.stack([columns, rows], axis=1), is_foreground
    return points, labels
