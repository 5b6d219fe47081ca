"""All masks of a call on one line of N × height × width positions, for binary search.

Mask n has the positions from `n × height × width` on, so one sorted list of runs answers questions
about any pixel of any mask: is it foreground, and how many foreground pixels come before it?
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from segment_anything_tfds.ops.rle import measure
from segment_anything_tfds.ops.rle.core import boundaries, ranges


class Line(NamedTuple):
    """The foreground runs of all masks on one line of positions, and a box for each mask.

    Attributes:
      starts, ends: int64 [F + 1], a run each; an empty one in front stands for "none before".
      after: int64 [F + 1], foreground pixels on the line to each run's end.
      gaps: int64 [F + 1], background pixels on the line before each run.
      low, last: int32 [N, 2], x and y of the first and of the last pixel of each box.
      pixels: int64 scalar, positions of one mask.
    """

    starts: tf.Tensor
    ends: tf.Tensor
    after: tf.Tensor
    gaps: tf.Tensor
    low: tf.Tensor
    last: tf.Tensor
    pixels: tf.Tensor


def lay_out(
    found: boundaries.ForegroundRuns, num_masks: tf.Tensor, height: tf.Tensor, width: tf.Tensor
) -> Line:
    """Lays the masks of a call end to end."""
    low, last = measure.corners(found, num_masks, height)
    pixels = tf.cast(height, tf.int64) * tf.cast(width, tf.int64)
    offset = tf.cast(found.rows, tf.int64) * pixels
    starts = tf.pad(offset + tf.cast(found.starts, tf.int64), [[1, 0]])
    ends = tf.pad(offset + tf.cast(found.ends, tf.int64), [[1, 0]])
    after = tf.cumsum(ends - starts)
    return Line(starts, ends, after, ends - after, low, last, pixels)


def foreground_before(line: Line, positions: tf.Tensor) -> tf.Tensor:
    """Returns int64, like `positions`: foreground pixels on the line before each position.

    Two masks of 4 pixels, 0110 and 1000, have the runs [1, 3) and [4, 5), an empty one in front:

        starts  0 1 4    after  0 2 3    gaps  0 1 2
        position 2: the last run to start there or before is [1, 3); 2 less its gap is 1
        position 6: it is [4, 5); 6 less its gap is 4, but there are only 3 up to its end
    """
    run = ranges.rank(line.starts, positions, side='right') - 1
    return tf.minimum(positions - ranges.take(line.gaps, run), ranges.take(line.after, run))
