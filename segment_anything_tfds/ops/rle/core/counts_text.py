"""The characters of `counts` strings, and the numbers that they write."""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from segment_anything_tfds.ops import validate
from segment_anything_tfds.ops.rle.core import ranges

MAX_CHARACTERS = 2**31 - 1  # of all masks of a call: with MAX_DIGITS, int64 sums cannot overflow
MAX_DIGITS = 7  # characters of one number: 35 bits


class Text(NamedTuple):
    """All strings joined: uint8 [B] characters less 48, and int64 [N + 1] splits."""

    characters: tf.Tensor
    splits: tf.Tensor


def join(counts: tf.Tensor, name: str) -> Text:
    sizes = tf.strings.length(counts)
    splits = tf.concat([[0], tf.cumsum(tf.cast(sizes, tf.int64))], 0)
    total = splits[-1]

    def describe():
        return tf.strings.format(
            'expected `counts` of at most {} characters in all; got {}. Pass fewer masks.',
            [tf.constant(MAX_CHARACTERS), total],
        )

    with tf.control_dependencies(
        validate.first_fault([(total <= MAX_CHARACTERS, describe)], name=name)
    ):
        counts = tf.identity(counts)
    characters = tf.io.decode_raw(tf.strings.reduce_join(counts), tf.uint8) - 48
    return Text(characters, splits)


def numbers(characters: tf.Tensor, digits: tf.Tensor) -> tf.Tensor:
    """Returns int64 [T], the signed number of so many digits each; the lowest digit comes first."""
    place = tf.minimum(ranges.index_in_row(digits), MAX_DIGITS - 1)
    bits = tf.cast(characters[: tf.size(place)] & 31, tf.int64)
    bits = tf.bitwise.left_shift(bits, tf.cast(5 * place, tf.int64))
    total = tf.size(digits)
    owner = ranges.repeat(tf.range(total), digits)
    number = tf.math.unsorted_segment_sum(bits, owner, total)
    unused = tf.cast(64 - 5 * tf.minimum(digits, MAX_DIGITS), tf.int64)
    number = tf.bitwise.left_shift(number, unused)
    return tf.bitwise.right_shift(number, unused)  # the sign bit is the highest one used
