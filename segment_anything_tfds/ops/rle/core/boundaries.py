"""Run boundaries of masks, which every operation in `rle` works on, read once a call.

A mask of height H and width W is a list of run lengths in column-major order, zeros first. Inside
one mask a pixel has the position `x * H + y`, which fits an int32 because a mask has at most
`MAX_PIXELS` pixels; so do the boundaries between runs. Nothing here is larger than the strings:

    masks       '52203' and '`0' of 4 x 4: a square of 2 x 2 pixels, and an empty mask
    lengths     5 2 2 2 5 | 16        index   0 1 2 3 4 | 0     row_splits   0 5 6
    ends        5 7 9 11 16 | 16      foreground runs: rows 0 0, starts 5 9, ends 7 11
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import NamedTuple

import tensorflow as tf

from segment_anything_tfds.ops import validate
from segment_anything_tfds.ops.rle.core import parsing, ranges

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
    ends = ranges.take(runs.ends, kept)
    starts = ends - ranges.take(runs.lengths, kept)
    rows = ranges.row_ids(ranges.rank(kept, runs.row_splits, side='left'))
    return ForegroundRuns(rows, starts, ends)


def select(found: ForegroundRuns, wanted: tf.Tensor) -> ForegroundRuns:
    """Keeps the runs of `wanted`, bool [F]."""
    kept = tf.where(wanted)[:, 0]
    return ForegroundRuns(*(ranges.take(part, kept) for part in found))


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
    # A run [5, 11) in columns of 4 reaches columns 1 and 2, which start at 4 and 8. From there it
    # goes from 1 to 7 and from -3 to 3; held to 0 and 4, the tops are 1 and 0, the bottoms 4 and 3.
    height = tf.maximum(height, 1)
    owners, columns = ranges.expand(found.starts // height, (found.ends - 1) // height + 1)
    tops = tf.maximum(ranges.take(found.starts, owners) - columns * height, 0)
    bottoms = tf.minimum(ranges.take(found.ends, owners) - columns * height, height)
    return Pieces(ranges.take(found.rows, owners), columns, tops, bottoms)


class Masks(NamedTuple):
    """Masks that were read, in the place of `counts` and `size`: several operations, one reading.

    Attributes:
      runs: all runs of N masks.
      found: those of them that draw something.
      height, width: int32 scalars, pixels; both 0 if there are neither masks nor sizes.
      shape: static shape of the `counts`.
    """

    runs: Runs
    found: ForegroundRuns
    height: tf.Tensor
    width: tf.Tensor
    shape: tf.TensorShape

    @property
    def number(self) -> tf.Tensor:
        """int32 scalar N."""
        return tf.size(self.runs.row_splits) - 1


def read(where: str, counts: tf.Tensor | Masks, size: tf.Tensor | None) -> Masks:
    """Reads and checks masks; what was read already is returned as it is.

    Args:
      where: the public function to name in errors, such as `rle.decode`.
      counts: string [N], compressed COCO RLE; or `Masks`.
      size: integer [2] or [N, 2]: height and width, the same for all masks.

    Raises:
      ValueError: `counts` is not a vector of strings, or `size` not of integers [2] or [N, 2].
      tf.errors.InvalidArgumentError: a string is malformed, its runs are negative or do not sum to
        height x width, or sizes are out of range or differ; names the mask.
    """
    if isinstance(counts, Masks):
        return counts
    counts = validate.vector(where, 'counts', counts, tf.string)
    height, width, checks = validate.one_size(where, size, tf.size(counts))
    runs = Runs(*parsing.parse(where, counts, (height, width), checks))
    with tf.control_dependencies([runs.row_splits]):
        height, width = tf.cast(height, tf.int32), tf.cast(width, tf.int32)
    return Masks(runs, foreground(runs), height, width, counts.shape)


def takes_masks(function: Callable) -> Callable:
    """Lets one argument stand for the two that are called `counts` and `size`.

    That is a dict with these keys, as the dataset's `segmentation` is, or `Masks`. `f(counts, size,
    x)` may then be called as `f(segmentation, x)`; where two lots of masks come before `size`, as
    in `iou(a, b, size)`, both may be such. AutoGraph leaves the function alone: there is nothing to
    convert, and looking for it takes longer than all else in a trace.
    """
    signature = inspect.signature(function)
    names = list(signature.parameters)
    place = names.index('size')
    _, _, module = function.__module__.partition('.ops.')
    where = f'{module.partition(".")[0]}.{function.__name__}'

    @tf.autograph.experimental.do_not_convert
    @functools.wraps(function)
    def call(*args, **kwargs):
        # By identity, so that a dict that is given twice is read once, and `a is b` still holds.
        given, were_read = list(args), {}
        while len(given) < place and names[len(given)] in kwargs:
            given.append(kwargs.pop(names[len(given)]))
        for index, value in enumerate(given[:place]):
            if isinstance(value, Mapping):
                if id(value) not in were_read:
                    were_read[id(value)] = _read_segmentation(where, value)
                given[index] = were_read[id(value)]
        if any(isinstance(value, Masks) for value in given[:place]):
            try:
                signature.bind(*given, **kwargs)
            except TypeError:  # one argument too few: `size` was left out, later ones moved up
                given.insert(place, None)
        return function(*given, **kwargs)

    return call


def _read_segmentation(where: str, segmentation: Mapping[str, tf.Tensor]) -> Masks:
    if not {'counts', 'size'} <= segmentation.keys():
        raise ValueError(
            f'{where}: expected a dict with `counts` and `size`; got keys {sorted(segmentation)}. '
            "Pass example['annotations']['segmentation']."
        )
    return read(where, segmentation['counts'], segmentation['size'])


def read_two(
    where: str, a: tf.Tensor | Masks, b: tf.Tensor | Masks, size: tf.Tensor | None
) -> tuple[Masks, Masks]:
    """Reads two lots of masks of one size; `a is b` is read once."""
    one = read(where, a, size)
    if a is b:
        return one, one
    two = read(where, b, size)
    if not (isinstance(a, Masks) or isinstance(b, Masks)):
        return one, two  # both were held against the one `size`
    none = tf.equal(one.number, 0) | tf.equal(two.number, 0)
    same = tf.equal(one.height, two.height) & tf.equal(one.width, two.width)

    def describe():
        return tf.strings.format(
            'expected masks of one size; got {} x {} and {} x {}. Compare masks of one image.',
            [one.height, one.width, two.height, two.width],
        )

    with tf.control_dependencies(validate.first_fault(where, [(none | same, describe)])):
        return one, two._replace(found=ForegroundRuns(*map(tf.identity, two.found)))
