"""One size for all masks of a call."""

from __future__ import annotations

import tensorflow as tf

from segment_anything_tfds.ops import _checks

MAX_PIXELS = 2**31 - 1  # of one mask: positions are int32


def normalise(size: tf.Tensor, num_masks: tf.Tensor, *, name: str) -> tuple[tf.Tensor, tf.Tensor]:
    """Checks `size` and returns height and width as int32 scalars.

    Args:
      size: integer [2] or [N, 2]: [height, width]; uint64, as the dataset stores it, is accepted.
      num_masks: integer scalar N.
      name: the public function to name in errors.

    Raises:
      ValueError: not integers, or a shape that cannot be [2] or [N, 2].
      tf.errors.InvalidArgumentError: N differs, sizes differ, a size is not positive or a mask
        would pass `MAX_PIXELS`.
    """
    size = _checks.integers(size, argument='size', name=name)
    _checks.static_shape(size, [(2,), (None, 2)], argument='size', name=name, rule='[2] or [N, 2]')
    rows = tf.reshape(size, [-1, 2])
    num_rows = tf.shape(rows)[0]
    first = tf.concat([rows, tf.zeros([1, 2], tf.int64)], 0)[0]
    height, width = first[0], first[1]
    checks = _size_checks(size, rows, num_rows, tf.cast(num_masks, tf.int32))
    with tf.control_dependencies(_checks.first_fault(checks, name=name)):
        return tf.cast(height, tf.int32), tf.cast(width, tf.int32)


def _size_checks(size, rows, num_rows, num_masks):
    single = tf.equal(tf.rank(size), 1)
    fits = (rows >= 1) & (rows <= MAX_PIXELS)
    clipped = tf.clip_by_value(rows, 0, MAX_PIXELS)
    right = tf.reduce_all(fits, 1) & (clipped[:, 0] * clipped[:, 1] <= MAX_PIXELS)
    same = tf.reduce_all(tf.equal(rows, rows[:1]), 1)

    def wrong_number():
        return tf.strings.format(
            'expected `size` of shape [2] or [{}, 2], one row a mask; got {} rows. '
            'Pass one size for all masks, or one for each.',
            [num_masks, num_rows],
        )

    def wrong_size():
        row = tf.where(~right)[0, 0]
        return tf.strings.format(
            'expected `size` positive with height x width at most {}; got {} at index {}. '
            'Pass [height, width] in pixels.',
            [tf.constant(MAX_PIXELS), rows[row], row],
        )

    def differing():
        row = tf.where(~same)[0, 0]
        return tf.strings.format(
            'expected `size` equal for all masks of a call; got {} at index 0 and {} at index {}. '
            'Call once for each size.',
            [tf.gather(rows, 0), tf.gather(rows, row), row],
        )

    return [
        (single | tf.equal(num_rows, num_masks), wrong_number),
        (tf.reduce_all(right), wrong_size),
        (tf.reduce_all(same), differing),
    ]
