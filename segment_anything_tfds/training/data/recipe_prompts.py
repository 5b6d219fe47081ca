"""The prompts of a recipe: clicks, boxes, masks, and which of them each prompt holds."""

from __future__ import annotations

import tensorflow as tf

from segment_anything_tfds.ops import boxes, prompts, transforms


def points(recipe, masks, stored, geometry, seeds) -> tuple[tf.Tensor, tf.Tensor]:
    """Draws clicks in pixels of the masks, float32 [n, P, 2], and their labels, int32 [n, P].

    With `stored_point_probability`, the first may be the dataset's own, where it is visible.
    """
    coordinates, labels = prompts.sample_clicks(
        masks,
        None,
        seed=seeds[3],
        num_foreground=recipe.num_points,
        num_background=recipe.num_background_points,
    )
    if recipe.stored_point_probability:
        draw = tf.random.stateless_uniform([tf.shape(stored)[0]], seeds[4], alg='philox')
        use = (draw < recipe.stored_point_probability) & transforms.is_inside(stored, geometry)
        first = tf.where(use[:, tf.newaxis], stored, coordinates[:, 0])
        coordinates = tf.concat([first[:, tf.newaxis], coordinates[:, 1:]], 1)
    return coordinates, labels


def frames(recipe, inside, geometry, seed) -> tf.Tensor:
    """Returns float32 [n, 4], boxes on the canvas with the recipe's noise."""
    moved = transforms.apply_to_boxes(inside, geometry)
    if not recipe.box_jitter:
        return moved
    return boxes.jitter(
        moved,
        geometry.size,
        seed=seed,
        box_format='xyxy_inclusive',
        scale=recipe.box_jitter,
        max_pixels=recipe.box_jitter_pixels,
        distribution=recipe.box_jitter_distribution,
    )


def mixed(recipe, points, labels, frames, valid, seed) -> dict[str, tf.Tensor]:
    """Keeps the points, the box, or both, as drawn for each mask; nothing of invalid ones."""
    draw = tf.random.stateless_uniform(tf.shape(valid), seed, alg='philox')
    only_box = (draw >= recipe.point_probability) & (
        draw < recipe.point_probability + recipe.box_probability
    )
    has_box = tf.cast(draw >= recipe.point_probability, tf.float32) * valid
    labels = tf.where(only_box[:, tf.newaxis], -1, labels)
    return {
        'point_coords': points,
        'point_labels': tf.where(valid[:, tf.newaxis] > 0, labels, -1),
        'boxes_xyxy': frames * has_box[:, tf.newaxis],
        'has_box': has_box,
    }


def is_single_click(inputs: dict[str, tf.Tensor]) -> tf.Tensor:
    """Tells which prompts are one click inside alone, which may mean several masks: bool [n]."""
    clicks = tf.reduce_sum(tf.cast(inputs['point_labels'] >= 0, tf.int32), 1)
    single = tf.equal(inputs['point_labels'][:, 0], 1) & tf.equal(clicks, 1)
    for name in ('has_box', 'has_mask_input'):
        if name in inputs:
            single &= tf.equal(inputs[name], 0)
    return single


def mask_input(recipe, masks, geometry, valid, seed) -> dict[str, tf.Tensor]:
    """Gives the true masks, eight times coarser, as logits; for some as drawn."""
    coarse = transforms.draw_masks(masks, None, geometry, (recipe.image_size // 32,) * 2)
    wide = tf.repeat(tf.repeat(coarse, 8, axis=1), 8, axis=2)
    draw = tf.random.stateless_uniform(tf.shape(valid), seed, alg='philox')
    given = tf.cast(draw < recipe.mask_input_probability, tf.float32) * valid
    logits = (2 * tf.cast(wide, tf.float32) - 1) * recipe.mask_input_logit
    return {'mask_input': logits * given[:, None, None], 'has_mask_input': given}
