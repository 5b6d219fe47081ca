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
TAIL = 4  # zeros behind the last mask
SHORT = 3  # characters of numbers that 16 bits hold
_BITS, _SIGN = np.int16(5), np.int16(16)
_LOWEST = np.int16(-(2 ** (5 * SHORT - 1)))  # of such numbers: -16384
# -16384 + 32767 = 16383 is the highest of them. It marks numbers of more characters, so where it is
# meant, that number is read as one of those, to the same value.
_LONGER = np.int16(2 ** (5 * SHORT) - 1)


class Text(NamedTuple):
    """All strings joined: uint8 [B + TAIL] characters less 48, and int64 [N + 1] splits."""

    characters: tf.Tensor
    splits: tf.Tensor


def join(counts: tf.Tensor) -> Text:
    """Joins string [N], and writes `TAIL` zeros behind them; `length_check` says if that went well.

    So no vector of what follows is empty, and each mask has another number after its last one.
    """
    sizes = tf.strings.length(counts)
    splits = tf.concat([[0], tf.cumsum(tf.cast(sizes, tf.int64))], 0)
    text = tf.strings.join([tf.strings.reduce_join(counts), '0' * TAIL])
    return Text(tf.io.decode_raw(text, tf.uint8) - 48, splits)


def length_check(text: Text) -> validate.Check:
    """Checks that the strings are short enough together for what is done with them."""
    total = text.splits[-1]

    def describe():
        return tf.strings.format(
            'expected `counts` of at most {} characters in all; got {}. Pass fewer masks.',
            [tf.constant(MAX_CHARACTERS), total],
        )

    return total <= MAX_CHARACTERS, describe


def numbers(characters: tf.Tensor, stops: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the signed numbers, and of how many characters the longest is.

    Nearly all have three characters at most. What such a number would be is worked out at each
    character in 16 bits, and taken where one ends; the others are read one by one.

    Args:
      characters: uint8 [B], less 48.
      stops: int64 [T], where the last character of each number stands.

    Returns:
      int64 [T], and int64 scalar.
    """
    # 'o0' and '5I':   characters 63 0 5 25   go on 1 0 0 0   bits 31 0 5 25   signed -1 0 5 -7
    #   at '0'         0, after 31 that goes on: 32 x 0 + 31 = 31
    #   at 'I'         -7, after 5 that does not go on: -7
    codes = tf.cast(characters, tf.int16)
    goes_on, bits = tf.bitwise.right_shift(codes, _BITS), codes & 31
    found = tf.bitwise.bitwise_xor(bits, _SIGN) - _SIGN
    before = tf.roll(goes_on, 1, 0)
    for places in range(1, SHORT):
        found += before * (31 * found + tf.roll(bits, places, 0))
        before *= tf.roll(goes_on, places + 1, 0)
    found = tf.maximum(found, before * _LONGER + _LOWEST)  # as `before` is 0 or 1
    found = tf.cast(ranges.take(found, stops), tf.int64)
    longer = tf.where(tf.equal(found, int(_LONGER + _LOWEST)))[:, 0]
    # A number has the characters after the last one of the number before; before number 0 that is
    # -1. At stops 1 4, number 1 has 4 - 1 = 3 of them, number 0 has 1 - -1 = 2.
    last, first = (ranges.take(stops, at) for at in (longer, tf.maximum(longer, 1) - 1))
    digits = last - tf.where(longer > 0, first, -1)
    values = _long_numbers(characters, last, tf.cast(digits, tf.int32))
    found = tf.tensor_scatter_nd_update(found, longer[:, tf.newaxis], values)
    return found, tf.reduce_max(tf.pad(digits, [[1, 0]]))


def _long_numbers(characters: tf.Tensor, stops: tf.Tensor, digits: tf.Tensor) -> tf.Tensor:
    """Returns int64 [L], numbers of any digits: characters shifted to their places, then summed."""
    first = stops + 1 - tf.cast(digits, tf.int64)
    owner, at = ranges.expand(first, stops + 1)
    place = tf.minimum(ranges.index_in_row(digits), MAX_DIGITS - 1)
    bits = tf.cast(ranges.take(characters, at) & 31, tf.int64)
    bits = tf.bitwise.left_shift(bits, tf.cast(5 * place, tf.int64))
    number = tf.math.unsorted_segment_sum(bits, owner, tf.size(digits))
    # 16 in the highest character is the sign: moved up to bit 63 and back, it fills what is above
    unused = tf.cast(64 - 5 * tf.minimum(digits, MAX_DIGITS), tf.int64)
    return tf.bitwise.right_shift(tf.bitwise.left_shift(number, unused), unused)
