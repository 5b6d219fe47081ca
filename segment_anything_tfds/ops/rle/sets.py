"""Union, intersection and difference of masks, RLE in and RLE out.

Nothing is drawn: two sorted lists of run boundaries are merged. Results are byte for byte what
`rle.encode` gives for the same pixels.
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from segment_anything_tfds.ops import validate
from segment_anything_tfds.ops.rle import encoding
from segment_anything_tfds.ops.rle.core import boundaries, ranges


@boundaries.takes_masks
def union(a: tf.Tensor, b: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """Returns the pixels that are in either mask, mask by mask.

    Args:
      a: string [N], compressed COCO RLE; or [1], taken with every mask of `b`.
      b: string [N], likewise.
      size: integer [2], [height, width] of all masks, in pixels.

    Returns:
      string [N], compressed COCO RLE. Zero masks give [0].

    Raises:
      ValueError: wrong dtypes or static shapes.
      tf.errors.InvalidArgumentError: a malformed string, a size that it does not fill, or `a` and
        `b` of different lengths, neither of them 1.

    Example:
      >>> rle.union(['52203'], ['01400000'], [4, 4]).numpy()
      array([b'0141N02O'], dtype=object)
    """
    return _combine('rle.union', a, b, size, tf.logical_or)


@boundaries.takes_masks
def intersection(a: tf.Tensor, b: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """Returns the pixels that are in both masks, mask by mask.

    Args:
      a: string [N], compressed COCO RLE; or [1], taken with every mask of `b`.
      b: string [N], likewise.
      size: integer [2], [height, width] of all masks, in pixels.

    Returns:
      string [N], compressed COCO RLE. Zero masks give [0].

    Raises:
      ValueError: wrong dtypes or static shapes.
      tf.errors.InvalidArgumentError: a malformed string, a size that it does not fill, or `a` and
        `b` of different lengths, neither of them 1.

    Example:
      >>> rle.intersection(['52203'], ['52203'], [4, 4]).numpy()
      array([b'52203'], dtype=object)
    """
    return _combine('rle.intersection', a, b, size, tf.logical_and)


@boundaries.takes_masks
def difference(a: tf.Tensor, b: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """Returns the pixels of `a` that are not in `b`, mask by mask.

    Args:
      a: string [N], compressed COCO RLE; or [1], taken with every mask of `b`.
      b: string [N], likewise.
      size: integer [2], [height, width] of all masks, in pixels.

    Returns:
      string [N], compressed COCO RLE. Zero masks give [0].

    Raises:
      ValueError: wrong dtypes or static shapes.
      tf.errors.InvalidArgumentError: a malformed string, a size that it does not fill, or `a` and
        `b` of different lengths, neither of them 1.

    Example:
      >>> rle.difference(['52203'], ['52203'], [4, 4]).numpy()
      array([b'`0'], dtype=object)
    """
    return _combine('rle.difference', a, b, size, lambda x, y: x & ~y)


def _combine(
    where: str, a: tf.Tensor, b: tf.Tensor, size: tf.Tensor, operation: Callable
) -> tf.Tensor:
    a, b = boundaries.read_two(where, a, b, size)
    num_masks = _paired_number(where, a.number, b.number)
    height, width = tf.maximum(a.height, b.height), tf.maximum(a.width, b.width)
    # one position more for each mask keeps the end of one apart from the start of the next
    stride = tf.cast(height, tf.int64) * tf.cast(width, tf.int64) + 1
    keys, in_a, in_b = _merge(
        _boundaries(_repeated(a, num_masks), stride),
        _boundaries(_repeated(b, num_masks), stride),
    )
    inside = operation(in_a, in_b)
    # Where boundaries are equal, the last one knows what holds after all of them. The union of
    # [1, 3) and [3, 5): keys 1 3 3 5, inside after each 1 0 1 0; without the first 3 there is no
    # change at 3, and the one run [1, 5) is left.
    last = tf.concat([keys[1:] != keys[:-1], tf.ones_like(keys[:1], tf.bool)], 0)
    keys, inside = tf.boolean_mask(keys, last), tf.boolean_mask(inside, last)
    changes = tf.not_equal(inside, tf.concat([tf.zeros_like(inside[:1]), inside[:-1]], 0))
    changes = tf.reshape(tf.boolean_mask(keys, changes), [-1, 2])
    positions = tf.cast(changes % stride, tf.int32)
    rows = tf.cast(changes[:, 0] // stride, tf.int32)
    found = boundaries.ForegroundRuns(rows, positions[:, 0], positions[:, 1])
    return encoding.foreground(found, num_masks, height, width)


def _paired_number(where: str, num_a: tf.Tensor, num_b: tf.Tensor) -> tf.Tensor:
    """Returns int32 scalar N, of which one of the two may be 1 instead."""

    def describe():
        return tf.strings.format(
            'expected `a` and `b` of as many masks, or one; got {} and {}. Pair them mask by mask.',
            [num_a, num_b],
        )

    check = (tf.equal(num_a, num_b) | tf.equal(num_a, 1) | tf.equal(num_b, 1), describe)
    with tf.control_dependencies(validate.first_fault(where, [check])):
        return tf.where(tf.equal(num_a, 1), num_b, num_a)


def _repeated(masks: boundaries.Masks, num_masks: tf.Tensor) -> boundaries.ForegroundRuns:
    """Gives the runs of N masks; those of one mask alone are repeated for each of N."""
    copies = tf.where(tf.equal(masks.number, 1), num_masks, 1)[tf.newaxis]
    rows, starts, ends = (tf.tile(part, copies) for part in masks.found)
    copy = tf.repeat(tf.range(copies[0]), tf.size(masks.found.rows))
    return boundaries.ForegroundRuns(rows + copy, starts, ends)


def _boundaries(found: boundaries.ForegroundRuns, stride: tf.Tensor) -> tf.Tensor:
    """Returns int64 [2F], where foreground starts and ends, mask after mask."""
    positions = tf.cast(tf.stack([found.starts, found.ends], 1), tf.int64)
    return tf.reshape(positions + tf.cast(found.rows, tf.int64)[:, tf.newaxis] * stride, [-1])


def _merge(a: tf.Tensor, b: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Merges sorted boundaries; returns them, and whether a, and b, are inside after each."""
    places = ranges.merged_places(a, b)
    keys = tf.dynamic_stitch(places, [a, b])
    from_a = tf.dynamic_stitch(places, [tf.ones_like(a), tf.zeros_like(b)])
    passed_a = tf.cumsum(from_a)
    passed_b = tf.range(1, tf.size(keys, tf.int64) + 1) - passed_a
    return keys, tf.equal(passed_a & 1, 1), tf.equal(passed_b & 1, 1)
