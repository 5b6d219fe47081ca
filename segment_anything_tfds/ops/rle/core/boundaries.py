"""From `counts` strings to checked run boundaries: the ground of every operation in `rle`.

A mask of height H and width W is a list of run lengths in column-major order, zeros first. Inside
one mask a pixel has the position `x * H + y`, which fits an int32 because a mask has at most
`MAX_PIXELS` pixels; so do the boundaries between runs. Nothing here is larger than the strings.
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from segment_anything_tfds.ops import validate
from segment_anything_tfds.ops.rle.core import counts_text, ranges

MAX_PIXELS = validate.MAX_PIXELS


class Runs(NamedTuple):
    """The runs of N masks, T in all, flat: mask n owns `[row_splits[n], row_splits[n + 1])`.

    Attributes:
      lengths: int32 [T], pixels of each run; a run may be empty.
      index: int32 [T], number of the run within its mask; odd runs are foreground.
      ends: int32 [T], position after the run's last pixel, within its mask.
      row_splits: int64 [N + 1].
    """

    lengths: tf.Tensor
    index: tf.Tensor
    ends: tf.Tensor
    row_splits: tf.Tensor

    @property
    def starts(self) -> tf.Tensor:
        """int32 [T], position of each run's first pixel, within its mask."""
        return self.ends - self.lengths

    @property
    def foreground(self) -> tf.Tensor:
        """bool [T], whether the run is foreground and holds a pixel."""
        return tf.logical_and(tf.not_equal(self.index & 1, 0), self.lengths > 0)


class ForegroundRuns(NamedTuple):
    """The F foreground runs that hold a pixel, in order.

    Attributes:
      rows: int32 [F], the mask of each run.
      starts: int32 [F], position of the first pixel.
      ends: int32 [F], position after the last pixel.
    """

    rows: tf.Tensor
    starts: tf.Tensor
    ends: tf.Tensor


def foreground(runs: Runs) -> ForegroundRuns:
    """Keeps the runs that draw something."""
    kept = tf.where(runs.foreground)[:, 0]
    ends = tf.gather(runs.ends, kept)
    starts = ends - tf.gather(runs.lengths, kept)
    rows = ranges.row_ids(ranges.rank(kept, runs.row_splits, side='left'))
    return ForegroundRuns(rows, starts, ends)


def select(found: ForegroundRuns, wanted: tf.Tensor) -> ForegroundRuns:
    """Keeps the runs of `wanted`, bool [F]."""
    kept = tf.where(wanted)[:, 0]
    return ForegroundRuns(*(tf.gather(part, kept) for part in found))


class Masks(NamedTuple):
    """Masks that were read, in the place of their `counts`: several operations, one reading.

    Attributes:
      runs: the runs of N masks.
      height, width: int32 scalars, pixels.
      shape: static shape of the `counts`.
    """

    runs: Runs
    height: tf.Tensor
    width: tf.Tensor
    shape: tf.TensorShape


class Pieces(NamedTuple):
    """Foreground runs cut at the ends of columns, in order.

    Attributes:
      rows: int32 [P], the mask of each piece.
      columns: int32 [P], its column.
      tops, bottoms: int32 [P], its first row, and the row after its last.
    """

    rows: tf.Tensor
    columns: tf.Tensor
    tops: tf.Tensor
    bottoms: tf.Tensor


