"""From runs on a grid to a drawn mask, row by row.

Pixels are written in the order of memory, many at a time, for what a pixel costs is the way to it:
runs in column-major order become spans in row-major order, and spans are written in units of up to
96 bytes. Masks with so many edges that their spans would cost more than their pixels are drawn
column by column, and then columns and rows are swapped.
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from segment_anything_tfds.ops.rle.core import boundaries, ranges

MIN_UNIT, MAX_UNIT = 32, 96
PIXELS_A_CHANGE = 50  # as many are swapped in the time of one span's edge


class Grid(NamedTuple):
    """Where the columns and rows of a grid lie in the result.

    Attributes:
      height: int32 scalar, rows of the grid.
      edges: int32 [U + 1], columns of the result between which each of the U columns lies; rising,
        or falling if the result is mirrored.
      top: int32 scalar, the row of the result that is the first row of the grid.
      size: int32 [2], height and width of the result.
    """

    height: tf.Tensor
    edges: tf.Tensor
    top: tf.Tensor
    size: tf.Tensor


def draw(found: boundaries.ForegroundRuns, grid: Grid, num_masks: tf.Tensor) -> tf.Tensor:
    """Draws runs whose positions are those of `grid`; returns uint8 [N, h, w]."""
    shape = tf.concat([[num_masks], grid.size], 0)
    total = tf.reduce_prod(tf.cast(shape, tf.int64))
    changes = _horizontal_changes(found, grid)
    places = tf.reduce_sum(changes[:, 1] - changes[:, 0])
    return tf.cond(
        places * PIXELS_A_CHANGE <= total,
        lambda: tf.reshape(_write(_spans(changes, grid, num_masks), total), shape),
        lambda: _draw_columns(found, grid, num_masks),
    )


def _draw_columns(found: boundaries.ForegroundRuns, grid: Grid, num_masks: tf.Tensor) -> tf.Tensor:
    """Draws the columns as they come and then swaps columns and rows; returns uint8 [N, h, w]."""
    num_columns = tf.size(grid.edges) - 1
    pixels = tf.cast(grid.height, tf.int64) * tf.cast(num_columns, tf.int64)
    spans = tf.cast(tf.stack([found.starts, found.ends], 1), tf.int64)
    spans += pixels * tf.cast(found.rows, tf.int64)[:, tf.newaxis]
    drawn = _write(spans, pixels * tf.cast(num_masks, tf.int64))
    drawn = tf.reshape(drawn, tf.stack([num_masks, num_columns, grid.height]))
    column, inside = _column_of(grid)
    drawn = tf.gather(drawn, column, axis=1) * tf.cast(inside, tf.uint8)[:, tf.newaxis]
    below = grid.size[0] - grid.top - grid.height
    return tf.pad(tf.transpose(drawn, [0, 2, 1]), [[0, 0], [grid.top, below], [0, 0]])


def _column_of(grid: Grid) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns int32 [w], the grid's column at each column of the result; bool [w], if any is."""
    mirrored = grid.edges[0] > grid.edges[-1]
    edges = tf.cond(mirrored, lambda: grid.edges[::-1], lambda: grid.edges)
    column = ranges.rank(edges, tf.range(grid.size[1]), side='right') - 1
    num_columns = tf.size(edges, tf.int64) - 1
    inside = (column >= 0) & (column < num_columns)
    column = tf.where(mirrored, num_columns - 1 - column, column)
    return tf.where(inside, column, 0), inside


def _horizontal_changes(found: boundaries.ForegroundRuns, grid: Grid) -> tf.Tensor:
    """Finds where a pixel differs from its left neighbour: int64 [C, 2], first and after the last.

    Those places are the mask xor the mask shifted by a column, so the boundaries of both, in order.
    The grid has one column more than the mask; columns count on from mask to mask.
    """
    height, columns = _extent(grid)
    base = tf.cast(found.rows, tf.int64) * (height * columns)
    edges = tf.stack([found.starts, found.ends], 1)
    edges = tf.reshape(tf.cast(edges, tf.int64) + base[:, tf.newaxis], [-1])
    places = ranges.merged_places(edges, edges + height)
    return tf.reshape(tf.dynamic_stitch(places, [edges, edges + height]), [-1, 2])


