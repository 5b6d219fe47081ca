"""Images alone, for pre-training: what a recipe makes of them, without paying for annotations."""

from __future__ import annotations

from typing import TYPE_CHECKING

import tensorflow as tf

from segment_anything_tfds.ops import transforms
from segment_anything_tfds.training.data import mask_choice, pass_count

if TYPE_CHECKING:
    from segment_anything_tfds.training.data.recipe import Recipe


def geometry(recipe: Recipe, size, jitter_seed, flip_seed) -> transforms.Geometry:
    """Where a recipe puts an image of `size` on its square."""
    canvas = [recipe.image_size, recipe.image_size]
    if recipe.scale_range is None:
        placed = transforms.fit(size, canvas, resize=recipe.resize)
    else:
        placed = transforms.jitter(size, canvas, seed=jitter_seed, scale_range=recipe.scale_range)
    if not recipe.flip_probability:
        return placed
    return transforms.random_flip(placed, seed=flip_seed, probability=recipe.flip_probability)


def square(recipe: Recipe, content: tf.Tensor, placed: transforms.Geometry) -> tf.Tensor:
    """The image, from a JPEG or decoded, on the recipe's square: uint8 [S, S, 3]."""
    if content.dtype == tf.string:
        image = transforms.decode_image(
            content, placed, fill=recipe.fill, reduced=recipe.reduced_decode
        )
    else:
        image = transforms.apply_to_image(content, placed, fill=recipe.fill)
    return tf.ensure_shape(image, [recipe.image_size, recipe.image_size, 3])


def batches(
    recipe: Recipe,
    dataset: tf.data.Dataset,
    batch_size: int,
    *,
    seed: int,
    drop_remainder: bool = False,
    initial_epoch: int = 0,
) -> tf.data.Dataset:
    """Batches of images as the recipe gives them; jitter and flips are drawn anew in each pass.

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
        placed = geometry(recipe, mask_choice.image_size(example), seeds[0], seeds[1])
        return {
            'image': square(recipe, example['image']['content'], placed),
            'content_size': tf.ensure_shape(placed.size, [2]),
            'image_id': tf.cast(example['image']['image_id'], tf.int64),
        }

    return (
        tf.data.Dataset.zip(dataset, pass_count.seeds(seed, initial_epoch))
        .map(row, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        .batch(batch_size, drop_remainder=drop_remainder)
        .prefetch(tf.data.AUTOTUNE)
    )
