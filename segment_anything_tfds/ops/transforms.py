"""One geometry for image, masks, boxes and points: drawn once, applied to each.

A geometry takes a window of the image, scales it to a size, mirrors it if asked, and puts it into
the top left corner of a canvas; the rest of the canvas is padding. All of it is axis-aligned, so
masks never leave their runs until they are drawn at the resolution that the model wants.

Points are (x, y) with pixel centres at whole numbers, as in SAM; a pixel's centre is mapped to
`(x + 0.5 - window x) * scale - 0.5`.
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from segment_anything_tfds.ops import rle, validate
from segment_anything_tfds.ops.image import apply_to_image, decode_image
from segment_anything_tfds.ops.rle.core import boundaries

GRID = 8
_TIE = 1e-9


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


def jitter(
    size: tf.Tensor,
    canvas: tf.Tensor,
    *,
    seed: tf.Tensor,
    scale_range: tuple[float, float] = (0.1, 2.0),
) -> Geometry:
    """Large-scale jitter (Ghiasi et al. 2021): random scale, then crop or pad to the canvas.

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


def random_flip(geometry: Geometry, *, seed: tf.Tensor, probability: float = 0.5) -> Geometry:
    """The geometry, mirrored left and right with the given probability.

    Raises:
      ValueError: a probability outside 0 to 1, or a seed that is not integers [2].
    """
    probability = validate.between('transforms.random_flip', 'probability', probability, 0, 1)
    seed = validate.seed('transforms.random_flip', seed)
    drawn = tf.random.stateless_uniform([], seed, alg='philox') < probability
    return geometry._replace(flip=tf.math.logical_xor(geometry.flip, drawn))


def read_masks(counts: tf.Tensor, size: tf.Tensor) -> boundaries.Masks:
    """Reads masks once, for `draw_masks` and `prompts.sample_clicks` in place of `counts`.

    Args:
      counts: string [N], compressed COCO RLE.
      size: integer [2], height and width of the masks.

    Raises:
      tf.errors.InvalidArgumentError: a malformed string, or a size that it does not fill.
    """
    counts = tf.convert_to_tensor(counts)
    runs = boundaries.parse_sized(counts, size, name='transforms.read_masks')
    return boundaries.Masks(*runs, counts.shape)


def draw_masks(
    counts: tf.Tensor, size: tf.Tensor, geometry: Geometry, mask_size: tuple[int, int]
) -> tf.Tensor:
    """Draws masks on a grid over the canvas, straight from their runs.

    Each pixel of the grid shows the pixel of the original mask under its centre; a grid of the
    canvas's size shows exactly what a nearest-neighbour resize of the full mask would.

    Args:
      counts: string [N], compressed COCO RLE, or what `read_masks` gave.
      size: integer [2], height and width that the geometry was drawn for.
      geometry: what `fit`, `jitter` or `random_flip` gave.
      mask_size: Python ints, height h and width w of the grid.

    Returns:
      uint8 [N, h, w]. Zero masks give [0, h, w].

    Raises:
      tf.errors.InvalidArgumentError: as `rle.decode_resized`.
    """
    step = 1 / geometry.scale
    padding = tf.cast(geometry.canvas - geometry.size, tf.float64) * step
    corner = tf.cast(geometry.window[:2], tf.float64)
    left = tf.where(geometry.flip, corner[1] - padding[1], corner[1])
    extent = tf.cast(geometry.canvas, tf.float64) * step
    # a centre that falls on the edge of a pixel belongs to it, whatever float64 rounds to
    window = tf.stack([corner[0] + _TIE, left + _TIE, extent[0], extent[1]])
    return rle.decode_resized(counts, size, mask_size, window=window, flip=geometry.flip)


def apply_to_points(points: tf.Tensor, geometry: Geometry) -> tf.Tensor:
    """Moves points to the canvas. Points outside the window land outside the scaled window.

    Args:
      points: number [..., 2], x and y in pixels of the image.
      geometry: what `fit`, `jitter` or `random_flip` gave.

    Returns:
      float32 [..., 2], x and y in pixels of the canvas.
    """
    corner = tf.cast(geometry.window[1::-1], tf.float32)
    moved = (tf.cast(points, tf.float32) + 0.5 - corner) * tf.cast(geometry.scale[::-1], tf.float32)
    width = tf.cast(geometry.size[1], tf.float32)
    mirrored = tf.stack([width - moved[..., 0], moved[..., 1]], axis=-1)
    return tf.where(geometry.flip, mirrored, moved) - 0.5


def apply_to_boxes(boxes: tf.Tensor, geometry: Geometry) -> tf.Tensor:
    """Moves boxes to the canvas and clips them to the scaled window.

    Args:
      boxes: number [..., 4] in `xyxy_inclusive`: centres of the first and the last pixel.
      geometry: what `fit`, `jitter` or `random_flip` gave.

    Returns:
      float32 [..., 4], `xyxy_inclusive` in pixels of the canvas.
    """
    a = apply_to_points(boxes[..., :2], geometry)
    b = apply_to_points(boxes[..., 2:], geometry)
    last = tf.cast(geometry.size[::-1] - 1, tf.float32)
    low, high = tf.minimum(a, b), tf.maximum(a, b)
    return tf.concat([tf.clip_by_value(low, 0, last), tf.clip_by_value(high, 0, last)], axis=-1)


def is_inside(points: tf.Tensor, geometry: Geometry) -> tf.Tensor:
    """Whether points of the image fall into the window: number [..., 2] gives bool [...]."""
    corner = tf.cast(geometry.window[1::-1], tf.float32)
    extent = tf.cast(geometry.window_size[::-1], tf.float32)
    offset = tf.cast(points, tf.float32) + 0.5 - corner
    return tf.reduce_all((offset >= 0) & (offset < extent), axis=-1)


def _fitting_scale(size: tf.Tensor, canvas: tf.Tensor) -> tf.Tensor:
    return tf.reduce_min(tf.cast(canvas, tf.float32) / tf.cast(size, tf.float32))


def _scaled(size: tf.Tensor, scale: tf.Tensor, canvas: tf.Tensor) -> tf.Tensor:
    rounded = tf.cast(tf.cast(size, tf.float32) * scale + 0.5, tf.int32)
    return tf.minimum(tf.maximum(rounded, 1), canvas)


__all__ = [
    'Geometry',
    'apply_to_boxes',
    'apply_to_image',
    'apply_to_points',
    'decode_image',
    'draw_masks',
    'fit',
    'is_inside',
    'jitter',
    'random_flip',
    'read_masks',
]