def _extent(grid: Grid) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns int64 rows of the grid, at least one, and columns, one more than it has."""
    return tf.cast(tf.maximum(grid.height, 1), tf.int64), tf.size(grid.edges, tf.int64)


def _spans(changes: tf.Tensor, grid: Grid, num_masks: tf.Tensor) -> tf.Tensor:
    """Returns int64 [S, 2], first and after the last flat position of each span."""
    height, columns = _extent(grid)
    places = tf.raw_ops.RaggedRange(
        starts=changes[:, 0], limits=changes[:, 1], deltas=tf.constant(1, tf.int64)
    ).rt_dense_values
    places = tf.ensure_shape(places, [None])
    column = tf.truncatediv(places, height)
    shape = tf.stack([columns * tf.cast(num_masks, tf.int64), height])
    column, row = _by_row(column, places - column * height, shape)
    mask = column // columns
    edge = tf.gather(tf.cast(grid.edges, tf.int64), column - mask * columns)
    target_height, target_width = tf.unstack(tf.cast(grid.size, tf.int64))
    line = mask * target_height + row + tf.cast(grid.top, tf.int64)
    spans = tf.reshape(line * target_width + edge, [-1, 2])
    return tf.stack([tf.reduce_min(spans, 1), tf.reduce_max(spans, 1)], 1)  # mirrored ones fall


def _by_row(column, row, shape) -> tuple:
    """Orders places that rise by column, then row, by row, then column.

    That is to transpose a sparse matrix, which takes a fifth of the time of a sort.
    """
    matrix = tf.raw_ops.SparseTensorToCSRSparseMatrix(
        indices=tf.stack([column, row], 1),
        values=tf.zeros_like(column, tf.float32),
        dense_shape=shape,
    )
    parts = tf.raw_ops.CSRSparseMatrixComponents(
        csr_sparse_matrix=tf.raw_ops.SparseMatrixTranspose(input=matrix, type=tf.float32),
        index=0,
        type=tf.float32,
    )
    rows = ranges.row_ids(tf.cast(parts.row_ptrs, tf.int64))
    return tf.cast(parts.col_inds, tf.int64), tf.cast(rows, tf.int64)


def _write(spans: tf.Tensor, total: tf.Tensor) -> tf.Tensor:
    """Returns uint8 [total], ones in the spans.

    Four pixels are one number, several numbers a unit. A span from `a` to `b` is ones in all units
    from that of `a` to before that of `b`, less the pixels before `a` in its unit, plus the pixels
    before `b` in its unit: right even within one unit, as numbers wrap. Where units fill the result
    exactly, the slice at the end costs nothing.
    """
    unit = _unit(total)
    num_units = tf.cast((total + unit - 1) // unit, tf.int32)
    units = tf.cast(spans // unit, tf.int32)
    size = tf.cast(unit, tf.int32)
    within = tf.cast(spans % unit, tf.int32) + [0, size + 1]
    full = tf.raw_ops.RaggedRange(
        starts=units[:, 0], limits=units[:, 1], deltas=1, Tsplits=tf.int64
    ).rt_dense_values
    before = _numbers(tf.sequence_mask(tf.range(size + 1), size, tf.uint8))
    places = tf.concat([full, tf.minimum(tf.reshape(units, [-1]), num_units - 1)], 0)
    parts = tf.gather(tf.concat([-before, before], 0), tf.reshape(within, [-1]))
    values = tf.concat([tf.tile(before[size:], [tf.size(full), 1]), parts], 0)
    zeros = tf.fill([num_units, size], _fresh_zero(places))
    drawn = tf.raw_ops.InplaceAdd(x=_numbers(zeros), i=places, v=values)
    return tf.reshape(tf.bitcast(drawn, tf.uint8), [-1])[:total]


def _fresh_zero(data: tf.Tensor) -> tf.Tensor:
    """A uint8 zero that no optimiser knows, and that no other call has.

    `InplaceAdd` alters its first argument, which must thus be neither folded into a constant, which
    lives on, nor shared with another call, whose `data` would have to be the same tensor.
    """
    zero = tf.raw_ops.PlaceholderWithDefault(input=tf.minimum(tf.size(data), 0), shape=[])
    return tf.cast(zero, tf.uint8)


def _numbers(pixels: tf.Tensor) -> tf.Tensor:
    """Reads uint8 [U, 4 L] as int32 [U, L]."""
    return tf.bitcast(tf.reshape(pixels, [tf.shape(pixels)[0], -1, 4]), tf.int32)


def _unit(total: tf.Tensor) -> tf.Tensor:
    """The largest unit that fills the result exactly, or just the largest if all such are small."""
    units = tf.range(4, MAX_UNIT + 1, 4, dtype=tf.int64)
    exact = tf.reduce_max(tf.where(tf.equal(total % units, 0), units, 0))
    return tf.where(exact >= MIN_UNIT, exact, MAX_UNIT)
