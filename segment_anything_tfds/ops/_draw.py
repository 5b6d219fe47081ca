"""From runs on a grid to a drawn mask, row by row.

Pixels are written in the order of memory, many at a time, for what a pixel costs is the way to it:
runs in column-major order become spans in row-major order, and spans are written in units of up to
64 bytes.
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from segment_anything_tfds.ops import _runs

MAX_UNIT = 64


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


def draw(found: _runs.ForegroundRuns, grid: Grid, num_masks: tf.Tensor) -> tf.Tensor:
    """Draws runs whose positions are those of `grid`; returns uint8 [N, h, w]."""
    shape = tf.concat([[num_masks], grid.size], 0)
    total = tf.reduce_prod(tf.cast(shape, tf.int64))
    return tf.reshape(_write(_spans(found, grid), total), shape)


def _spans(found: _runs.ForegroundRuns, grid: Grid) -> tf.Tensor:
    """Returns int64 [S, 2], first and after the last flat position of each span, rising."""
    height = tf.cast(tf.maximum(grid.height, 1), tf.int64)
    columns = tf.size(grid.edges, tf.int64)
    column, row = _horizontal_changes(found, height, columns)
    mask = column // columns
    edge = tf.gather(tf.cast(grid.edges, tf.int64), column - mask * columns)
    target_height, target_width = tf.unstack(tf.cast(grid.size, tf.int64))
    line = mask * target_height + row + tf.cast(grid.top, tf.int64)
    return tf.reshape(tf.sort(line * target_width + edge), [-1, 2])


def _horizontal_changes(found: _runs.ForegroundRuns, height, columns) -> tuple:
    """Finds where a pixel differs from its left neighbour: int64 columns and rows.

    Those places are the mask xor the mask shifted by a column, so the boundaries of both, in order.
    The grid has one column more than the mask; columns count on from mask to mask.
    """
    base = tf.cast(found.rows, tf.int64) * (height * columns)
    edges = tf.stack([found.starts, found.ends], 1)
    edges = tf.reshape(tf.cast(edges, tf.int64) + base[:, tf.newaxis], [-1])
    changes = tf.reshape(_merge(edges, edges + height), [-1, 2])
    places = tf.raw_ops.RaggedRange(
        starts=changes[:, 0], limits=changes[:, 1], deltas=tf.constant(1, tf.int64)
    ).rt_dense_values
    places = tf.ensure_shape(places, [None])
    column = tf.truncatediv(places, height)
    return column, places - column * height


def _merge(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """Merges two rising vectors."""
    own = tf.range(tf.size(a, tf.int64))
    places_a = own + tf.searchsorted(b, a, out_type=tf.int64)
    places_b = own + tf.searchsorted(a, b, side='right', out_type=tf.int64)
    places = tf.concat([places_a, places_b], 0)[:, tf.newaxis]
    return tf.scatter_nd(places, tf.concat([a, b], 0), tf.shape(places, tf.int64)[:1])


def _write(spans: tf.Tensor, total: tf.Tensor) -> tf.Tensor:
    """Returns uint8 [total], ones in the spans.

    A span from `a` to `b` is ones in all units from that of `a` to before that of `b`, less the
    bytes before `a` in its unit, plus the bytes before `b` in its unit: right even within one unit,
    as bytes wrap. Where units fill the result exactly, the slice at the end costs nothing.
    """
    divisor = tf.minimum(total & -total, MAX_UNIT)
    unit = tf.where(divisor >= 8, divisor, MAX_UNIT)
    num_units = tf.cast((total + unit - 1) // unit, tf.int32)
    units = tf.cast(spans // unit, tf.int32)
    within = tf.cast(spans % unit, tf.int32)
    size = tf.cast(unit, tf.int32)
    full = tf.raw_ops.RaggedRange(
        starts=units[:, 0], limits=units[:, 1], deltas=1, Tsplits=tf.int64
    ).rt_dense_values
    before = tf.sequence_mask(tf.range(size), size, tf.uint8)
    places = tf.concat([full, tf.minimum(tf.reshape(units, [-1]), num_units - 1)], 0)
    parts = tf.gather(tf.concat([255 * before, before], 0), tf.reshape(within + [0, size], [-1]))
    values = tf.concat([tf.ones([tf.size(full), size], tf.uint8), parts], 0)
    drawn = tf.scatter_nd(places[:, tf.newaxis], values, [num_units, size])
    return tf.reshape(drawn, [-1])[:total]
