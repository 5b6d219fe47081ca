"""The fraction of each target pixel that a mask covers, from its runs."""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from segment_anything_tfds.ops.rle.core import boundaries, ranges, views


class _Cells(NamedTuple):
    """Target pixels that intervals touch, and how much of each pixel's side they cover.

    Attributes:
      owner: int32 [C], the interval.
      cell: int32 [C], the content pixel.
      cover: float32 [C], above 0, at most 1.
    """

    owner: tf.Tensor
    cell: tf.Tensor
    cover: tf.Tensor


def cover(found: boundaries.ForegroundRuns, view: views.View, num_masks: tf.Tensor) -> tf.Tensor:
    """Returns float32 [N, h, w], the covered fraction of each target pixel."""
    mask, column, top, bottom = boundaries.cut(found, view.y.source)
    across = _cells(column, column + 1, view.x)
    pieces = [ranges.take(part, across.owner) for part in (mask, top, bottom)]
    down = _cells(pieces[1], pieces[2], view.y)
    x = ranges.take(across.cell, down.owner)
    x = view.x.offset + tf.where(view.flip, view.x.content - 1 - x, x)
    y = view.y.offset + down.cell
    line = ranges.take(pieces[0], down.owner) * view.y.target + y
    place = tf.cast(line, tf.int64) * tf.cast(view.x.target, tf.int64) + tf.cast(x, tf.int64)
    shape = tf.stack([num_masks, view.y.target, view.x.target])
    total = tf.reduce_prod(tf.cast(shape, tf.int64))
    value = down.cover * ranges.take(across.cover, down.owner)
    covered = tf.scatter_nd(place[:, tf.newaxis], value, total[tf.newaxis])
    return tf.minimum(tf.reshape(covered, shape), 1)  # sums of float32 may pass 1 by rounding


def _cells(starts: tf.Tensor, ends: tf.Tensor, axis: views.Axis) -> _Cells:
    """Spreads intervals of source pixels over the content pixels of an axis.

    Of 5 pixels on 3, the interval [1, 3) is [0.6, 1.8) in content pixels: it covers 0.4 of pixel 0
    and 0.8 of pixel 1.
    """
    content = tf.cast(axis.content, tf.float64)
    low = tf.clip_by_value(axis.to_content(starts), 0, content)
    high = tf.clip_by_value(axis.to_content(ends), low, content)
    first = tf.cast(tf.floor(low), tf.int32)
    limit = tf.where(high > low, tf.cast(tf.math.ceil(high), tf.int32), first)
    owner, cell = ranges.expand(first, limit)
    edge = tf.cast(cell, tf.float64)
    high, low = ranges.take(high, owner), ranges.take(low, owner)
    covered = tf.minimum(high, edge + 1) - tf.maximum(low, edge)
    return _Cells(owner, cell, tf.cast(covered, tf.float32))
