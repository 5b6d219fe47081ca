"""Masks as dense run boundaries, which batch, travel to an accelerator and are drawn there.

64 masks of 1024 boundaries are 256 kB, where the masks themselves take 216 MB at 1500 × 2250. What
draws them has static shapes and no data-dependent control flow, so XLA compiles it as a part of a
train step.
"""

from __future__ import annotations

import math
import types

import tensorflow as tf

from segment_anything_tfds.ops import validate
from segment_anything_tfds.ops.rle.core import boundaries

MAX_SIDE = 2**16 - 1  # of a mask: with MAX_TARGET, row arithmetic fits int32
MAX_TARGET = 2**13  # of a side of the target
MAX_CELLS = 2**31 - 1  # of all masks together, each with a row and a column more than the target


@boundaries.takes_masks
def to_runs(
    counts: tf.Tensor, size: tf.Tensor, max_runs: int, *, overflow: str = 'error'
) -> tf.Tensor:
    """Turns masks into a dense tensor of run boundaries, for `rle.decode_runs`.

    A boundary is a position x × height + y at which the mask changes between background and
    foreground, in order; a row starts in the background and is filled up with height × width.

    Args:
      counts: string [N], compressed COCO RLE.
      size: integer [2] or [N, 2], [height, width] in pixels, at most 65,535 each.
      max_runs: Python int R ≥ 1, boundaries of each mask: two for every stretch of a column in it.
        Of 1,089 real masks at 848 × 480 the largest has 835; a region as wide as a 1500 × 2250
        image has at least some 4,500. `rle.run_lengths` tells.
      overflow: `'error'`, or `'drop'` to make a mask of more boundaries an empty one.

    Returns:
      int32 [N, R]. Zero masks give [0, R].

    Raises:
      ValueError: a `max_runs` that is not a positive int, an unknown `overflow`, wrong dtypes or
        static shapes.
      tf.errors.InvalidArgumentError: a malformed string, a size that it does not fill or above
        65,535, or, with `overflow='error'`, a mask of more than R boundaries.

    Example:
      >>> rle.to_runs(['52203'], [4, 4], 6).numpy()
      array([[ 5,  7,  9, 11, 16, 16]], dtype=int32)
    """
    name = 'rle.to_runs'
    max_runs = validate.positive_int(name, 'max_runs', max_runs)
    validate.choice(name, 'overflow', overflow, ('error', 'drop'))
    masks = boundaries.read(name, counts, size)
    runs, height, width = masks.runs, masks.height, masks.width
    # without the last end, which is height × width, as the filling is
    sizes = tf.maximum(runs.row_splits[1:] - runs.row_splits[:-1] - 1, 0)
    checks = [_side_check(height, width)]
    if overflow == 'error':
        checks.append(_room_check(sizes, max_runs))
    with tf.control_dependencies(validate.first_fault(name, checks)):
        pixels = tf.identity(height * width)
    slots = tf.range(max_runs, dtype=tf.int64)
    used = (slots < sizes[:, tf.newaxis]) & (sizes <= max_runs)[:, tf.newaxis]
    source = tf.where(used, runs.row_splits[:-1, tf.newaxis] + slots, tf.size(runs.ends, tf.int64))
    return tf.gather(tf.concat([runs.ends, [pixels]], 0), source)


@tf.autograph.experimental.do_not_convert
def decode_runs(runs: tf.Tensor, size: tf.Tensor, target_size: tuple[int, int]) -> tf.Tensor:
    """Draws masks from `rle.to_runs` onto the target grid, compiled by XLA if wished.

    Equal to `rle.decode_resized(counts, size, target_size, method='nearest')`. Works in
    `tf.function(jit_compile=True)`, where the shape of `runs` must be static; `size` may vary.

    Args:
      runs: int32 [..., R], such as [N, R] or, in a batch, [B, N, R].
      size: integer, [2] for all masks, or with leading dimensions of `runs`, such as [B, 2] for one
        size an image: [height, width] in pixels that `rle.to_runs` was given.
      target_size: Python ints, height h and width w of the result in pixels, at most 8,192 each.

    Returns:
      uint8 [..., h, w], 1 in the mask. Zero masks give [0, h, w]. Values of `runs` that
      `rle.to_runs` cannot give, and a `size` of zeros, give masks without meaning, never an error.

    Raises:
      ValueError: a `target_size` that is not two ints from 1 to 8,192, `runs` that are not int32 or
        without a dimension, a `size` whose shape does not fit, or masks of 2³¹ cells or more:
        number × (h + 1) × (w + 1), such as 2,044 masks of 1024 × 1024.
      tf.errors.InvalidArgumentError: as many masks, where their number is not known while tracing.

    Example:
      >>> runs = rle.to_runs(['52203'], [4, 4], 6)
      >>> rle.decode_runs(runs, [4, 4], (2, 2)).numpy()[0].tolist()
      [[1, 0], [0, 0]]
    """
    name = 'rle.decode_runs'
    target_size = check_target_size(name, target_size)
    runs, size = tf.convert_to_tensor(runs), tf.convert_to_tensor(size)
    check_runs(name, runs, size)
    runs = check_cells(name, runs, target_size)
    return draw(_TENSORFLOW, runs, tf.cast(size, tf.int32), target_size)


