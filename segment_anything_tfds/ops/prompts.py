"""Prompts: which masks, where to click, which box, all stateless and with static shapes.

Points are (x, y) with pixel centres at whole numbers; labels are 1 foreground, 0 background and -1
padding, as in SAM.
"""

from __future__ import annotations

import tensorflow as tf

from segment_anything_tfds.ops import rle, validate
from segment_anything_tfds.ops.rle.core import boundaries


@tf.autograph.experimental.do_not_convert
def choose(
    candidates: tf.Tensor, k: int, *, seed: tf.Tensor, weights: tf.Tensor | None = None
) -> tf.Tensor:
    """Draws k of N without replacement, in random order.

    With weights, each draw takes one of those left with a probability proportional to its weight
    (Efraimidis and Spirakis 2006: the k largest of u ** (1 / weight)).

    Args:
      candidates: bool [N], which may be drawn.
      k: Python int >= 1.
      seed: integer [2]. Equal seeds give equal draws.
      weights: float [N], not negative; those with weight 0 come last. Uniform where not given.

    Returns:
      int32 [n], indices of the chosen; n = min(k, number of candidates).

    Raises:
      ValueError: a `k` that is not a positive int, candidates that are not bool [N], weights that
        are not float [N].

    Example:
      >>> prompts.choose([True, False, True], 4, seed=[1, 2]).shape
      TensorShape([2])
    """
    k = validate.positive_int('prompts.choose', 'k', k)
    seed = validate.seed('prompts.choose', seed)
    candidates = tf.convert_to_tensor(candidates)
    if candidates.dtype != tf.bool or not candidates.shape.is_compatible_with([None]):
        raise ValueError(
            'prompts.choose: expected `candidates` to be bool of shape [N]; got '
            f'{candidates.dtype.name} {candidates.shape}. Pass one bool a mask.'
        )
    count = tf.size(candidates)
    uniform = tf.random.stateless_uniform([count], seed, minval=1e-12, alg='philox')
    # The order of u ** (1 / weight) is that of log(u) / weight, which does not run into 0 or 1:
    # u = 0.5 is -0.7 at weight 1 and -0.07 at weight 10, so the heavier one tends to come first.
    keys = tf.math.log(uniform)
    if weights is not None:
        weights = validate.float_vector('prompts.choose', 'weights', weights)
        keys = keys / tf.maximum(weights, 1e-30)
    keys = tf.where(candidates, keys, -float('inf'))
    chosen = tf.math.top_k(keys, tf.minimum(k, count)).indices
    eligible = tf.reduce_sum(tf.cast(candidates, tf.int32))
    return tf.ensure_shape(chosen[: tf.minimum(k, eligible)], [None])


@boundaries.takes_masks
def sample_clicks(
    counts: tf.Tensor,
    size: tf.Tensor,
    *,
    seed: tf.Tensor,
    num_foreground: tuple[int, int] = (1, 1),
    num_background: tuple[int, int] = (0, 0),
) -> tuple[tf.Tensor, tf.Tensor]:
    """Draws foreground clicks and background clicks for each mask, uniformly over their pixels.

    How many is drawn for each mask, uniform in the closed range; the rest is padding.

    Args:
      counts: string [N], compressed COCO RLE.
      size: integer [2], height and width of the masks.
      seed: integer [2]. Equal seeds give equal clicks.
      num_foreground: smallest and largest number of points inside the mask; at least one.
      num_background: smallest and largest number of points outside the mask.

    Returns:
      `(point_coords, point_labels)`: float32 [N, P, 2] and int32 [N, P]; P is the sum of the two
      largest numbers, the foreground first.

    Raises:
      ValueError: a range that is not of ints, 0 <= low <= high, or no foreground click at all.
      tf.errors.InvalidArgumentError: as `rle.sample_points`.

    Example:
      >>> points, labels = prompts.sample_clicks(['52203'], [4, 4], seed=[1, 2])
      >>> labels.numpy().tolist()
      [[1]]
    """
    for name, (low, high) in (
        ('num_foreground', num_foreground),
        ('num_background', num_background),
    ):
        ints = validate.is_int(low) and validate.is_int(high)
        if not ints or not 0 <= low <= high or (name == 'num_foreground' and high < 1):
            raise ValueError(
                f'prompts.sample_clicks: expected `{name}` of ints, 0 <= low <= high, and one '
                f'foreground point at least; got {(low, high)}. Pass for instance (1, 1).'
            )
    seeds = tf.unstack(tf.random.split(validate.seed('prompts.sample_clicks', seed), 4))
    parts = [_clicks(counts, size, num_foreground, 'foreground', seeds[:2])]
    if num_background[1]:
        parts.append(_clicks(counts, size, num_background, 'background', seeds[2:]))
    return tf.concat([p for p, _ in parts], 1), tf.concat([q for _, q in parts], 1)


def _clicks(counts, size, number, label, seeds):
    low, high = map(int, number)
    points, labels = rle.sample_points(counts, size, high, seed=seeds[0], label=label)
    if low < high:
        shape = [tf.shape(labels)[0], 1]
        wanted = tf.random.stateless_uniform(
            shape, seeds[1], minval=low, maxval=high + 1, dtype=tf.int32, alg='philox'
        )
        labels = tf.where(tf.range(high) < wanted, labels, -1)
        points = tf.where(labels[..., tf.newaxis] < 0, 0.0, points)
    return points, labels
