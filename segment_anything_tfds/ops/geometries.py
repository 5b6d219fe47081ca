"""Geometries: which part of an image goes where on a canvas, as it is or drawn at random."""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from segment_anything_tfds.ops import validate

GRID = 8  # of windows' corners and sides: the largest block that a JPEG is reduced by


class Geometry(NamedTuple):
    """What `fit` and `jitter` draw and the `apply` functions apply.

    Attributes:
      window: int32 [4], y, x, height and width in pixels of the image; inside the image.
      size: int32 [2], height and width in pixels of the canvas to which the window is scaled.
      flip: bool [], mirror left and right.
      canvas: int32 [2], height and width of the result.
    """

    window: tf.Tensor
    size: tf.Tensor
    flip: tf.Tensor
    canvas: tf.Tensor

    @property
    def window_size(self) -> tf.Tensor:
        """int32 [2], height and width of the window."""
        return self.window[2:]

    @property
    def scale(self) -> tf.Tensor:
        """float64 [2], canvas pixels an image pixel, for y and x."""
        return tf.cast(self.size, tf.float64) / tf.cast(self.window_size, tf.float64)


@tf.autograph.experimental.do_not_convert
def fit(size: tf.Tensor, canvas: tf.Tensor, *, resize: str = 'longest') -> Geometry:
    """Scales the whole image onto the canvas.

    `longest` keeps the aspect ratio, rounded to whole pixels as SAM's `ResizeLongestSide`; `square`
    stretches height and width to the canvas, as SAM 2 does.

    Args:
      size: integer [2], height and width of the image in pixels.
      canvas: integer [2], height and width of the result.
      resize: `'longest'` or `'square'`.

    Returns:
      A `Geometry`.

    Raises:
      ValueError: an unknown `resize`, or sizes that are not integers [2].
      tf.errors.InvalidArgumentError: a size that is not positive.

    Example:
      >>> transforms.fit([1500, 2250], [1024, 1024]).size.numpy().tolist()
      [683, 1024]
    """
    validate.choice('transforms.fit', 'resize', resize, ('longest', 'square'))
    size = validate.positive_size('transforms.fit', 'size', size)
    canvas = validate.positive_size('transforms.fit', 'canvas', canvas)
    target = canvas if resize == 'square' else _scaled(size, _fitting_scale(size, canvas), canvas)
    return Geometry(tf.concat([[0, 0], size], 0), target, tf.constant(False), canvas)


@tf.autograph.experimental.do_not_convert
def jitter(
    size: tf.Tensor,
    canvas: tf.Tensor,
    *,
    seed: tf.Tensor,
    scale_range: tuple[float, float] = (0.1, 2.0),
) -> Geometry:
    """Draws large-scale jitter (Ghiasi et al. 2021): a scale, then crop or pad to the canvas.

    The scale is uniform in `scale_range`, times the scale at which the image just fits the canvas.
    Where the scaled image is larger than the canvas, a window is cut at a uniform place; it starts
    at a multiple of 8 pixels and its sides are multiples of 8 or end with the image, so that a JPEG
    decoded at a reduced scale lies exactly under its masks.

    Args:
      size: integer [2], height and width of the image in pixels.
      canvas: integer [2], height and width of the result.
      seed: integer [2]. Equal seeds give equal geometries.
      scale_range: smallest and largest scale; (0.1, 2.0) in the paper and in SAM, appendix A.

    Returns:
      A `Geometry`.

    Raises:
      ValueError: a `scale_range` that is not 0 < low <= high, or sizes that are not integers [2].
      tf.errors.InvalidArgumentError: a size that is not positive.

    Example:
      >>> transforms.jitter([1500, 2250], [1024, 1024], seed=[1, 2]).canvas.numpy().tolist()
      [1024, 1024]
    """
    low, high = scale_range
    if not 0 < low <= high:
        raise ValueError(
            'transforms.jitter: expected `scale_range` 0 < low <= high; '
            f'got {scale_range!r}. Pass for instance (0.1, 2.0).'
        )
    seed = validate.seed('transforms.jitter', seed)
    size = validate.positive_size('transforms.jitter', 'size', size)
    canvas = validate.positive_size('transforms.jitter', 'canvas', canvas)
    # An image of 1500 x 2250 fits a canvas of 1024 at 0.455. At twice that, 0.91, the canvas shows
    # 1024 / 0.91 = 1125 pixels, 1128 as a multiple of 8: a window of 1128 x 1128, whose corner lies
    # at 0, 8, ... 368 and 0, 8, ... 1120. At half, 0.228, nothing is cut, and 341 x 512 are filled.
    draws = tf.random.stateless_uniform([3], seed, alg='philox')
    scale = _fitting_scale(size, canvas) * (low + draws[0] * (high - low))
    visible = tf.cast(tf.cast(canvas, tf.float32) / scale / GRID + 0.5, tf.int32) * GRID
    window = tf.minimum(tf.maximum(visible, GRID), size)
    cropped = window < size
    room = tf.cast(size - window, tf.float32) / GRID
    corner = tf.cast(draws[1:] * (room + 1), tf.int32)
    corner = tf.minimum(corner, (size - window) // GRID) * GRID
    target = tf.where(cropped, canvas, _scaled(size, scale, canvas))
    return Geometry(tf.concat([corner, window], 0), target, tf.constant(False), canvas)


@tf.autograph.experimental.do_not_convert
def random_flip(geometry: Geometry, *, seed: tf.Tensor, probability: float = 0.5) -> Geometry:
    """Mirrors a geometry left and right with the given probability.

    Args:
      geometry: what `fit` or `jitter` gave.
      seed: integer [2]. Equal seeds give equal draws.
      probability: Python number from 0 to 1.

    Returns:
      The `Geometry`, mirrored or not.

    Raises:
      ValueError: a probability outside 0 to 1, or a seed that is not integers [2].

    Example:
      >>> geometry = transforms.fit([30, 45], [32, 32])
      >>> bool(transforms.random_flip(geometry, seed=[1, 2], probability=1).flip)
      True
    """
    probability = validate.between('transforms.random_flip', 'probability', probability, 0, 1)
    seed = validate.seed('transforms.random_flip', seed)
    drawn = tf.random.stateless_uniform([], seed, alg='philox') < probability
    return geometry._replace(flip=tf.math.logical_xor(geometry.flip, drawn))


def _fitting_scale(size: tf.Tensor, canvas: tf.Tensor) -> tf.Tensor:
    return tf.reduce_min(tf.cast(canvas, tf.float32) / tf.cast(size, tf.float32))


def _scaled(size: tf.Tensor, scale: tf.Tensor, canvas: tf.Tensor) -> tf.Tensor:
    rounded = tf.cast(tf.cast(size, tf.float32) * scale + 0.5, tf.int32)
    return tf.minimum(tf.maximum(rounded, 1), canvas)
