"""What masks measure: runs, area."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from segment_anything_tfds.source.record.rle import spans as spans_lib


def run_lengths(counts: Sequence[bytes | str]) -> list[np.ndarray]:
    """Run lengths of masks: N arrays int64 [R], of any R, zeros first.

    Args:
      counts: N compressed strings.

    Raises:
      ValueError: a string is malformed; its index and what is wrong are named.

    Example:
      >>> [runs.tolist() for runs in run_lengths([b'7391I'])]
      [[7, 3, 9, 4, 2]]
    """
    runs = spans_lib.read_runs('run_lengths', counts)
    return np.split(runs.lengths, runs.splits[1:-1]) if len(runs.splits) > 1 else []


def area(counts: Sequence[bytes | str]) -> np.ndarray:
    """Pixels in each mask, int64 [N].

    Args:
      counts: N compressed strings, N may be 0.

    Raises:
      ValueError: a string is malformed; its index and what is wrong are named.

    Example:
      >>> area([b'7391I']).tolist()
      [7]
    """
    return spans_lib.read_runs('area', counts).sums()[1]