def check_target_size(name: str, target_size: tuple[int, int]) -> tuple[int, int]:
    """Returns two Python ints from 1 to MAX_TARGET; `ValueError` if `target_size` is none."""
    is_pair = isinstance(target_size, (tuple, list)) and len(target_size) == 2
    if not is_pair or not all(validate.is_int(n) and 1 <= n <= MAX_TARGET for n in target_size):
        raise ValueError(
            f'{name}: expected `target_size` to be two ints from 1 to {MAX_TARGET}; '
            f'got {target_size!r}. Pass (height, width).'
        )
    return tuple(map(int, target_size))


def check_runs(name: str, runs, size) -> None:
    """Raises `ValueError` unless `runs` are int32 [..., R] and `size` is integer [...., 2]."""
    runs_dtype, size_dtype = tf.as_dtype(runs.dtype), tf.as_dtype(size.dtype)
    runs_shape, size_shape = tf.TensorShape(runs.shape), tf.TensorShape(size.shape)
    if runs_dtype != tf.int32 or not runs_shape.rank:
        raise ValueError(
            f'{name}: expected `runs` of int32 [..., R], of known rank; got {runs_dtype.name} '
            f'{runs_shape}. Pass what `rle.to_runs` gave.'
        )
    if not (size_dtype.is_integer and size_shape.rank and size_shape.rank <= runs_shape.rank):
        raise ValueError(
            f'{name}: expected `size` of integers, [2] or [..., 2] with leading dimensions of '
            f'`runs`; got {size_dtype.name} {size_shape} for `runs` {runs_shape}. '
            'Pass [height, width].'
        )


def check_cells(where: str, runs, target_size: tuple[int, int]):
    """Returns `runs`, checked to be few enough for cells to be counted in int32.

    `ValueError` where the number of masks is known; where it is not, which only TensorFlow has,
    the check is made when the graph runs.
    """
    cells = (target_size[0] + 1) * (target_size[1] + 1)
    leading = tuple(runs.shape)[:-1]

    def text(number) -> str:
        return (
            f'expected fewer than 2³¹ cells, masks × (height + 1) × (width + 1); got {number} masks'
            f' of {target_size[0]} × {target_size[1]}. Draw fewer masks at a time, or smaller.'
        )

    if None not in leading:
        if math.prod(leading) * cells > MAX_CELLS:
            raise ValueError(f'{where}: {text(math.prod(leading))}')
        return runs
    if not tf.is_tensor(runs):
        return runs
    number = tf.reduce_prod(tf.shape(runs, tf.int64)[:-1])
    check = (number * cells <= MAX_CELLS, lambda: tf.strings.format(text('{}'), [number]))
    with tf.control_dependencies(validate.first_fault(where, [check])):
        return tf.identity(runs)


def draw(xp, runs, size, target_size: tuple[int, int], dtype: str = 'uint8'):
    """Draws runs with the array functions of `xp`: `keras.ops`, or the same names in TensorFlow.

    Each boundary falls on the first drawn pixel that is not before it, in column-major order; how
    many fell there or before, odd or even, is the mask. Where the target is wider than the mask,
    each column of the mask is drawn once and then repeated. A mask of 4 x 4 on 2 x 2, whose pixels
    show rows and columns 1 and 3:

        boundaries    5  7  9 11        (column, row)     (1, 1) (1, 3) (2, 1) (2, 3)
        first pixel not before it                         (0, 0) (0, 1) (1, 0) (1, 0)
        fell there, column by column    1 1 2 0           counted up to it   1 2 4 4
        odd: 1 0 0 0, so the pixel in column 0, row 0
    """
    target_height, target_width = target_size
    leading, num_runs = xp.shape(runs)[:-1], xp.shape(runs)[-1]
    while len(size.shape) < len(runs.shape):
        size = size[..., None, :]
    size = xp.reshape(size + xp.zeros_like(runs[..., :1]), (-1, 2))
    height, width = xp.maximum(size[:, :1], 1), xp.maximum(size[:, 1:], 1)
    runs = xp.reshape(runs, (-1, num_runs))
    column, row = runs // height, runs % height
    drawn = _first_at_least(column, width, target_width)
    # Where a column is not drawn, its changes count for all of the next one that is: in row 0.
    skipped = _source(drawn, width, target_width) > column
    shrinks = width >= target_width
    drawn = xp.where(shrinks, drawn, column)
    row = xp.where(shrinks & skipped, 0, _first_at_least(row, height, target_height))
    # A boundary below the last drawn row takes the extra row, whose changes count from the next
    # column on. The extra column takes the filling, height × width, and what is drawn nowhere.
    cells = xp.minimum(drawn, target_width) * (target_height + 1) + row
    return _fill(xp, cells, width, shrinks, leading, target_size, dtype)


