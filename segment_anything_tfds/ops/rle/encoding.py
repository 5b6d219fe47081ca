"""From run boundaries, or from drawn masks, to `counts` strings."""

from __future__ import annotations

import tensorflow as tf

from segment_anything_tfds.ops import validate
from segment_anything_tfds.ops.rle.core import boundaries, counts_text, ranges


@tf.autograph.experimental.do_not_convert
def encode(masks: tf.Tensor) -> tf.Tensor:
    """Encodes drawn masks as COCO RLE, byte for byte as pycocotools' `encode`.

    Every value but 0 is foreground.

    Args:
      masks: bool or integer [N, H, W], of at most 2³¹ − 1 pixels a mask.

    Returns:
      string [N], compressed `counts`. Zero masks give [0].

    Raises:
      ValueError: `masks` is not of rank 3, or neither bool nor integer.
      tf.errors.InvalidArgumentError: a mask without pixels, or with too many.

    Example:
      >>> rle.encode(np.eye(2, dtype=np.uint8)[np.newaxis]).numpy()
      array([b'0120'], dtype=object)
    """
    masks = tf.convert_to_tensor(masks)
    validate.static_shape('rle.encode', 'masks', masks, [(None, None, None)], '[N, H, W]')
    if not (masks.dtype.is_integer or masks.dtype.is_bool):
        raise ValueError(
            f'rle.encode: expected `masks` of bool or integers; got {masks.dtype.name}. '
            'Compare them with a threshold first.'
        )
    masks = tf.cast(tf.ensure_shape(masks, [None, None, None]), tf.bool)
    num_masks, height, width = tf.unstack(tf.shape(masks))
    with tf.control_dependencies(_area_check(tf.shape(masks, tf.int64))):
        changes = tf.where(tf.not_equal(masks, _pixel_before(masks)))
    row, y, x = tf.unstack(changes, axis=1)
    pixels = tf.cast(height * width, tf.int64)
    line = tf.sort(row * pixels + x * tf.cast(height, tf.int64) + y)
    pixels = tf.maximum(pixels, 1)
    return encode_changes(line // pixels, line % pixels, num_masks, height * width)


def foreground(
    found: boundaries.ForegroundRuns, num_masks: tf.Tensor, height: tf.Tensor, width: tf.Tensor
) -> tf.Tensor:
    """Encodes foreground runs that are in order and do not touch; returns string [N]."""
    pixels = height * width
    positions = tf.reshape(tf.stack([found.starts, found.ends], 1), [-1])
    inside = positions < pixels
    rows = tf.boolean_mask(tf.repeat(found.rows, 2), inside)
    return encode_changes(rows, tf.boolean_mask(positions, inside), num_masks, pixels)


def encode_changes(
    rows: tf.Tensor, positions: tf.Tensor, num_masks: tf.Tensor, pixels: tf.Tensor
) -> tf.Tensor:
    """Encodes the positions at which each mask changes.

    Args:
      rows: integer [K], the mask of each position, rising.
      positions: integer [K], rising within a mask and below `pixels`.
      num_masks: int32 scalar N.
      pixels: integer scalar, height × width.

    Returns:
      string [N].
    """
    # Masks of 16 pixels that change at 5 7 9 11, and at none: an end at 16 comes behind each.
    #   ends      5 7 9 11 16 | 16       rows 0 0 0 0 move by no place, rows of mask 1 would by one
    #   lengths   5 2 2 2 5 | 16         from the fourth on less the one two before: 5 2 2 0 3 | 16
    rows, positions = tf.cast(rows, tf.int64), tf.cast(positions, tf.int64)
    sizes = 1 + tf.math.unsorted_segment_sum(tf.ones_like(rows), rows, num_masks)
    splits = tf.concat([[0], tf.cumsum(sizes)], 0)
    places = tf.concat([tf.range(tf.size(rows, tf.int64)) + rows, splits[1:] - 1], 0)
    lasts = tf.fill([num_masks], tf.cast(pixels, tf.int64))
    ends = tf.scatter_nd(places[:, tf.newaxis], tf.concat([positions, lasts], 0), splits[-1:])
    index = ranges.index_in_row(tf.cast(sizes, tf.int32))
    before = tf.pad(ends, [[1, 0]])[:-1]
    lengths = tf.where(index > 0, ends - before, ends)
    two_before = tf.pad(lengths, [[2, 0]])[:-2]
    return _write(tf.where(index > 2, lengths - two_before, lengths), splits)


def _write(numbers: tf.Tensor, splits: tf.Tensor) -> tf.Tensor:
    """Writes int64 numbers of at most 35 bits, 5 bits a character, as one string a row."""
    # One character holds -16 to 15, two -512 to 511, ... -1 - n of a negative n needs as many as n:
    # -16 and 15 have the magnitude 15, one character; -17 and 16 have 16, two.
    magnitude = tf.maximum(numbers, -1 - numbers)
    limits = tf.constant(
        [1 << (5 * digits - 1) for digits in range(1, counts_text.MAX_DIGITS)], tf.int64
    )
    digits = 1 + tf.searchsorted(limits, magnitude, side='right')
    ragged = tf.raw_ops.RaggedRange(starts=0, limits=digits, deltas=1, Tsplits=tf.int64)
    digit, ends = ragged.rt_dense_values, ragged.rt_nested_splits
    owner = ranges.row_ids(ends)
    bits = tf.bitwise.right_shift(ranges.take(numbers, owner), tf.cast(5 * digit, tf.int64)) & 31
    more = digit + 1 < ranges.take(digits, owner)
    characters = tf.cast(bits, tf.int32) + tf.where(more, 48 + 32, 48)
    return tf.raw_ops.UnicodeEncode(
        input_values=characters, input_splits=ranges.take(ends, splits), output_encoding='UTF-8'
    )


def _pixel_before(masks: tf.Tensor) -> tf.Tensor:
    """Gives the pixel before each one in column-major order; background before the first."""
    last_row = tf.pad(masks[:, -1:, :-1], [[0, 0], [0, 0], [1, 0]])
    return tf.concat([last_row, masks[:, :-1]], 1)


def _area_check(shape: tf.Tensor) -> list[tf.Operation]:
    height, width = shape[1], shape[2]
    clipped = tf.minimum(height, boundaries.MAX_PIXELS + 1) * tf.minimum(
        width, boundaries.MAX_PIXELS + 1
    )

    def describe():
        return tf.strings.format(
            'expected `masks` of 1 to {} pixels each; got {} x {}. Pass [N, H, W].',
            [tf.constant(boundaries.MAX_PIXELS), height, width],
        )

    fits = (clipped >= 1) & (clipped <= boundaries.MAX_PIXELS)
    return validate.first_fault('rle.encode', [(fits | tf.equal(shape[0], 0), describe)])
