"""Which masks of an example a recipe takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from segment_anything_tfds.ops import boxes, prompts, rle, transforms

LIMITS = (
    'min_area',
    'max_area',
    'min_area_fraction',
    'max_area_fraction',
    'min_predicted_iou',
    'min_stability_score',
)


def image_size(example: Mapping[str, Any]) -> tf.Tensor:
    """Returns int32 [2], height and width; the dataset's uint64 has few kernels."""
    image = example['image']
    return tf.stack([tf.cast(image['height'], tf.int32), tf.cast(image['width'], tf.int32)])


def within(
    annotations: Mapping[str, Any],
    size: tf.Tensor,
    *,
    min_area: int,
    max_area: int | None,
    min_area_fraction: float,
    max_area_fraction: float,
    min_predicted_iou: float,
    min_stability_score: float,
) -> tf.Tensor:
    """Tells which masks obey all limits, each included: bool [N]."""
    area = tf.cast(annotations['area'], tf.int32)
    pixels = tf.cast(tf.reduce_prod(tf.cast(size, tf.int64)), tf.float32)
    fraction = tf.cast(area, tf.float32) / pixels
    keep = (area >= min_area) & (fraction >= min_area_fraction)
    keep &= fraction <= max_area_fraction
    keep &= score(annotations, 'predicted_iou') >= min_predicted_iou
    keep &= score(annotations, 'stability_score') >= min_stability_score
    return keep if max_area is None else keep & (area <= max_area)


def score(annotations: Mapping[str, Any], name: str) -> tf.Tensor:
    """Gives `predicted_iou` or `stability_score` of each mask, float [N].

    It is 1 where no model has scored the mask, and -1 stands in both: people have made it, or
    looked at it, so it comes before all others.
    """
    values = annotations[name]
    return tf.where(annotations['stability_score'] >= 0, values, tf.ones_like(values))


def choose(recipe, annotations, size, geometry, seed) -> dict[str, tf.Tensor]:
    """Filters, suppresses and draws masks as a recipe says.

    Returns:
      Of the n <= K chosen: `counts` string [n], `point_coords` float32 [n, 2], `area` int32 [n] and
      `boxes` float32 [n, 4] in `xyxy_inclusive`, all in pixels of the image, and `index` int32 [n];
      and of all N masks `keep` bool [N], whether they could be chosen.
    """
    area = tf.cast(annotations['area'], tf.int32)
    counts = annotations['segmentation']['counts']
    keep = within(annotations, size, **{name: getattr(recipe, name) for name in LIMITS})
    if recipe.scale_range is not None:
        keep &= _visible(annotations['bbox'], size, geometry)
    if recipe.nms_threshold is not None:
        kept = tf.where(keep)[:, 0]
        scores = tf.cast(tf.gather(score(annotations, 'predicted_iou'), kept), tf.float32)
        best = rle.nms(tf.gather(counts, kept), scores, size, recipe.nms_threshold)
        best = tf.gather(kept, best)[:, tf.newaxis]
        keep = tf.scatter_nd(best, tf.ones_like(best[:, 0], tf.bool), tf.shape(keep, tf.int64))
    chosen = prompts.choose(
        keep, recipe.num_masks, seed=seed, weights=_weights(recipe, annotations, area)
    )
    stored = tf.cast(tf.gather(annotations['point_coords'], chosen), tf.float32)
    return {
        'counts': tf.gather(counts, chosen),
        'point_coords': stored[:, 0],
        'area': tf.gather(area, chosen),
        'index': chosen,
        'keep': keep,
        'boxes': boxes.convert(
            tf.gather(annotations['bbox'], chosen),
            'sa1b_rel_yxyx',
            'xyxy_inclusive',
            image_size=size,
        ),
    }


def read(counts: tf.Tensor, size: tf.Tensor, window: tf.Tensor | None):
    """Reads masks once, cropped to a window int32 [4], x, y, width and height, if there is one."""
    if window is None:
        return transforms.read_masks(counts, size)
    return transforms.read_masks(rle.crop(counts, size, window), tf.gather(window, [3, 2]))


def padded(rows: tf.Tensor, count: int, value: int = 0) -> tf.Tensor:
    """Fills rows up to `count`, which becomes static; whole masks are not copied without need."""
    missing = count - tf.shape(rows)[0]
    paddings = [[0, missing]] + [[0, 0]] * (len(rows.shape) - 1)

    def fill():
        return tf.pad(rows, paddings, constant_values=value)

    filled = fill() if len(rows.shape) < 3 else tf.cond(missing > 0, fill, lambda: rows)
    return tf.ensure_shape(filled, [count, *rows.shape[1:]])


def _weights(recipe, annotations, area) -> tf.Tensor | None:
    if recipe.weights == 'uniform':
        return None
    if recipe.weights in ('area', 'sqrt_area'):
        area = tf.cast(area, tf.float32)
        return area if recipe.weights == 'area' else tf.sqrt(area)
    return tf.cast(score(annotations, recipe.weights), tf.float32)


def _visible(bbox, size, geometry) -> tf.Tensor:
    """Tells whether the box of a mask, as the dataset stores it, meets the window; bool [N]."""
    frames = boxes.convert(bbox, 'sa1b_rel_yxyx', 'xyxy', image_size=size)
    low = tf.cast(geometry.window[1::-1], tf.float32)
    high = low + tf.cast(geometry.window_size[::-1], tf.float32)
    return tf.reduce_all((frames[:, :2] < high) & (frames[:, 2:] > low), axis=1)
