"""Which masks a prompt asks for: its own, all that hold its click, or one of each level."""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from segment_anything_tfds.ops import rle, transforms
from segment_anything_tfds.training.data import mask_choice

_OWN = 2.0  # above all random keys, which are from 0 to 1


class Candidates(NamedTuple):
    """The N masks of an image that a recipe takes, of which prompts are drawn.

    Attributes:
      masks: what `transforms.read_masks` gave, as the prompts see them (cropped with the image).
      own: int32 [n], which of them each of the n prompts is of.
      levels: int32 [N], place in `rle.LEVELS`, found in the whole image; only for `'levels'`.
      area: int32 [N], in pixels of the whole image.
    """

    masks: tuple
    own: tf.Tensor
    levels: tf.Tensor | None
    area: tf.Tensor


def find(recipe, annotations, size, window, chosen) -> Candidates:
    """Gives the masks of an image that a recipe takes; see `mask_choice.choose` for `chosen`."""
    kept = tf.where(chosen['keep'])[:, 0]
    counts = tf.gather(annotations['segmentation']['counts'], kept)
    place = tf.cumsum(tf.cast(chosen['keep'], tf.int32), exclusive=True)
    levels = None
    if recipe.targets == 'levels':
        names = rle.hierarchy(counts, size).levels
        levels = tf.argmax(tf.equal(names[:, tf.newaxis], list(rle.LEVELS)), 1, tf.int32)
    return Candidates(
        mask_choice.read(counts, size, window),
        tf.gather(place, chosen['index']),
        levels,
        tf.gather(tf.cast(annotations['area'], tf.int32), kept),
    )


def draw(recipe, found: Candidates, clicks, ambiguous, geometry, seed) -> tf.Tensor:
    """Draws each prompt's targets, as `of_clicks` chooses them; else zeros. uint8 [n, T, m, m]."""
    indices, valid = of_clicks(recipe.targets, found, clicks, ambiguous, recipe.num_targets, seed)
    drawn = transforms.draw_masks(found.masks, None, geometry, (recipe.mask_size,) * 2)
    return tf.gather(drawn, indices) * tf.cast(valid, tf.uint8)[..., tf.newaxis, tf.newaxis]


def of_clicks(
    kind: str, found: Candidates, clicks: tf.Tensor, ambiguous: tf.Tensor, count: int, seed
) -> tuple[tf.Tensor, tf.Tensor]:
    """Chooses the targets of each prompt; the first is always the prompted mask itself.

    Five masks, of which 0, 1, 3 hold the click on mask 1, and a count of 4:

        'click'     1 0 3 .     all that hold it, in random order behind its own
        'levels'    1 0 1 3     its own, whole, part, subpart

    Args:
      kind: `'click'` or `'levels'`.
      found: the masks.
      clicks: float [n, 2], x and y of the first click of each prompt, in pixels of the masks.
      ambiguous: bool [n], whether the click is all there is; others have their own mask alone.
      count: targets T of `'click'`; `'levels'` has 4.
      seed: integer [2].

    Returns:
      int32 [n, T], the masks; and bool [n, T], which of them count.
    """
    number = tf.shape(found.area)[0]
    own = tf.equal(found.own[:, tf.newaxis], tf.range(number))
    held = rle.contains(found.masks, None, clicks) & ambiguous[:, tf.newaxis]
    if kind == 'click':
        keys = tf.random.stateless_uniform(tf.shape(held), seed, minval=1e-6, alg='philox')
        keys = tf.where(own, _OWN, tf.where(held, keys, 0))
        best = tf.math.top_k(tf.pad(keys, [[0, 0], [0, count]]), count)
        return _within(best.indices, best.values > 0)
    slots = [tf.where(own, 1, 0)]
    for level in range(len(rle.LEVELS)):
        of_level = held & tf.equal(found.levels, level)
        size = tf.where(own, tf.int32.max, found.area)  # its own stands for its level
        slots.append(tf.where(of_level, size, 0))
    # a last place of 0, so that there is a largest key even of no masks
    keys = tf.pad(tf.stack(slots, 1), [[0, 0], [0, 0], [0, 1]])
    return _within(tf.argmax(keys, 2, tf.int32), tf.reduce_max(keys, 2) > 0)


def _within(indices: tf.Tensor, valid: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Lets targets that do not count be mask 0, which is there where any prompt is."""
    return tf.where(valid, indices, 0), valid
