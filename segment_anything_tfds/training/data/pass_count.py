"""Passes over a dataset that draws anew in each: which number a pass has."""

from __future__ import annotations

import tensorflow as tf


def counted_by_use(dataset: tf.data.Dataset, skipped: int = 0) -> tf.data.Dataset:
    """Counts passes over the dataset from their first element on.

    A dataset that shuffles or draws anew takes the next seed of its own whenever an iterator is
    made. `fit` makes more of them than it reads from, so the second epoch would be the third pass,
    and a run that goes on after the first epoch would draw otherwise than one that was not stopped.

    Args:
      dataset: whose passes differ.
      skipped: passes that were made before.

    Returns:
      A dataset with the same elements and cardinality.
    """
    for _ in range(skipped):
        iter(dataset)
    later = tf.data.Dataset.from_tensors(0).flat_map(lambda _: dataset)
    count = dataset.cardinality()
    if count == tf.data.UNKNOWN_CARDINALITY:
        return later
    return later.apply(tf.data.experimental.assert_cardinality(count))


def seeds(seed: int, skipped: int = 0) -> tf.data.Dataset:
    """Gives endlessly many integer seeds [2], others in each pass; see `counted_by_use`."""
    draws = tf.data.Dataset.random(seed, rerandomize_each_iteration=True).batch(2)
    return counted_by_use(draws, skipped)
