"""The characters of `counts` strings, and the numbers that they write.

A character holds six bits, 48 added: five of the number, low ones first, and 32 where more follow.
16 in a number's last character is its sign.

    'o0'   characters less 48: 63, 0   63 = 32 + 31: more follows; number 31 + 0 x 32 = 31
    'I'    73 - 48 = 25 = 16 + 9:      the last one, negative: 25 - 32 = -7
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from segment_anything_tfds.ops import validate
from segment_anything_tfds.ops.rle.core import ranges

MAX_CHARACTERS = 2**31 - 1  # of all masks of a call: with MAX_DIGITS, int64 sums cannot overflow
MAX_DIGITS = 7  # characters of one number: 35 bits


class Text(NamedTuple):
    """All strings joined: uint8 [B] characters less 48, and int64 [N + 1] splits."""

    characters: tf.Tensor
    splits: tf.Tensor


def join(counts: tf.Tensor) -> Text:
    """Joins string [N]; `length_check` says whether that went well."""
    sizes = tf.strings.length(counts)
    splits = tf.concat([[0], tf.cumsum(tf.cast(sizes, tf.int64))], 0)
    characters = tf.io.decode_raw(tf.strings.reduce_join(counts), tf.uint8) - 48
    return Text(characters, splits)


def length_check(text: Text) -> validate.Check:
    """Whether the strings are short enough together for what is done with them."""
    total = text.splits[-1]

    def describe():
        return tf.strings.format(
            'expected `counts` of at most {} characters in all; got {}. Pass fewer masks.',
            [tf.constant(MAX_CHARACTERS), total],
        )

    return total <= MAX_CHARACTERS, describe


def numbers(characters: tf.Tensor, stops: tf.Tensor, digits: tf.Tensor) -> tf.Tensor:
    """Returns the signed numbers, of which most have one or two characters: those are looked up.

    Args:
      characters: uint8 [B], less 48.
      stops: int64 [T], where the last character of each number stands.
      digits: int32 [T], characters of each number.

    Returns:
      int64 [T].
    """
    # A last character (below 32) and the one before it (below 64) make an index below 2048. In
    # '5I': '5' is 5, so 'I' has 25 x 64 + 5, and 5 has no 32 in it: -7. 'o0' has 0 x 64 + 63: 31.
    codes = tf.cast(characters, tf.int16)
    before = tf.pad(codes[:-1], [[1, 0]])[: tf.size(codes)]
    pairs = tf.cast(tf.gather(codes * 64 + before, stops), tf.int32)
    looked_up = tf.gather(tf.constant(_PAIRS), pairs & 2047)
    longer = tf.where(digits > 2)
    rest = tf.gather(digits, longer[:, 0])
    values = _long_numbers(characters, tf.gather(stops, longer[:, 0]), rest)
    return tf.tensor_scatter_nd_update(looked_up, longer, values)


def _long_numbers(characters: tf.Tensor, stops: tf.Tensor, digits: tf.Tensor) -> tf.Tensor:
    """Returns int64 [L], numbers of any digits: characters shifted to their places, then summed."""
    first = stops + 1 - tf.cast(digits, tf.int64)
    owner, at = ranges.expand(first, stops + 1)
    place = tf.minimum(ranges.index_in_row(digits), MAX_DIGITS - 1)
    bits = tf.cast(tf.gather(characters, at) & 31, tf.int64)
    bits = tf.bitwise.left_shift(bits, tf.cast(5 * place, tf.int64))
    number = tf.math.unsorted_segment_sum(bits, owner, tf.size(digits))
    # 16 in the highest character is the sign: moved up to bit 63 and back, it fills what is above
    unused = tf.cast(64 - 5 * tf.minimum(digits, MAX_DIGITS), tf.int64)
    return tf.bitwise.right_shift(tf.bitwise.left_shift(number, unused), unused)


def _tabulate_pairs() -> np.ndarray:
    """int64 [2048], the number that ends with two characters: the last one times 64, the first."""
    last, before = np.divmod(np.arange(2048), 64)
    last = np.where(last & 16, last - 32, last)
    return np.where(before & 32, last * 32 + (before & 31), last)


_PAIRS = _tabulate_pairs()
