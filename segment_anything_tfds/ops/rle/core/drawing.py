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

    # Strings are on the CPU, and so is what comes of them: a GPU's kernels for sparse matrices
    # would copy the runs there and back.
    def by_rows():
        with tf.device('CPU:0'):
            return tf.reshape(_write(_spans(changes, grid, num_masks), total), shape)

    def by_columns():
        with tf.device('CPU:0'):
            return _draw_columns(found, grid, num_masks)

    return tf.cond(places * PIXELS_A_CHANGE <= total, by_rows, by_columns)


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

    Those places are the mask xor the mask moved by a column, so the boundaries of both, in order.
    The grid has one column more than the mask; columns count on from mask to mask. For one mask of
    height 2:

        0 1 1    ones at [2, 3), [4, 6)     boundaries           2 3 4 6
        0 0 1    moved by a column:         boundaries + 2           4 5 6 8
                 both in order, in pairs:   [2, 3) [4, 4) [5, 6) [6, 8)
                 so changes at: column 1 row 0, column 2 row 1, column 3 rows 0 and 1
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
    # Row by row, every second place starts a span and the next one ends it. The changes above:
    #   by column (column row)   1 0   2 1   3 0   3 1
    #   by row                   1 0   3 0   2 1   3 1
    #   spans of a result 3 wide: [1, 3) in row 0, and [3 + 2, 3 + 3) in row 1
    # No span goes on in the next mask: each has an even number of changes in a row, as the one
    # column more than it has is background.
    shape = tf.stack([columns * tf.cast(num_masks, tf.int64), height])
    column, row = _by_row(column, places - column * height, shape)
    mask = column // columns
    edge = ranges.take(tf.cast(grid.edges, tf.int64), column - mask * columns)
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
    before `b` in its unit: right even within one unit, as numbers wrap. With units of 4 pixels:

        span [3, 9)             0001 1111 1000
        ones in units 0 and 1   1111 1111 0000
        less 1110 in unit 0     0001 1111 0000     3 pixels before 3
        plus 1000 in unit 2     0001 1111 1000     1 pixel before 9

    `scatter_nd` adds all of these up. Where units fill the result exactly, the slice at the end
    costs nothing.
    """
    unit = _unit(total)
    num_units = tf.cast((total + unit - 1) // unit, tf.int32)
    units = tf.cast(spans // unit, tf.int32)
    size = tf.cast(unit, tf.int32)
    # Row k of `before` is a unit with k ones, the rest zeros. Starts look up rows of the first half
    # of the table, which are negative, ends those of the second.
    within = tf.cast(spans % unit, tf.int32) + [0, size + 1]
    full = tf.raw_ops.RaggedRange(
        starts=units[:, 0], limits=units[:, 1], deltas=1, Tsplits=tf.int64
    ).rt_dense_values
    before = _numbers(tf.sequence_mask(tf.range(size + 1), size, tf.uint8))
    # A span that ends with the result ends in a unit that is not there, before which nothing is:
    # the zeros may be added to any other.
    places = tf.concat([full, tf.minimum(tf.reshape(units, [-1]), num_units - 1)], 0)
    parts = tf.gather(tf.concat([-before, before], 0), tf.reshape(within, [-1]))
    values = tf.concat([tf.tile(before[size:], [tf.size(full), 1]), parts], 0)
    drawn = tf.scatter_nd(places[:, tf.newaxis], values, tf.stack([num_units, size // 4]))
    return tf.reshape(tf.bitcast(drawn, tf.uint8), [-1])[:total]


def _numbers(pixels: tf.Tensor) -> tf.Tensor:
    """Reads uint8 [U, 4 L] as int32 [U, L]."""
    return tf.bitcast(tf.reshape(pixels, [tf.shape(pixels)[0], -1, 4]), tf.int32)


def _unit(total: tf.Tensor) -> tf.Tensor:
    """Gives the largest unit that fills the result exactly, or of all, if such are small."""
    units = tf.range(4, MAX_UNIT + 1, 4, dtype=tf.int64)
    exact = tf.reduce_max(tf.where(tf.equal(total % units, 0), units, 0))
    return tf.where(exact >= MIN_UNIT, exact, MAX_UNIT)
