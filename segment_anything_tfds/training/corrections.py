"""Correction prompts: where a user would click next, from the predicted and the true masks.

Everything is `keras.ops` with static shapes, so it runs eagerly, in a graph and under
`jit_compile=True`. Masks are [..., H, W]; leading dimensions are free. Points are (x, y) in pixels
of that grid, a pixel's centre being an integer, as SAM's prompt encoder takes them; labels are 1
(foreground), 0 (background) or -1 (nothing to click: the prompt encoder's padding).
"""

from __future__ import annotations

from collections.abc import Sequence

import keras
from keras import ops

from segment_anything_tfds.training import resolution
from segment_anything_tfds.training.tensors import Tensor


def sample_correction(
    truth: Tensor,
    predicted: Tensor,
    *,
    seed: Sequence[int] | Tensor | keras.random.SeedGenerator,
    inside: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Draws a click uniformly from the error region, as SAM trains (Kirillov et al. 2023, app. A).

    A missed pixel gives a foreground click, a wrongly covered one a background click. Where the
    prediction is perfect, the click is drawn from the background, as SAM 2's
    `sample_random_points_from_errors` does; a perfect mask without background gives label -1.

    Args:
      truth: [..., H, W], above 0.5 where the object is.
      predicted: logits [..., H, W], above 0 where the object is thought to be; smaller ones, whose
        multiple [H, W] is, are enlarged.
      seed: int [2], stateless (TensorFlow backend), or a `keras.random.SeedGenerator`.
      inside: bool [..., H, W], pixels of the image; the others are padding, which nobody clicks.

    Returns:
      `(point, label)`: float32 [..., 2] (x, y) and int32 [...].

    Raises:
      ValueError: where the shapes differ.

    Example:
      >>> truth = ops.ones([3, 8, 8])
      >>> point, label = sample_correction(truth, ops.full([3, 8, 8], -1.0), seed=[1, 2])
      >>> ops.convert_to_numpy(label).tolist()
      [1, 1, 1]
    """
    uniform = _uniform(ops.shape(truth)[:-2], seed)
    return click_at(uniform, truth, predicted, inside=inside)


def click_at(
    uniform: Tensor, truth: Tensor, predicted: Tensor, *, inside: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Clicks as `sample_correction`, at a place that is given.

    Args:
      uniform: float [...], in 0 to 1, where in the error region the click lies.
      truth: as in `sample_correction`.
      predicted: as in `sample_correction`.
      inside: as in `sample_correction`.

    Returns:
      As `sample_correction`.

    Raises:
      ValueError: where the shapes differ.

    Example, the second of two pixels that are missed:
      >>> point, label = click_at(0.5, ops.ones([1, 2]), ops.full([1, 2], -1.0))
      >>> ops.convert_to_numpy(point).tolist(), int(label)
      ([1.0, 0.0], 1)
    """
    if not resolution.is_multiple(truth.shape, predicted.shape):
        return _click(truth, predicted, uniform, inside)
    arrays = (truth, predicted, uniform, *([] if inside is None else [inside]))

    def one(truth, logits, uniform, inside=None):
        logits = resolution.enlarged(logits, *truth.shape[-2:])
        point, label = _click(truth, logits, uniform, inside)
        return ops.concatenate([point, ops.cast(label, 'float32')[None]])

    # A click has no gradient, and a loop cannot take one of bools such as `inside`.
    found = resolution.each_mask(one, len(truth.shape) - 2, *arrays)
    return ops.stop_gradient(found[..., :2]), ops.cast(found[..., 2], 'int32')


def _click(truth, predicted, uniform, inside):
    """Clicks at a uniform number in 0 to 1 of each mask.

    The pixels of the region are numbered by a running sum, and the number drawn is looked up by
    counting how many pixels come before it:

        region   0 1 1 0 1    running sum   0 1 2 2 3    3 pixels; 0.5 draws number 1, the second
        sums that are at most 1: two of them, so it is the pixel at index 2
    """
    truth = ops.cast(truth, 'float32')
    missed, wrong = _errors('sample_correction', truth, predicted, inside)
    region = ops.logical_or(missed, wrong)
    perfect = ops.logical_not(ops.any(region, axis=(-2, -1), keepdims=True))
    background = truth <= 0.5 if inside is None else ops.logical_and(inside, truth <= 0.5)
    region = ops.logical_or(region, ops.logical_and(perfect, background))
    flat = ops.cast(_flatten(region), 'int32')
    ranks = ops.cumsum(flat, axis=-1)
    count = ranks[..., -1]
    target = ops.cast(uniform * ops.cast(count, 'float32'), 'int32')
    target = ops.minimum(target, ops.maximum(count - 1, 0))
    index = ops.sum(ops.cast(ranks <= target[..., None], 'int32'), axis=-1)
    index = ops.minimum(index, flat.shape[-1] - 1)
    label = _at(_flatten(ops.cast(missed, 'int32')), index)
    return _point(index, truth.shape[-1]), ops.where(count > 0, label, -1)


def correction_center(
    truth: Tensor, predicted: Tensor, *, inside: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Clicks furthest inside the largest error: the evaluation protocol of RITM, SAM and SAM 2.

    Of the missed and the wrong region the one with the pixel furthest from its edge is clicked
    there (Sofiiuk et al. 2021, `clicker.py`; SAM 2's `sample_one_point_from_error_center`); the
    image's edge counts as an edge of the region. No randomness. A perfect prediction gives -1.

    Args:
      truth: [..., H, W], above 0.5 where the object is.
      predicted: logits [..., H, W], above 0 where the object is thought to be.
      inside: bool [..., H, W], pixels of the image; the others are padding, which nobody clicks.

    Returns:
      `(point, label)`: float32 [..., 2] (x, y) and int32 [...].

    Raises:
      ValueError: where the shapes differ.

    Example:
      >>> truth = ops.pad(ops.ones([3, 3]), [(1, 1), (1, 1)])
      >>> point, label = correction_center(truth, ops.full([5, 5], -1.0))
      >>> ops.convert_to_numpy(point).tolist(), int(label)
      ([2.0, 2.0], 1)
    """
    missed, wrong = _errors('correction_center', truth, predicted, inside)
    inside_missed = _flatten(squared_distance(missed))
    inside_wrong = _flatten(squared_distance(wrong))
    depth_missed, depth_wrong = ops.max(inside_missed, axis=-1), ops.max(inside_wrong, axis=-1)
    positive = depth_missed > depth_wrong
    index = ops.where(
        positive, ops.argmax(inside_missed, axis=-1), ops.argmax(inside_wrong, axis=-1)
    )
    label = ops.where(ops.maximum(depth_missed, depth_wrong) > 0, ops.cast(positive, 'int32'), -1)
    return _point(ops.cast(index, 'int32'), truth.shape[-1]), label


def squared_distance(region: Tensor) -> Tensor:
    """Measures the squared distance of each pixel of a region to the nearest pixel outside it.

    Exact (Felzenszwalb and Huttenlocher's two passes; the second tries offsets until none can be
    nearer). Pixels beyond the grid are outside. In a region that fills a grid of 5 x 5:

        distances in columns, squared   1 1 1 1 1    middle row    9 9 9 9 9
                                        4 4 4 4 4    offset 1      1 9 9 9 1    0 outside + 1 x 1
                                        9 9 9 9 9    offset 2      1 4 9 4 1    0 outside + 2 x 2
                                        4 4 4 4 4    offset 3 is at least 9 away: none is nearer
                                        1 1 1 1 1

    Args:
      region: bool [..., H, W].

    Returns:
      float32 [..., H, W], 0 outside the region, in pixels squared.

    Example:
      >>> ops.convert_to_numpy(squared_distance(ops.ones([3, 4], 'bool'))).tolist()
      [[1.0, 1.0, 1.0, 1.0], [1.0, 4.0, 4.0, 1.0], [1.0, 1.0, 1.0, 1.0]]
    """
    width = region.shape[-1]
    column = _column_distance(region)
    squared = ops.square(column)

    def better(offset, best):
        return ops.logical_and(offset < width + 1, ops.max(best) > ops.cast(offset**2, 'float32'))

    def step(offset, best):
        padded = ops.pad(squared, [(0, 0)] * (len(region.shape) - 1) + [(width, width)])
        # what lies `offset` columns to the left and to the right; beyond the grid 0, outside
        start = [0] * (len(region.shape) - 1)
        size = ops.shape(squared)
        left = ops.slice(padded, [*start, width - offset], size)
        right = ops.slice(padded, [*start, width + offset], size)
        nearer = ops.minimum(left, right) + ops.cast(offset**2, 'float32')
        return offset + 1, ops.minimum(best, nearer)

    offset = ops.convert_to_tensor(1, 'int32')
    return ops.while_loop(better, step, (offset, squared))[1]


def _column_distance(region):
    """Measures how far the nearest pixel outside the region is in each pixel's column; float32."""
    # A column 0 1 1 0, its rows numbered 1 2 3 4. Rows outside the region keep their number, the
    # others get 0, that of the row beyond the grid; the running maximum is the nearest outside.
    #   from the top       1 0 0 4 becomes 1 1 1 4     distances 0 1 2 0
    #   from the bottom    4 0 0 1 becomes 4 1 1 1     distances 0 2 1 0
    height = region.shape[-2]
    row = ops.reshape(ops.arange(1, height + 1, dtype='float32'), (height, 1))
    above = _running_max(ops.where(region, 0.0, row))
    below = ops.flip(_running_max(ops.flip(ops.where(region, 0.0, height + 1 - row), -2)), -2)
    return ops.minimum(row - above, height + 1 - row - below)


def _running_max(x):
    """Takes running maxima along the rows, by doubling steps; entries are not negative.

    3 0 0 5 0 0 0, with itself a step of 1 later: 3 3 0 5 5 0 0; that a step of 2 later:
    3 3 3 5 5 5 5; a step of 4 later nothing changes any more.
    """
    step, height = 1, x.shape[-2]
    while step < height:
        shifted = ops.pad(x[..., :-step, :], [(0, 0)] * (len(x.shape) - 2) + [(step, 0), (0, 0)])
        x, step = ops.maximum(x, shifted), 2 * step
    return x


def _errors(where, truth, predicted, inside):
    if tuple(truth.shape) != tuple(predicted.shape):
        raise ValueError(
            f'corrections.{where}: expected `predicted` of the shape of `truth`, '
            f'{list(truth.shape)}; got {list(predicted.shape)}. Resize the prediction first.'
        )
    object_, guess = ops.cast(truth, 'float32') > 0.5, predicted > 0
    missed = ops.logical_and(object_, ops.logical_not(guess))
    wrong = ops.logical_and(ops.logical_not(object_), guess)
    if inside is None:
        return missed, wrong
    return ops.logical_and(missed, inside), ops.logical_and(wrong, inside)


def _uniform(shape, seed):
    if isinstance(seed, keras.random.SeedGenerator):
        return keras.random.uniform(shape, seed=seed)
    import tensorflow as tf

    return tf.random.stateless_uniform(shape, seed, alg='philox')


def _flatten(x):
    return ops.reshape(x, (*ops.shape(x)[:-2], x.shape[-2] * x.shape[-1]))


def _at(flat, index):
    return ops.take_along_axis(flat, index[..., None], axis=-1)[..., 0]


def _point(index, width):
    return ops.cast(ops.stack([index % width, index // width], axis=-1), 'float32')
