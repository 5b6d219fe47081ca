"""Prompts as the tokens that SAM or SAM 2 makes of them."""

from __future__ import annotations

import keras
from keras import ops

from segment_anything_tfds.training.sam import kerashub

LAYOUTS = ('sam', 'sam2')
MULTIMASK = ('ambiguous', 'coin_flip')
NAMES = (
    'point_coords',
    'point_labels',
    'boxes_xyxy',
    'has_box',
    'mask_input',
    'has_mask_input',
)
_BACKGROUND, _FOREGROUND, _TOP_LEFT, _BOTTOM_RIGHT, _PADDING = range(5)


def embed(prompt_encoder, prompts, layout):
    """Tokens of N prompts, and which of them count.

    | prompt | `'sam'` | `'sam2'` |
    |---|---|---|
    | points | p..., pad | p..., pad |
    | box | tl, br | tl, br, pad |
    | box and points | p..., tl, br | tl, br, p..., pad |
    | neither | none | pad |

    The order of tokens means nothing to attention, so the slots are always points, corners, pad;
    those of points with label -1, of corners without a box and of a pad too many do not count.

    Args:
      prompt_encoder: a `keras_hub.layers.SAMPromptEncoder`.
      prompts: `point_coords` [N, P, 2], `point_labels` [N, P], and optionally `boxes_xyxy` [N, 4]
        and `has_box` [N].
      layout: one of `LAYOUTS`.

    Returns:
      `(tokens, valid)`: float [N, T, C] and bool [N, T], with T = P + 1, or P + 3 with boxes.
    """
    labels = ops.cast(prompts['point_labels'], 'int32')
    coordinates = [ops.cast(prompts['point_coords'], 'float32')]
    kinds, valid = [ops.where(labels == 1, _FOREGROUND, _BACKGROUND)], [labels >= 0]
    padded = ops.any(valid[0], axis=1, keepdims=True)
    one = ops.ones_like(padded, dtype='int32')
    if 'boxes_xyxy' in prompts:
        boxed = ops.cast(prompts['has_box'], 'float32')[:, None] > 0
        coordinates.append(ops.reshape(ops.cast(prompts['boxes_xyxy'], 'float32'), (-1, 2, 2)))
        kinds += [one * _TOP_LEFT, one * _BOTTOM_RIGHT]
        valid += [boxed, boxed]
        padded = ops.logical_and(padded, ops.logical_not(boxed))
    if layout == 'sam2':
        padded = ops.ones_like(padded)
    coordinates.append(ops.zeros((ops.shape(labels)[0], 1, 2)))
    kinds.append(one * _PADDING)
    valid.append(padded)
    coordinates, kinds, valid = (ops.concatenate(x, axis=1) for x in (coordinates, kinds, valid))
    return kerashub.embed_points(prompt_encoder, coordinates, kinds), valid


def candidates(prompts, num_outputs: int):
    """Gives 1 for the outputs that prompts ask for, as SAM 2's `_use_multimask`: float [B, K, M].

    A single click is ambiguous and asks for the outputs from 1 on, all other prompts for the first.
    """
    labels = prompts['point_labels']
    clicks = ops.sum(ops.cast(labels >= 0, 'float32'), axis=-1)
    for name in ('has_box', 'has_mask_input'):
        if name in prompts:
            clicks = clicks + 2 * ops.cast(prompts[name], 'float32')
    return _several_where(ops.cast(clicks <= 1, 'float32')[..., None], num_outputs)


def flip_coin(like, seed):
    """Gives 1 for the outputs from 1 on, or the first, for all masks alike: float, as `like`."""
    head = ops.cast(keras.random.uniform((), seed=seed) < 0.5, 'float32')
    return ops.broadcast_to(_several_where(head, like.shape[-1]), ops.shape(like))


def flat(x):
    """Flattens prompts of images, [B, K, ...], to prompts [B K, ...]."""
    return ops.reshape(x, (-1, *ops.shape(x)[2:]))


def for_each(x, count):
    """Repeats what images have, [B, ...], for each of some prompts, [B, count, ...]."""
    shape = ops.shape(x)
    return ops.broadcast_to(x[:, None], (shape[0], count, *shape[1:]))


def _several_where(several, num_outputs):
    """Gives 1 for the outputs from 1 on where `several` [..., 1] is 1, else for the first."""
    first = ops.one_hot(ops.zeros((), dtype='int32'), num_outputs, dtype='float32')
    return several * (1 - first) + (1 - several) * first if num_outputs > 1 else first
