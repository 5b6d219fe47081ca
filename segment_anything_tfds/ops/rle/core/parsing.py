"""From `counts` strings to run lengths and their ends, and the checks that say they are sound."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from segment_anything_tfds.ops import validate
from segment_anything_tfds.ops.rle.core import counts_text, ranges

MAX_PIXELS = validate.MAX_PIXELS


def parse(
    where: str,
    counts: tf.Tensor,
    size: tuple[tf.Tensor, tf.Tensor] | None = None,
    checks: Sequence[validate.Check] = (),
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
    """Reads strings and checks them.

    Args:
      where: the public function to name in errors.
      counts: string [N].
      size: int64 scalars, height and width that the runs of each mask must fill; None for any sum.
      checks: of other arguments, to be made first.

    Returns:
      int32 [T] lengths, int32 [T] index of each run in its mask, int32 [T] ends within the mask,
      int64 [N + 1] row splits.
    """
    text = counts_text.join(counts)
    with tf.control_dependencies(
        validate.first_fault(where, [*checks, counts_text.length_check(text)])
    ):
        text = counts_text.Text(tf.identity(text.characters), text.splits)
    stops = tf.where(text.characters < 32)[:, 0]  # the last character of a number has no 32
    row_splits = ranges.rank(stops, text.splits, side='left')
    numbers, longest = counts_text.numbers(text.characters, stops)
    rows = _lay_out(row_splits, tf.size(numbers, tf.int64))
    lengths = _undo_differences(numbers[: rows.total], rows)
    ends = _cumulative_in_row(lengths, rows)
    last_ends = row_ends(ends, row_splits)
    found = [
        *_text_checks(text, stops, longest, row_splits),
        _run_check(lengths, last_ends, rows),
    ]
    if size is not None:
        found.append(_sum_check(last_ends, *size))
    with tf.control_dependencies(validate.first_fault(where, found)):
        row_splits = tf.identity(row_splits)
    runs = (tf.cast(lengths, tf.int32), tf.cast(rows.index, tf.int32), tf.cast(ends, tf.int32))
    return (*(values[: row_splits[-1]] for values in runs), row_splits)


def row_ends(ends: tf.Tensor, row_splits: tf.Tensor) -> tf.Tensor:
    """Returns [N], the last of `ends`, which are not none, in each row; 0 for an empty row."""
    empty = tf.equal(row_splits[1:], row_splits[:-1])
    found = ranges.take(ends, tf.maximum(row_splits[1:] - 1, 0))
    return tf.where(empty, tf.zeros([], ends.dtype), found)


class _Rows(NamedTuple):
    """How the numbers of all masks lie in one vector; what stands behind the last one is a row too.

    Attributes:
      starts: int64 [N + 1], where each row begins.
      sizes: int64 [N + 1], its numbers.
      index: int64 [total], number within its row.
      total: int64 scalar, even: all numbers but perhaps the last of the tail.
    """

    starts: tf.Tensor
    sizes: tf.Tensor
    index: tf.Tensor
    total: tf.Tensor

    def before(self, sums: tf.Tensor, values: tf.Tensor, offset: int) -> tf.Tensor:
        """Returns [N + 1], running sums before the value at a place in each row."""
        # Of a row that is shorter, the place lies in a later row, and nothing of the row uses it;
        # behind the last mask stand the zeros of the tail, three at least.
        places = self.starts + offset
        return ranges.take(sums, places) - ranges.take(values, places)

    def repeat(self, values: tf.Tensor) -> tf.Tensor:
        """Returns [total], values of rows for each of their numbers, `index` added."""
        limits = values + self.sizes
        return tf.raw_ops.RaggedRange(starts=values, limits=limits, deltas=_ONE).rt_dense_values


_ONE = np.int64(1)


def _lay_out(row_splits: tf.Tensor, count: tf.Tensor) -> _Rows:
    total = count // 2 * 2
    sizes = tf.concat([row_splits[1:], total[tf.newaxis]], 0) - row_splits
    index = tf.raw_ops.RaggedRange(starts=np.int64(0), limits=sizes, deltas=_ONE).rt_dense_values
    return _Rows(row_splits, sizes, index, total)


def _undo_differences(numbers: tf.Tensor, rows: _Rows) -> tf.Tensor:
    """Undoes differences: from the fourth number on, they are to the run two before it.

    So each mask has its first run, and two chains that start at its second and third run. All
    numbers stand in two columns, whose running sums make the chains of all masks at once; what had
    been summed before a chain began is taken off again. Runs 7, 3, 9, 4, 2 are written 7, 3, 9, 1,
    -7; with a mask of two runs 6, 5 before it:

        numbers        6 5 | 7  3  9  1 -7        in columns    6 5    their running  6  5
        their sums     6 5 13  8 22  9 15                       7 3    sums          13  8
        second chain   begins at 3: 8, 9, less the 5 before it:   3, 4          9 1   22  9
        third chain    begins at 9: 22, 15, less the 13 before it: 9, 2        -7 0   15  9
    """
    sums = tf.reshape(tf.cumsum(tf.reshape(numbers, [-1, 2])), [-1])
    # `repeat` counts on from its values, so `index` is added to the other side too
    second, third = (rows.repeat(rows.before(sums, numbers, offset)) for offset in (1, 2))
    chains = sums + rows.index - tf.where(tf.cast(rows.index & 1, tf.bool), second, third)
    first = ranges.take(numbers, rows.starts)  # in no chain, so what stands there is none of its
    return tf.tensor_scatter_nd_update(chains, rows.starts[:, tf.newaxis], first)


def _cumulative_in_row(lengths: tf.Tensor, rows: _Rows) -> tf.Tensor:
    """Sums up anew in each row; the sums mean nothing if a length is out of range."""
    sums = tf.cumsum(lengths)
    return sums + rows.index - rows.repeat(rows.before(sums, lengths, 0))


def _text_checks(
    text: counts_text.Text, stops: tf.Tensor, longest: tf.Tensor, row_splits: tf.Tensor
) -> list[validate.Check]:
    last = ranges.take(text.characters, tf.maximum(text.splits[1:] - 1, 0))
    open_end = (text.splits[1:] > text.splits[:-1]) & (last >= 32)
    highest = tf.reduce_max(text.characters)

    def bad_character():
        at = validate.first_true(text.characters >= 64)
        row, position = _locate(text.splits, at)
        return tf.strings.format(
            'expected `counts` of characters 48..111; got character {} at index {}, position {}. '
            'Pass compressed COCO RLE.',
            [tf.cast(validate.value_at(text.characters, at), tf.int32) + 48 & 255, row, position],
        )

    def inside_number():
        row = validate.first_true(open_end)
        return tf.strings.format(
            'expected `counts` to end with a whole number; got character {} last at index {}. '
            'The string is cut short.',
            [tf.cast(validate.value_at(last, row), tf.int32) + 48, row],
        )

    def long_number():
        digits = stops - tf.concat([[-1], stops[:-1]], 0)
        at = validate.first_true(digits > counts_text.MAX_DIGITS)
        number = validate.value_at(digits, at)
        return tf.strings.format(
            'expected `counts` of numbers of at most {} characters; got {} at index {}, run {}. '
            'No mask is that large.',
            [tf.constant(counts_text.MAX_DIGITS), number, *_locate(row_splits, at)],
        )

    return [
        (highest < 64, bad_character),
        (~tf.reduce_any(open_end), inside_number),
        (longest <= counts_text.MAX_DIGITS, long_number),
    ]


def _run_check(lengths: tf.Tensor, last_ends: tf.Tensor, rows: _Rows) -> validate.Check:
    # As unsigned numbers negative lengths are the largest, so one maximum finds both faults; where
    # all lengths are in range, ends only rise within a mask.
    longest = tf.reduce_max(tf.bitcast(lengths, tf.uint64))
    limit = tf.constant(MAX_PIXELS, tf.uint64)
    good = (longest <= limit) & tf.reduce_all(last_ends <= MAX_PIXELS)

    def bad_run():
        limited = tf.clip_by_value(lengths, -MAX_PIXELS, MAX_PIXELS)  # for sums not to overflow
        sums = _cumulative_in_row(limited, rows)
        wrong = (lengths < 0) | (lengths > MAX_PIXELS) | (sums > MAX_PIXELS)
        at = validate.first_true(wrong)
        found = [validate.value_at(lengths, at), validate.value_at(sums, at)]
        return tf.strings.format(
            'expected `counts` of runs that are not negative and sum to at most {}; got a run of '
            '{}, sum {}, at index {}, run {}. The string is damaged.',
            [tf.constant(MAX_PIXELS), *found, *_locate(rows.starts, at)],
        )

    return good, bad_run


def _sum_check(sums: tf.Tensor, height: tf.Tensor, width: tf.Tensor) -> validate.Check:
    pixels = height * width
    wrong = tf.not_equal(sums, pixels)

    def describe():
        row = validate.first_true(wrong)
        return tf.strings.format(
            'expected `counts` to sum to height x width = {} x {} = {}; got a sum of {} at index '
            '{}. Check that `size` is [height, width] of these masks.',
            [height, width, pixels, validate.value_at(sums, row), row],
        )

    return ~tf.reduce_any(wrong), describe


def _locate(splits: tf.Tensor, at: tf.Tensor) -> list[tf.Tensor]:
    """Gives the row that a value stands in, and its place there, for a message."""
    row = tf.maximum(tf.searchsorted(splits, [at], side='right')[0] - 1, 0)
    return [row, at - validate.value_at(splits, row)]
