"""From `counts` strings to run lengths and their ends, and the checks that say they are sound."""

from __future__ import annotations

from collections.abc import Sequence

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
    stops = tf.where(text.characters < 32)[:, 0]
    digits = tf.cast(stops - tf.concat([[-1], stops[:-1]], 0), tf.int32)
    row_splits = ranges.rank(stops, text.splits, side='left')
    sizes = ranges.row_sizes(row_splits)
    index = ranges.index_in_row(sizes)
    numbers = counts_text.numbers(text.characters, stops, digits)
    lengths = _undo_differences(numbers, index, row_splits, sizes)
    ends = _cumulative_in_row(lengths, row_splits, sizes)
    found = [
        *_text_checks(text, digits, row_splits),
        _run_check(lengths, ends, row_splits),
    ]
    if size is not None:
        found.append(_sum_check(ends, row_splits, *size))
    with tf.control_dependencies(validate.first_fault(where, found)):
        return (
            tf.cast(lengths, tf.int32),
            index,
            tf.cast(ends, tf.int32),
            tf.identity(row_splits),
        )


def row_ends(ends: tf.Tensor, row_splits: tf.Tensor) -> tf.Tensor:
    """Returns [N], the last of `ends` in each row; 0 for an empty row."""
    last = row_splits[1:] - 1
    empty = tf.equal(row_splits[1:], row_splits[:-1])
    found = tf.gather(tf.pad(ends, [[0, 1]]), tf.maximum(last, 0))
    return tf.where(empty, tf.zeros([], ends.dtype), found)


def _undo_differences(
    numbers: tf.Tensor, index: tf.Tensor, row_splits: tf.Tensor, sizes: tf.Tensor
) -> tf.Tensor:
    """From the fourth run on, a number is the difference to the run two before it.

    So each mask has its first run, and two chains that start at its second and third run. All
    numbers stand in two columns, whose running sums make the chains of all masks at once; what had
    been summed before a chain began is taken off again. Runs 7, 3, 9, 4, 2 are written 7, 3, 9, 1,
    -7; with a mask of two runs 6, 5 before it:

        numbers        6 5 | 7  3  9  1 -7        in columns, after two zeros    0 0  running  0  0
        their sums     6 5 13  8 22  9 15                                        6 5  sums     6  5
        second chain   begins at 3: 8, 9, less the 5 before it:   3, 4           7 3          13  8
        third chain    begins at 9: 22, 15, less the 13 before it: 9, 2          9 1          22  9
    """
    total = tf.size(numbers)
    pairs = tf.reshape(tf.pad(numbers, [[2, 2 + total % 2]]), [-1, 2])
    sums = tf.reshape(tf.cumsum(pairs), [-1])
    before_second, before_third = (
        ranges.repeat(tf.gather(sums, row_splits[:-1] + offset), sizes) for offset in (1, 2)
    )
    before = tf.where(tf.equal(index & 1, 0), before_third, before_second)
    return tf.where(tf.equal(index, 0), numbers, sums[2 : total + 2] - before)


def _cumulative_in_row(lengths: tf.Tensor, row_splits: tf.Tensor, sizes: tf.Tensor) -> tf.Tensor:
    """Running sums that begin anew in each row; they mean nothing if a length is out of range."""
    sums = tf.cumsum(tf.pad(lengths, [[1, 0]]))
    before = tf.gather(sums, row_splits[:-1])
    return sums[1:] - ranges.repeat(before, sizes)


def _text_checks(
    text: counts_text.Text, digits: tf.Tensor, row_splits: tf.Tensor
) -> list[validate.Check]:
    last = tf.gather(tf.pad(text.characters, [[1, 0]]), text.splits[1:])
    open_end = (text.splits[1:] > text.splits[:-1]) & (last >= 32)
    highest = tf.reduce_max(tf.pad(text.characters, [[1, 0]]))
    most = tf.reduce_max(tf.pad(digits, [[1, 0]]))

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
        (most <= counts_text.MAX_DIGITS, long_number),
    ]


def _run_check(lengths: tf.Tensor, ends: tf.Tensor, row_splits: tf.Tensor) -> validate.Check:
    # As unsigned numbers negative lengths are the largest, so one maximum finds both faults; where
    # all lengths are in range, ends only rise within a mask.
    longest = tf.reduce_max(tf.bitcast(tf.pad(lengths, [[1, 0]]), tf.uint64))
    limit = tf.constant(MAX_PIXELS, tf.uint64)
    good = (longest <= limit) & tf.reduce_all(row_ends(ends, row_splits) <= MAX_PIXELS)

    def bad_run():
        limited = tf.clip_by_value(lengths, -MAX_PIXELS, MAX_PIXELS)  # for sums not to overflow
        sums = _cumulative_in_row(limited, row_splits, ranges.row_sizes(row_splits))
        wrong = (lengths < 0) | (lengths > MAX_PIXELS) | (sums > MAX_PIXELS)
        at = validate.first_true(wrong)
        found = [validate.value_at(lengths, at), validate.value_at(sums, at)]
        return tf.strings.format(
            'expected `counts` of runs that are not negative and sum to at most {}; got a run of '
            '{}, sum {}, at index {}, run {}. The string is damaged.',
            [tf.constant(MAX_PIXELS), *found, *_locate(row_splits, at)],
        )

    return good, bad_run


def _sum_check(
    ends: tf.Tensor, row_splits: tf.Tensor, height: tf.Tensor, width: tf.Tensor
) -> validate.Check:
    sums, pixels = row_ends(ends, row_splits), height * width
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
    """The row that a value stands in, and its place there, for a message."""
    row = tf.maximum(tf.searchsorted(splits, [at], side='right')[0] - 1, 0)
    return [row, at - validate.value_at(splits, row)]
