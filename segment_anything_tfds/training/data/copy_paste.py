"""Copy-paste augmentation between examples, from run-length encoded masks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from segment_anything_tfds.ops import boxes, image, prompts, rle, transforms
from segment_anything_tfds.training.data import mask_choice

_FILL = (0, 0, 0)


@tf.autograph.experimental.do_not_convert
def copy_paste(
    example: Mapping[str, Any],
    source: Mapping[str, Any],
    *,
    seed: tf.Tensor,
    max_objects: int = 10,
    scale_range: tuple[float, float] = (0.1, 2.0),
) -> dict[str, Any]:
    """Pastes objects of one example onto another: "Simple Copy-Paste" (Ghiasi et al. 2021).

    The source is scaled at random and mirrored with probability 0.5, a random number of its masks
    is chosen, and their pixels go over the example's. Masks of the example lose what is covered;
    those covered whole are dropped. Only the pasted masks are ever drawn. The example's own jitter
    is the recipe's (`recipes.SAM_JITTER`), as the paper jitters both.

    Args:
      example: an example of the dataset, its JPEG decoded or not.
      source: another.
      seed: integer [2]. Equal seeds paste the same.
      max_objects: most masks to paste; 1 to this many are drawn.
      scale_range: of the source's scale relative to fitting the example; the paper's (0.1, 2.0).

    Returns:
      An example of the same structure that a recipe takes; `content` is decoded, uint8 [H, W, 3].
      `bbox`, `area` and the masks are those of what is visible, `point_coords` a random visible
      pixel; the other fields are those of the masks' own examples.

    Raises:
      ValueError: as `transforms.jitter` and `prompts.choose`.
    """
    seeds = tf.unstack(tf.random.split(tf.ensure_shape(seed, [2]), 5))
    canvas, source_size = mask_choice.image_size(example), mask_choice.image_size(source)
    geometry = transforms.jitter(source_size, canvas, seed=seeds[0], scale_range=scale_range)
    geometry = transforms.random_flip(geometry, seed=seeds[1])
    counts = source['annotations']['segmentation']['counts']
    chosen = prompts.choose(tf.fill(tf.shape(counts), True), max_objects, seed=seeds[2])
    number = tf.random.stateless_uniform(
        [], seeds[3], minval=1, maxval=max_objects + 1, dtype=tf.int32, alg='philox'
    )
    chosen = chosen[:number]
    drawn = transforms.draw_masks(tf.gather(counts, chosen), source_size, geometry, canvas)
    over = tf.reduce_any(drawn > 0, axis=0)
    below = rle.difference(
        example['annotations']['segmentation']['counts'],
        rle.encode(tf.cast(over, tf.uint8)[tf.newaxis]),
        canvas,
    )
    annotations = tf.nest.map_structure(
        lambda own, others: tf.concat([own, tf.gather(others, chosen)], 0),
        dict(example['annotations']),
        dict(source['annotations']),
    )
    counts = tf.concat([below, rle.encode(drawn)], 0)
    pasted = tf.where(over[..., tf.newaxis], _pixels(source, geometry), _pixels(example))
    return {
        **example,
        'image': {**example['image'], 'content': pasted},
        'annotations': _describe(annotations, counts, canvas, seeds[4]),
    }


def _pixels(example: Mapping[str, Any], geometry: transforms.Geometry | None = None) -> tf.Tensor:
    """Returns uint8 [H, W, 3] of the example, or of the geometry's canvas."""
    content = example['image']['content']
    if content.dtype == tf.string:
        if geometry is None:
            return image.decode_whole(content)
        return transforms.decode_image(content, geometry, fill=_FILL)
    if geometry is None:
        return content
    return transforms.apply_to_image(content, geometry, fill=_FILL)


def _describe(annotations, counts, size, seed) -> dict[str, Any]:
    """Gives the annotations of masks that changed, without those that nothing is left of."""
    kept = tf.where(~rle.is_empty(counts, size))[:, 0]
    counts = tf.gather(counts, kept)
    annotations = tf.nest.map_structure(lambda column: tf.gather(column, kept), annotations)
    frames = rle.bbox(counts, size, convention='sa1b')
    frames = boxes.convert(frames, 'sa1b', 'sa1b_rel_yxyx', image_size=size)
    points, _ = rle.sample_points(counts, size, 1, seed=seed)
    sizes = tf.broadcast_to(size, [tf.size(counts), 2])
    changed = {'area': rle.area(counts, size), 'bbox': frames, 'point_coords': points}
    changed = {name: tf.cast(value, annotations[name].dtype) for name, value in changed.items()}
    sizes = tf.cast(sizes, annotations['segmentation']['size'].dtype)
    return {**annotations, **changed, 'segmentation': {'counts': counts, 'size': sizes}}
