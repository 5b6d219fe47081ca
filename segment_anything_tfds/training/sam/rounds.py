"""Rounds of correction within a training step: which have a click, and the prompts of the next.

A step of SAM's recipe has ten of them. Written out one after another they would take minutes to
trace, so a graph holds one round, and a loop runs it. Its tensors must not grow, so there is a slot
for the click of every round from the start; those that are not filled yet weigh nothing:

    labels of a mask with one click, before   1  -1 -1 -1
    after round 0, which added a click        1   0 -1 -1
    after round 1, which added none           1   0 -1 -1
    after round 2                             1   0 -1  1
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from segment_anything_tfds.training import content, corrections, metrics

_PASSED_ON = ('masks', 'iou_pred', 'candidates')


def plan(clicks: int, refine: bool, *, seed) -> Any:
    """Tells whether each round adds a click: bool [R].

    With `refine`, one round without a click comes at a place drawn at random, another at the end:
    3 clicks and the place 1 are 1 0 1 1 0.
    """
    if not refine:
        return ops.ones((clicks,), dtype='bool')
    without = keras.random.randint((), 0, max(1, clicks), seed=seed, dtype='int32')
    numbers = ops.arange(clicks + 2, dtype='int32')
    return ops.logical_and(numbers != without, numbers <= clicks)


def add_losses(
    total: Any,
    prompts: dict[str, Any],
    truth: Any,
    outputs: dict[str, Any],
    clicked: Any,
    *,
    decode: Callable,
    loss: Callable,
    seed: keras.random.SeedGenerator,
    written_out: bool = False,
) -> Any:
    """Sums a step's loss and those of its rounds; no gradient goes from one round to the next.

    Args:
      total: the loss before the rounds.
      prompts: the inputs of the model.
      truth: true masks, as in `draw_click`.
      outputs: what the model gave for these prompts.
      clicked: of `plan`, bool [R].
      decode: gives outputs for prompts.
      loss: gives a scalar for outputs.
      seed: of the clicks.
      written_out: without a loop. XLA differentiates one of TensorFlow's for batches of a known
        size alone.

    Returns:
      A scalar.
    """
    count, slot = clicked.shape[0], prompts['point_labels'].shape[-1]
    shape = ops.shape(prompts['point_labels'])[:2]
    places = ops.stack([keras.random.uniform(shape, seed=seed) for _ in range(count)])
    prompts = _with_slots(prompts, count)
    names = 'point_coords', 'point_labels'

    def one(index, state):
        points, (*before, total) = state[:2], state[2:]
        shown = {**outputs, **dict(zip(_PASSED_ON, before, strict=True))}
        point, label = draw_click(truth, shown, ops.take(places, index, axis=0))
        label = ops.where(ops.take(clicked, index, axis=0), label, -1)
        given = {**prompts, **dict(zip(names, points, strict=True))}
        given = _put_click(given, shown, point, label, truth.shape, slot + index)
        found = decode(given)
        return [*(given[name] for name in names), *passed_on(found), total + loss(found)]

    def passed_on(found):
        return [ops.stop_gradient(found[name]) for name in _PASSED_ON]

    start = [*(prompts[name] for name in names), *passed_on(outputs), total]
    return _repeated(one, count, start, written_out)[-1]


def _repeated(function: Callable, count: int, state: list, written_out: bool) -> list:
    """Calls a function with 0, 1, ... and its own result, in a loop that can be differentiated."""
    if written_out:
        for index in range(count):
            state = function(index, state)
        return state
    if keras.backend.backend() == 'jax':  # whose `while_loop` cannot
        return ops.fori_loop(0, count, function, state)
    return ops.while_loop(
        lambda index, *_: index < count,
        lambda index, *state: (index + 1, *function(index, state)),
        (ops.zeros((), dtype='int32'), *state),
        maximum_iterations=count,
    )[1:]


def draw_click(truth, outputs, place):
    """Draws a click from the error of the chosen masks, none of them in the padding.

    Args:
      truth: true masks [B, K, h, w], in 0 to 1, at the logits' resolution or a multiple; or of
        each output, [B, K, M, h, w].
      outputs: what the model gave.
      place: float [B, K], in 0 to 1, where in the error.

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
    return corrections.click_at(place, truth, logits, inside=inside)


def add_click(prompts, outputs, point, label, mask_shape):
    """Gives the prompts with one more click and the chosen logits as `mask_input`.

    Args:
      prompts: the inputs of the model.
      outputs: what the model gave for them.
      point: float [B, K, 2] (x, y) in pixels of masks of `mask_shape`.
      label: int [B, K]; -1 for no click.
      mask_shape: [..., h, w].

    Returns:
      The inputs of the next round; `point_coords` and `point_labels` are one longer.
    """
    slot = prompts['point_labels'].shape[-1]
    return _put_click(_with_slots(prompts, 1), outputs, point, label, mask_shape, slot)


def _with_slots(prompts, count: int):
    """Gives the prompts with `count` more points that are none."""
    coordinates = ops.cast(prompts['point_coords'], 'float32')
    labels = ops.convert_to_tensor(prompts['point_labels'])
    return {
        **prompts,
        'point_coords': ops.pad(coordinates, [(0, 0), (0, 0), (0, count), (0, 0)]),
        'point_labels': ops.pad(labels, [(0, 0), (0, 0), (0, count)], constant_values=-1),
    }


def _put_click(prompts, outputs, point, label, mask_shape, slot):
    """Adds a click as `add_click`, in one of the slots that there are."""
    height, width = prompts['image'].shape[1:3]
    scale = ops.array([width / mask_shape[-1], height / mask_shape[-2]])
    point = (point + 0.5) * scale - 0.5
    coordinates, labels = prompts['point_coords'], prompts['point_labels']
    is_it = ops.arange(labels.shape[-1], dtype='int32') == slot
    label = ops.cast(label, labels.dtype)
    return {
        **prompts,
        'point_coords': ops.where(is_it[:, None], point[..., None, :], coordinates),
        'point_labels': ops.where(is_it, label[..., None], labels),
        'mask_input': ops.stop_gradient(metrics.choose_mask(outputs)[0]),
        'has_mask_input': ops.ones_like(labels[..., 0], dtype='float32'),
    }
