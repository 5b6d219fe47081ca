"""Rows of different sizes, flat: numbering, repeating, counting, merging.

`RaggedRange` writes ranges one after the other at the speed of memory. What a running sum or a
gather finds out for each value of a row is here the difference of two ranges, in a fifth of the
time.
"""

from __future__ import annotations

import tensorflow as tf


def take(values: tf.Tensor, places: tf.Tensor) -> tf.Tensor:
    """Returns values [V] at places of any shape: as `tf.gather`, in two thirds of its time."""
    return tf.gather_nd(values, places[..., tf.newaxis])


def row_sizes(row_splits: tf.Tensor) -> tf.Tensor:
    """Returns int32 [N], how many values each row of a ragged tensor with these splits has."""
    return tf.cast(row_splits[1:] - row_splits[:-1], tf.int32)


def row_ids(row_splits: tf.Tensor) -> tf.Tensor:
    """Returns int32 [T], the row of each value of a ragged tensor with these splits."""
    sizes = row_sizes(row_splits)
    return repeat(tf.range(tf.size(sizes)), sizes)


def index_in_row(sizes: tf.Tensor) -> tf.Tensor:
    """Returns int32 [T], the number of each value within its row; `sizes` is int32 [N]."""
    return tf.raw_ops.RaggedRange(starts=0, limits=sizes, deltas=1).rt_dense_values


def repeat(values: tf.Tensor, sizes: tf.Tensor) -> tf.Tensor:
    """Repeats int32 or int64 [N], each as often as `sizes`, int32 [N], says; returns [T].

    Of the values 7 and 3 with sizes 3 and 2:

        count on from each value       7 8 9  3 4
        number of each within its row  0 1 2  0 1
        their difference               7 7 7  3 3
    """
    ranges = tf.raw_ops.RaggedRange(
        starts=values,
        limits=values + tf.cast(sizes, values.dtype),
        deltas=tf.ones([], values.dtype),
    )
    return ranges.rt_dense_values - tf.cast(index_in_row(sizes), values.dtype)


def expand(starts: tf.Tensor, limits: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Counts from each start to before its limit: int32 owners, and values like `starts`."""
    ragged = tf.raw_ops.RaggedRange(
        starts=starts, limits=limits, deltas=tf.ones([], starts.dtype), Tsplits=tf.int64
    )
    return row_ids(ragged.rt_nested_splits), tf.ensure_shape(ragged.rt_dense_values, [None])


def rank(values: tf.Tensor, queries: tf.Tensor, *, side: str) -> tf.Tensor:
    """Counts, for each query, the sorted values that are less (`left`) or not greater (`right`).

    As `tf.searchsorted`, which however fails on no queries in a graph.

    Args:
      values: [V], sorted.
      queries: of any shape and the same dtype.
      side: `'left'` or `'right'`.

    Returns:
      int64, like `queries`.
    """
    bound = tf.raw_ops.LowerBound if side == 'left' else tf.raw_ops.UpperBound
    flat = tf.reshape(queries, [1, -1])
    found = bound(sorted_inputs=values[tf.newaxis], values=flat, out_type=tf.int64)
    return tf.reshape(found, tf.shape(queries))


def merged_places(a: tf.Tensor, b: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns int32 places of the values of two rising vectors in the merged one.

    `tf.dynamic_stitch` puts values there. At equal values, those of `a` come first. A value's place
    is its own number plus how many of the other vector come before it:

        a  2 4 6    of b before  0 1 2    places  0 2 4
        b  3 4 9    of a before  1 2 3    places  1 3 5
        merged      2 3 4 4 6 9
    """
    places_a = tf.range(tf.size(a, tf.int64)) + rank(b, a, side='left')
    places_b = tf.range(tf.size(b, tf.int64)) + rank(a, b, side='right')
    return tf.cast(places_a, tf.int32), tf.cast(places_b, tf.int32)