def cut(found: ForegroundRuns, height: tf.Tensor) -> Pieces:
    """Cuts runs at the ends of columns."""
    height = tf.maximum(height, 1)
    owners, columns = ranges.expand(found.starts // height, (found.ends - 1) // height + 1)
    tops = tf.maximum(tf.gather(found.starts, owners) - columns * height, 0)
    bottoms = tf.minimum(tf.gather(found.ends, owners) - columns * height, height)
    return Pieces(tf.gather(found.rows, owners), columns, tops, bottoms)


def parse(counts: tf.Tensor, *, name: str) -> Runs:
    """Reads and checks `counts`.

    Args:
      counts: string [N], compressed COCO RLE.
      name: the public function to name in errors, such as `rle.decode`.

    Raises:
      ValueError: `counts` is not a vector of strings.
      tf.errors.InvalidArgumentError: a string is malformed, or its runs are negative or pass
        `MAX_PIXELS`; names the mask.
    """
    counts = validate.vector(counts, tf.string, argument='counts', name=name)
    text = counts_text.join(counts, name)
    stops = tf.where(text.characters < 32)[:, 0]
    digits = tf.cast(stops - tf.concat([[-1], stops[:-1]], 0), tf.int32)
    row_splits = ranges.rank(stops, text.splits, side='left')
    index = ranges.index_in_row(ranges.row_sizes(row_splits))
    lengths = _undo_deltas(counts_text.numbers(text.characters, digits), index, row_splits)
    ends = _cumulative_in_row(lengths, row_splits)
    checks = _parse_checks(text, digits, lengths, ends, row_splits)
    with tf.control_dependencies(validate.first_fault(checks, name=name)):
        return Runs(
            tf.cast(lengths, tf.int32), index, tf.cast(ends, tf.int32), tf.identity(row_splits)
        )


def parse_sized(
    counts: tf.Tensor, size: tf.Tensor, *, name: str
) -> tuple[Runs, tf.Tensor, tf.Tensor]:
    """Reads `counts`, whose runs must fill masks of `size`.

    Args:
      counts: string [N]; or `Masks`, which were checked.
      size: integer [2] or [N, 2]: height and width, the same for all masks.
      name: the public function to name in errors.

    Returns:
      The runs, and height and width as int32 scalars; both 0 if there are neither masks nor sizes.

    Raises:
      ValueError, tf.errors.InvalidArgumentError: as `parse` and `validate.one_size`, and where the
        runs of a mask do not sum to height × width.
    """
    if isinstance(counts, Masks):
        return counts.runs, counts.height, counts.width
    counts = validate.vector(counts, tf.string, argument='counts', name=name)
    height, width = validate.one_size(size, tf.shape(counts)[0], name=name)
    runs = parse(counts, name=name)
    pixels = tf.cast(height, tf.int64) * tf.cast(width, tf.int64)
    sums = tf.cast(row_ends(runs), tf.int64)

    def describe():
        row = tf.where(tf.not_equal(sums, pixels))[0, 0]
        return tf.strings.format(
            'expected `counts` to sum to height x width = {} x {} = {}; got a sum of {} at index '
            '{}. Check that `size` is [height, width] of these masks.',
            [height, width, pixels, sums[row], row],
        )

    check = (tf.reduce_all(tf.equal(sums, pixels)), describe)
    with tf.control_dependencies(validate.first_fault([check], name=name)):
        return Runs(*map(tf.identity, runs)), height, width


def row_ends(runs: Runs) -> tf.Tensor:
    """Returns int32 [N], the sum of the runs of each mask."""
    last = runs.row_splits[1:] - 1
    empty = tf.equal(runs.row_splits[1:], runs.row_splits[:-1])
    ends = tf.gather(tf.concat([runs.ends, [0]], 0), tf.maximum(last, 0))
    return tf.where(empty, 0, ends)


def _undo_deltas(numbers: tf.Tensor, index: tf.Tensor, row_splits: tf.Tensor) -> tf.Tensor:
    """From the fourth run on, a number is the difference to the run two before it.

    So each mask has its first run, and two chains that start at its second and third run: running
    sums over every other number, less the sum before the chain's head.
    """
    total, sizes = tf.size(numbers), ranges.row_sizes(row_splits)
    pairs = tf.reshape(tf.pad(numbers, [[2, 2 + total % 2]]), [-1, 2])
    sums = tf.reshape(tf.cumsum(pairs), [-1])
    before_second, before_third = (
        ranges.repeat(tf.gather(sums, row_splits[:-1] + offset), sizes) for offset in (1, 2)
    )
    before = tf.where(tf.equal(index & 1, 0), before_third, before_second)
    return tf.where(tf.equal(index, 0), numbers, sums[2 : total + 2] - before)


def _cumulative_in_row(lengths: tf.Tensor, row_splits: tf.Tensor) -> tf.Tensor:
    limited = tf.clip_by_value(lengths, -MAX_PIXELS, MAX_PIXELS)  # for the sums not to overflow
    sums = tf.cumsum(tf.pad(limited, [[1, 0]]))
    before = tf.gather(sums, row_splits[:-1])
    return sums[1:] - ranges.repeat(before, ranges.row_sizes(row_splits))


def _parse_checks(text, digits, lengths, ends, row_splits):
    last = tf.gather(tf.pad(text.characters, [[1, 0]]), text.splits[1:])
    open_end = (text.splits[1:] > text.splits[:-1]) & (last >= 32)
    most = tf.reduce_max(tf.concat([digits, [0]], 0))

    def bad_character():
        at = tf.where(text.characters >= 64)[0, 0]
        row = tf.searchsorted(text.splits, [at], side='right')[0] - 1
        start = tf.gather(text.splits, row)
        return tf.strings.format(
            'expected `counts` of characters 48..111; got character {} at index {}, position {}. '
            'Pass compressed COCO RLE.',
            [tf.cast(text.characters[at], tf.int32) + 48 & 255, row, at - start],
        )

    def inside_number():
        row = tf.where(open_end)[0, 0]
        return tf.strings.format(
            'expected `counts` to end with a whole number; got character {} last at index {}. '
            'The string is cut short.',
            [tf.cast(last[row], tf.int32) + 48, row],
        )

    def long_number():
        at = tf.where(digits > counts_text.MAX_DIGITS)[0, 0]
        return tf.strings.format(
            'expected `counts` of numbers of at most {} characters; got {} at index {}, run {}. '
            'No mask is that large.',
            [tf.constant(counts_text.MAX_DIGITS), digits[at], *_locate(row_splits, at)],
        )

    return [
        (tf.reduce_all(text.characters < 64), bad_character),
        (~tf.reduce_any(open_end), inside_number),
        (most <= counts_text.MAX_DIGITS, long_number),
        _run_check(lengths, ends, row_splits),
    ]


def _run_check(lengths, ends, row_splits):
    good_run = (lengths >= 0) & (lengths <= MAX_PIXELS) & (ends <= MAX_PIXELS)

    def bad_run():
        at = tf.where(~good_run)[0, 0]
        return tf.strings.format(
            'expected `counts` of runs that are not negative and sum to at most {}; got a run of '
            '{}, sum {}, at index {}, run {}. The string is damaged.',
            [tf.constant(MAX_PIXELS), lengths[at], ends[at], *_locate(row_splits, at)],
        )

    return tf.reduce_all(good_run), bad_run


def _locate(row_splits: tf.Tensor, at: tf.Tensor) -> list[tf.Tensor]:
    row = tf.searchsorted(row_splits, [at], side='right')[0] - 1
    return [row, at - tf.gather(row_splits, row)]
