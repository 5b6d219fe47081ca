"""From `counts` strings to checked run boundaries: the ground of every operation in `rle`.

A mask of height H and width W is a list of run lengths in column-major order, zeros first. Inside
one mask a pixel has the position `x * H + y`, which fits an int32 because a mask has at most
`MAX_PIXELS` pixels; so do the boundaries between runs. Nothing here is larger than the strings.
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from segment_anything_tfds.ops import _checks

MAX_PIXELS = 2**31 - 1  # of one mask: positions are int32
MAX_CHARACTERS = (
    2**31 - 1
)  # of all masks of a call: together with MAX_DIGITS, int64 cannot overflow
MAX_DIGITS = 7  # characters of one number: 35 bits


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

    def row_ids(self) -> tf.Tensor:
        """int32 [T], the mask that each run belongs to."""
        return row_ids(self.row_splits)


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


def row_ids(row_splits: tf.Tensor) -> tf.Tensor:
    """Returns int32 [T], the row of each value of a ragged tensor with these splits."""
    steps = tf.math.unsorted_segment_sum(
        tf.ones_like(row_splits[1:-1], tf.int32), row_splits[1:-1], row_splits[-1] + 1
    )
    return tf.cumsum(steps)[:-1]


def foreground(runs: Runs) -> ForegroundRuns:
    """Keeps the runs that draw something."""
    kept = tf.where(runs.foreground)[:, 0]
    ends = tf.gather(runs.ends, kept)
    starts = ends - tf.gather(runs.lengths, kept)
    return ForegroundRuns(tf.gather(runs.row_ids(), kept), starts, ends)


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
    counts = _checks.vector(counts, tf.string, argument='counts', name=name)
    text = _join(counts, name)
    stops = tf.where(text.characters < 32)[:, 0]
    digits = stops - tf.concat([[-1], stops[:-1]], 0)
    row_splits = tf.searchsorted(stops, text.splits, out_type=tf.int64)
    index = index_in_row(row_splits)
    lengths = _undo_deltas(_numbers(text, stops, digits), index)
    ends = _cumulative_in_row(lengths, index)
    checks = _parse_checks(text, digits, lengths, ends, row_splits)
    with tf.control_dependencies(_checks.first_fault(checks, name=name)):
        return Runs(
            tf.cast(lengths, tf.int32), index, tf.cast(ends, tf.int32), tf.identity(row_splits)
        )


def parse_sized(
    counts: tf.Tensor, size: tf.Tensor, *, name: str
) -> tuple[Runs, tf.Tensor, tf.Tensor]:
    """Reads `counts`, whose runs must fill masks of `size`.

    Args:
      counts: string [N].
      size: integer [2] or [N, 2]: height and width, the same for all masks.
      name: the public function to name in errors.

    Returns:
      The runs, and height and width as int32 scalars; both 0 if there are neither masks nor sizes.

    Raises:
      ValueError, tf.errors.InvalidArgumentError: as `parse` and `normalise_size`, and where the
        runs of a mask do not sum to height × width.
    """
    counts = _checks.vector(counts, tf.string, argument='counts', name=name)
    height, width = normalise_size(size, tf.shape(counts)[0], name=name)
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
    with tf.control_dependencies(_checks.first_fault([check], name=name)):
        return Runs(*map(tf.identity, runs)), height, width


def row_ends(runs: Runs) -> tf.Tensor:
    """Returns int32 [N], the sum of the runs of each mask."""
    last = runs.row_splits[1:] - 1
    empty = tf.equal(runs.row_splits[1:], runs.row_splits[:-1])
    ends = tf.gather(tf.concat([runs.ends, [0]], 0), tf.maximum(last, 0))
    return tf.where(empty, 0, ends)


def normalise_size(size: tf.Tensor, num_masks: tf.Tensor, *, name: str):
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


class _Text(NamedTuple):
    """All strings joined: uint8 [B] characters less 48, their 5-bit payloads in 40-bit words."""

    characters: tf.Tensor
    words: tf.Tensor
    splits: tf.Tensor


def _join(counts: tf.Tensor, name: str) -> _Text:
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
    return _Text(characters, _pack(tf.io.decode_raw(joined, tf.int64)), splits)


def _pack(words: tf.Tensor) -> tf.Tensor:
    """Squeezes the payloads of 8 characters, 5 bits each, into the low 40 bits of their word."""
    words = words ^ 0x1010101010101010  # x - 48 and x ^ 16 have the same low 5 bits
    words = (words & 0x001F001F001F001F) | _right(words & 0x1F001F001F001F00, 3)
    words = (words & 0x000003FF000003FF) | _right(words & 0x03FF000003FF0000, 6)
    return (words & 0x00000000000FFFFF) | _right(words & 0x000FFFFF00000000, 12)


def _numbers(text: _Text, stops: tf.Tensor, digits: tf.Tensor) -> tf.Tensor:
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


def index_in_row(row_splits: tf.Tensor) -> tf.Tensor:
    """Returns int32 [T], the number of each value within its row."""
    sizes = tf.cast(row_splits[1:] - row_splits[:-1], tf.int32)
    return tf.raw_ops.RaggedRange(starts=0, limits=sizes, deltas=1).rt_dense_values


def _undo_deltas(numbers: tf.Tensor, index: tf.Tensor) -> tf.Tensor:
    """From the fourth run on, a number is the difference to the run two before it.

    So each mask has its first run, and two chains that start at its second and third run: running
    sums over every other number, less the sum before the chain's head.
    """
    total = tf.size(numbers)
    pairs = tf.reshape(tf.pad(numbers, [[2, total % 2]]), [-1, 2])
    sums = tf.reshape(tf.cumsum(pairs), [-1])
    before_head = tf.range(total) - index + tf.minimum(index, 2 - (index & 1))
    return sums[2 : total + 2] - tf.gather(sums, before_head)


def _cumulative_in_row(lengths: tf.Tensor, index: tf.Tensor) -> tf.Tensor:
    sums = tf.cumsum(tf.pad(lengths, [[1, 0]]))
    return sums[1:] - tf.gather(sums, tf.range(tf.size(lengths)) - index)


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
        at = tf.where(digits > MAX_DIGITS)[0, 0]
        return tf.strings.format(
            'expected `counts` of numbers of at most {} characters; got {} at index {}, run {}. '
            'No mask is that large.',
            [tf.constant(MAX_DIGITS), digits[at], *_locate(row_splits, at)],
        )

    good_run = (lengths >= 0) & (lengths <= MAX_PIXELS) & (ends <= MAX_PIXELS)

    def bad_run():
        at = tf.where(~good_run)[0, 0]
        return tf.strings.format(
            'expected `counts` of runs that are not negative and sum to at most {}; got a run of '
            '{}, sum {}, at index {}, run {}. The string is damaged.',
            [tf.constant(MAX_PIXELS), lengths[at], ends[at], *_locate(row_splits, at)],
        )

    return [
        (tf.reduce_all(text.characters < 64), bad_character),
        (~tf.reduce_any(open_end), inside_number),
        (most <= MAX_DIGITS, long_number),
        (tf.reduce_all(good_run), bad_run),
    ]


def _locate(row_splits: tf.Tensor, at: tf.Tensor) -> list[tf.Tensor]:
    row = tf.searchsorted(row_splits, [at], side='right')[0] - 1
    return [row, at - tf.gather(row_splits, row)]
