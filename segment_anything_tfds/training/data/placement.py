"""Where a recipe puts an image on its square, and the image there."""

from __future__ import annotations

import tensorflow as tf

from segment_anything_tfds.ops import transforms


def geometry(recipe, size, jitter_seed, flip_seed) -> transforms.Geometry:
    """Tells where a recipe puts an image of `size` on its square."""
    canvas = [recipe.image_size, recipe.image_size]
    if recipe.scale_range is None:
        placed = transforms.fit(size, canvas, resize=recipe.resize)
    else:
        placed = transforms.jitter(size, canvas, seed=jitter_seed, scale_range=recipe.scale_range)
    if not recipe.flip_probability:
        return placed
    return transforms.random_flip(placed, seed=flip_seed, probability=recipe.flip_probability)


def square(recipe, content: tf.Tensor, placed: transforms.Geometry) -> tf.Tensor:
    """Gives the image, from a JPEG or decoded, on the recipe's square: uint8 [S, S, 3]."""
    if content.dtype == tf.string:
        image = transforms.decode_image(
            content, placed, fill=recipe.fill, reduced=recipe.reduced_decode
        )
    else:
        image = transforms.apply_to_image(content, placed, fill=recipe.fill)
    return tf.ensure_shape(image, [recipe.image_size, recipe.image_size, 3])
