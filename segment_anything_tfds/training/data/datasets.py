"""What people do first with the whole dataset: keep some images or masks, hold a part out, join.

For `tf.data`: `dataset.filter(num_masks(50, 150))`, `dataset.map(keep_masks(min_area=1024))`.
Mixing needs no helper: `tf.data.Dataset.sample_from_datasets`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from segment_anything_tfds.training.data import mask_choice
from segment_anything_tfds.training.data.label_join import with_labels

__all__ = ['is_held_out', 'keep_masks', 'num_masks', 'with_labels']

Example = Mapping[str, Any]
_MIX = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB), (31, 1))


def num_masks(low: int = 0, high: int | None = None) -> Callable[[Example], tf.Tensor]:
    """Makes a predicate for `Dataset.filter`: images with `low` to `high` masks, both included.

    Args:
      low: fewest masks.
      high: most masks; None for no limit.

    Returns:
      A function from an example to bool [].

    Raises:
      ValueError: where not 0 <= low <= high.

    Example:
      >>> bool(num_masks(50, 150)({'annotations': {'area': tf.zeros([60])}}))
      True
    """
    if low < 0 or (high is not None and high < low):
        raise ValueError(
            f'datasets.num_masks: expected 0 <= `low` <= `high`; got {low} and {high}. Swap them.'
        )

    def predicate(example: Example) -> tf.Tensor:
        count = tf.shape(example['annotations']['area'])[0]
        return (count >= low) & (True if high is None else count <= high)

    return predicate


def keep_masks(
    *,
    min_area: int = 0,
    max_area: int | None = None,
    min_area_fraction: float = 0.0,
    max_area_fraction: float = 1.0,
    min_predicted_iou: float = 0.0,
    min_stability_score: float = 0.0,
) -> Callable[[Example], Example]:
    """Makes a function for `Dataset.map`: the example with only the masks that obey all limits.

    Args:
      min_area: in pixels of the image, included.
      max_area: in pixels of the image, included; None for no limit.
      min_area_fraction: in parts of the image, included.
      max_area_fraction: in parts of the image, included.
      min_predicted_iou: included.
      min_stability_score: included.

    Returns:
      A function from an example to an example of the same structure, with as many masks or fewer.

    Example:
      >>> large = keep_masks(min_area=96**2)
    """

    limits = {
        'min_area': min_area,
        'max_area': max_area,
        'min_area_fraction': min_area_fraction,
        'max_area_fraction': max_area_fraction,
        'min_predicted_iou': min_predicted_iou,
        'min_stability_score': min_stability_score,
    }

    def function(example: Example) -> Example:
        annotations = example['annotations']
        keep = mask_choice.within(annotations, mask_choice.image_size(example), **limits)
        kept = tf.where(keep)[:, 0]
        annotations = tf.nest.map_structure(lambda column: tf.gather(column, kept), annotations)
        return {**example, 'annotations': annotations}

    return function


def is_held_out(image_id: Any, fraction: float, *, salt: int = 0) -> Any:
    """Tells whether an image is held out: the same on every machine and in every run.

    The id is mixed by SplitMix64 (Steele et al. 2014) and compared with `fraction`, so the answer
    depends on nothing else: not on order, sharding, selection or TensorFlow's version. A larger
    fraction holds out the same images and more.

    Args:
      image_id: integer tensor of any shape, NumPy array or int.
      fraction: part to hold out, 0 to 1.
      salt: another salt gives another part.

    Returns:
      bool of the same shape: a tensor for a tensor, else NumPy.

    Raises:
      ValueError: a fraction outside 0 to 1.

    Example:
      >>> bool(is_held_out(2001, 1.0)), bool(is_held_out(2001, 0.0))
      (True, False)
    """
    if not 0 <= fraction <= 1:
        raise ValueError(
            f'datasets.is_held_out: expected `fraction` from 0 to 1; got {fraction!r}. '
            'Pass for instance 0.01.'
        )
    start = (0x9E3779B97F4A7C15 * (salt + 1)) % 2**64
    limit = round(fraction * 2**53)  # of the upper 53 bits: as many as a float64 holds
    if tf.is_tensor(image_id):
        mixed = tf.cast(image_id, tf.uint64) + tf.constant(start, tf.uint64)
        for shift, factor in _MIX:
            mixed = tf.bitwise.bitwise_xor(
                mixed, tf.bitwise.right_shift(mixed, tf.constant(shift, tf.uint64))
            ) * tf.constant(factor, tf.uint64)
        top = tf.bitwise.right_shift(mixed, tf.constant(11, tf.uint64))
        return tf.cast(top, tf.int64) < limit
    with np.errstate(over='ignore'):
        mixed = np.asarray(image_id).astype(np.uint64) + np.uint64(start)
        for shift, factor in _MIX:
            mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return (mixed >> np.uint64(11)).astype(np.int64) < limit
