"""Rounds of correction within a training step: which have a click, and the prompts of the next."""

from __future__ import annotations

import keras
from keras import ops

from segment_anything_tfds.training import content, corrections, metrics


def plan(clicks: int, refine: bool, *, seed) -> list:
    """Whether each round adds a click: bool [] each.

    With `refine`, one round without a click comes at a place drawn at random, another at the end.
    """
    if not refine:
        return [True] * clicks
    without = keras.random.randint((), 0, max(1, clicks), seed=seed, dtype='int32')
    return [*(ops.not_equal(without, number) for number in range(clicks + 1)), False]


def draw_click(truth, outputs, *, seed):
    """A click from the error of the chosen masks, none of them in the padding.

    Args:
      truth: true masks [B, K, h, w], in 0 to 1, at the logits' resolution or a multiple; or of
        each output, [B, K, M, h, w].
      outputs: what the model gave.
      seed: a `keras.random.SeedGenerator`.

    Returns:
      `(point, label)`: float [B, K, 2] (x, y) in pixels of the masks, and int [B, K].
    """
    logits = ops.stop_gradient(metrics.choose_mask(outputs)[0])
    if len(truth.shape) > len(logits.shape):  # a teacher's masks, one an output
        own = {**outputs, 'masks': truth}
        truth = metrics.choose_mask(own)[0]
    inside = None
    if 'content' in outputs:
        inside = content.inside(outputs['content'], *truth.shape[-2:])
    return corrections.sample_correction(truth, logits, seed=seed, inside=inside)


def add_click(prompts, outputs, point, label, mask_shape):
    """The prompts with one more click and the chosen logits as `mask_input`.

    Args:
      prompts: the inputs of the model.
      outputs: what the model gave for them.
      point: float [B, K, 2] (x, y) in pixels of masks of `mask_shape`.
      label: int [B, K]; -1 for no click.
      mask_shape: [..., h, w].

    Returns:
      The inputs of the next round; `point_coords` and `point_labels` are one longer.
    """
    height, width = prompts['image'].shape[1:3]
    scale = ops.array([width / mask_shape[-1], height / mask_shape[-2]])
    point = (point + 0.5) * scale - 0.5
    labels = prompts['point_labels']
    coordinates = ops.cast(prompts['point_coords'], 'float32')
    return {
        **prompts,
        'point_coords': ops.concatenate([coordinates, point[..., None, :]], axis=-2),
        'point_labels': ops.concatenate(
            [labels, ops.cast(label, labels.dtype)[..., None]], axis=-1
        ),
        'mask_input': ops.stop_gradient(metrics.choose_mask(outputs)[0]),
        'has_mask_input': ops.ones_like(labels[..., 0], dtype='float32'),
    }