def _fill(xp, cells, width, shrinks, leading, target_size, dtype):
    height, columns = target_size[0] + 1, target_size[1] + 1
    masks = xp.arange(xp.shape(cells)[0])[:, None]
    cells = xp.reshape(cells + masks * (height * columns), (-1,))
    changes = xp.segment_sum(
        xp.ones_like(cells), cells, num_segments=xp.shape(masks)[0] * height * columns
    )
    changes = xp.reshape(changes, (-1, columns, height))
    # Changes in a column are summed down from its top; those of all columns before it are added as
    # one number, so that columns can be repeated, and each still knows what came before.
    total = xp.sum(changes, axis=2)
    before = xp.cumsum(total, axis=1) - total
    target = xp.arange(target_size[1])[None, :]
    source = xp.where(shrinks, target, _source(target, width, target_size[1]))
    source = xp.reshape(source + masks * columns, (-1,))
    changes = xp.take(xp.reshape(changes, (-1, height)), source, axis=0)[:, :-1]
    before = xp.take(xp.reshape(before, (-1,)), source, axis=0)
    inside = xp.cast((xp.cumsum(changes, axis=1) + before[:, None]) & 1, dtype)
    inside = xp.transpose(xp.reshape(inside, (-1, target_size[1], target_size[0])), (0, 2, 1))
    return xp.reshape(inside, (*leading, *target_size))


def _source(target, extent, target_extent: int):
    """Gives the coordinate in the mask at the centre of each coordinate of the target."""
    return ((2 * target + 1) * extent) // (2 * target_extent)


def _first_at_least(source, extent, target_extent: int):
    """Gives the first coordinate of the target whose `_source` is `source` or more."""
    # Of extent E on T: (2t + 1) E // 2T >= s  means  2t E >= 2T s - E  means
    # t >= (2T s - E) / 2E, rounded up by adding 2E - 1. E = 4 on T = 2 gives 0 0 1 1 for s = 0..3.
    return (2 * target_extent * source + extent - 1) // (2 * extent)


def _side_check(height, width):
    def describe():
        return tf.strings.format(
            'expected `size` of at most {} a side; got {} × {}. Draw such masks with '
            '`rle.decode_resized`.',
            [tf.constant(MAX_SIDE), height, width],
        )

    return (height <= MAX_SIDE) & (width <= MAX_SIDE), describe


def _room_check(sizes, max_runs):
    def describe():
        index = tf.argmax(tf.pad(sizes, [[0, 1]]))
        return tf.strings.format(
            'expected `max_runs` to hold the boundaries of every mask; got {} for {} at index {}. '
            "Raise `max_runs`, or pass overflow='drop'.",
            [tf.constant(max_runs), validate.value_at(sizes, index), index],
        )

    return tf.reduce_all(sizes <= max_runs), describe


def _static_shape(tensor: tf.Tensor) -> tuple:
    """Gives static sizes where they are known, as `keras.ops.shape` does."""
    dynamic = tf.shape(tensor)
    return tuple(dynamic[i] if n is None else n for i, n in enumerate(tensor.shape))


_TENSORFLOW = types.SimpleNamespace(
    arange=tf.range,
    cast=tf.cast,
    cumsum=tf.cumsum,
    maximum=tf.maximum,
    minimum=tf.minimum,
    ones_like=tf.ones_like,
    reshape=tf.reshape,
    segment_sum=tf.math.unsorted_segment_sum,
    shape=_static_shape,
    sum=tf.reduce_sum,
    take=tf.gather,
    transpose=tf.transpose,
    where=tf.where,
    zeros_like=tf.zeros_like,
)
