"""The characters of `counts` strings, and the numbers that they write."""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from segment_anything_tfds.ops import _checks

MAX_CHARACTERS = 2**31 - 1  # of all masks of a call: with MAX_DIGITS, int64 sums cannot overflow
MAX_DIGITS = 7  # characters of one number: 35 bits


class Text(NamedTuple):
    """All strings joined: uint8 [B] characters less 48, their 5-bit payloads in 40-bit words."""

    characters: tf.Tensor
    words: tf.Tensor
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
        _checks.first_fault([(total <= MAX_CHARACTERS, describe)], name=name)
    ):
        padding = tf.strings.substr('0' * 16, tf.cast(total % 8, tf.int32), 16)
    joined = tf.strings.reduce_join(tf.concat([counts, [padding]], 0))
    characters = tf.io.decode_raw(joined, tf.uint8)[:total] - 48
    return Text(characters, _pack(tf.io.decode_raw(joined, tf.int64)), splits)


def _pack(words: tf.Tensor) -> tf.Tensor:
    """Squeezes the payloads of 8 characters, 5 bits each, into the low 40 bits of their word."""
    words = words ^ 0x1010101010101010  # x - 48 and x ^ 16 have the same low 5 bits
    words = (words & 0x001F001F001F001F) | _right(words & 0x1F001F001F001F00, 3)
    words = (words & 0x000003FF000003FF) | _right(words & 0x03FF000003FF0000, 6)
    return (words & 0x00000000000FFFFF) | _right(words & 0x000FFFFF00000000, 12)


def numbers(text: Text, stops: tf.Tensor, digits: tf.Tensor) -> tf.Tensor:
    """Returns int64 [T], the signed number that ends at each stop."""
    first = stops - digits + 1
    word, offset = _right(first, 3), (first & 7) * 5
    low = _right(tf.gather(text.words, word), offset)
    high = _left(tf.gather(text.words, word + 1), 40 - offset)
    unused = 64 - 5 * tf.minimum(digits, MAX_DIGITS)
    return _right(_left(low | high, unused), unused)  # the sign bit is the highest one used


def _left(bits: tf.Tensor, by: tf.Tensor | int) -> tf.Tensor:
    return tf.bitwise.left_shift(bits, tf.cast(by, bits.dtype))


def _right(bits: tf.Tensor, by: tf.Tensor | int) -> tf.Tensor:
    return tf.bitwise.right_shift(bits, tf.cast(by, bits.dtype))
