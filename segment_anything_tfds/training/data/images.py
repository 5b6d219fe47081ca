"""Images alone, for pre-training: what a recipe makes of them, without paying for annotations."""

from __future__ import annotations

import tensorflow as tf

from segment_anything_tfds.training.data import mask_choice, pass_count, placement
from segment_anything_tfds.training.data.recipe import Recipe


def batches(
    recipe: Recipe,
    dataset: tf.data.Dataset,
    batch_size: int,
    *,
    seed: int,
    drop_remainder: bool = False,
    initial_epoch: int = 0,
) -> tf.data.Dataset:
    """Gives batches of images as the recipe says; jitter and flips are drawn anew in each pass.

    Args:
      recipe: whose sizes, jitter and flips count.
      dataset: examples; of their annotations nothing is read.
      batch_size: images a batch.
      seed: Python int; equal seeds give equal batches in the same order of examples.
      drop_remainder: leave out a last smaller batch.
      initial_epoch: passes that were made before.

    Returns:
      A dataset of dicts: `image` uint8 [B, S, S, 3], `content_size` int32 [B, 2], height and width
      without the padding right and below, and `image_id` int64 [B].
    """

    def row(example, seed):
        seeds = tf.random.split(seed, 2)
        placed = placement.geometry(recipe, mask_choice.image_size(example), seeds[0], seeds[1])
        return {
            'image': placement.square(recipe, example['image']['content'], placed),
            'content_size': tf.ensure_shape(placed.size, [2]),
            'image_id': tf.cast(example['image']['image_id'], tf.int64),
        }

    return (
        tf.data.Dataset.zip(dataset, pass_count.seeds(seed, initial_epoch))
        .map(row, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        .batch(batch_size, drop_remainder=drop_remainder)
        .prefetch(tf.data.AUTOTUNE)
    )
