"""One geometry for image, masks, boxes and points: drawn once, applied to each.

A geometry takes a window of the image, scales it to a size, mirrors it if asked, and puts it into
the top left corner of a canvas; the rest of the canvas is padding. All of it is axis-aligned, so
masks never leave their runs until they are drawn at the resolution that the model wants.

Points are (x, y) with pixel centres at whole numbers, as in SAM; a pixel's centre is mapped to
`(x + 0.5 - window x) * scale - 0.5`.
"""

from __future__ import annotations

import tensorflow as tf

from segment_anything_tfds.ops import rle, validate
from segment_anything_tfds.ops.geometries import Geometry, fit, jitter, random_flip
from segment_anything_tfds.ops.image import apply_to_image, decode_image
from segment_anything_tfds.ops.rle import decoding
from segment_anything_tfds.ops.rle.core import boundaries

_TIE = 1e-9


@boundaries.takes_masks
def read_masks(counts: tf.Tensor, size: tf.Tensor) -> boundaries.Masks:
    """Reads masks once, to stand in the place of `counts, size` in several operations.

    That is in `draw_masks`, `patch_shares`, `prompts.sample_clicks` and all operations of `rle`.

    Args:
      counts: string [N], compressed COCO RLE.
      size: integer [2], height and width of the masks.

    Returns:
      `Masks`, of which only `number`, N, is of use elsewhere.

    Raises:
      ValueError: wrong dtypes or static shapes.
      tf.errors.InvalidArgumentError: a malformed string, or a size that it does not fill.

    Example:
      >>> masks = transforms.read_masks(['52203'], [4, 4])
      >>> rle.area(masks).numpy(), rle.bbox(masks, convention='coco').numpy()
      (array([4], dtype=int32), array([[1, 1, 2, 2]], dtype=int32))
    """
    return boundaries.read('transforms.read_masks', counts, size)


@boundaries.takes_masks
def draw_masks(
    counts: tf.Tensor, size: tf.Tensor, geometry: Geometry, mask_size: tuple[int, int]
) -> tf.Tensor:
    """Draws masks on a grid over the canvas, straight from their runs.

    Each pixel of the grid shows the pixel of the original mask under its centre; a grid of the
    canvas's size shows exactly what a nearest-neighbour resize of the full mask would.

    Args:
      counts: string [N], compressed COCO RLE.
      size: integer [2], height and width that the geometry was drawn for.
      geometry: what `fit`, `jitter` or `random_flip` gave.
      mask_size: Python ints, height h and width w of the grid.

    Returns:
      uint8 [N, h, w]. Zero masks give [0, h, w].

    Raises:
      tf.errors.InvalidArgumentError: as `rle.decode_resized`.

    Example:
      >>> geometry = transforms.fit([4, 4], [8, 8])
      >>> transforms.draw_masks(['52203'], [4, 4], geometry, (2, 2)).numpy().tolist()
      [[[1, 0], [0, 0]]]
    """
    masks = boundaries.read('transforms.draw_masks', counts, size)
    return draw_shown(masks, geometry, mask_size)[0]


def draw_shown(
    masks: boundaries.Masks, geometry: Geometry, mask_size: tuple[int, int]
) -> tuple[tf.Tensor, tf.Tensor]:
    """Draws masks as `draw_masks`, and tells which have a pixel there without looking at pixels.

    Args:
      masks: what `read_masks` gave.
      geometry: what `fit`, `jitter` or `random_flip` gave.
      mask_size: Python ints, height h and width w of the grid.

    Returns:
      uint8 [N, h, w] and bool [N].

    Raises:
      tf.errors.InvalidArgumentError: as `rle.decode_resized`.

    Example:
      >>> geometry = transforms.fit([4, 4], [8, 8])
      >>> masks = transforms.read_masks(['52203', '`0'], [4, 4])
      >>> transforms.draw_shown(masks, geometry, (2, 2))[1].numpy()
      array([ True, False])
    """
    # a centre that falls on the edge of a pixel belongs to it, whatever float64 rounds to
    window = _window_of(geometry, geometry.canvas) + [_TIE, _TIE, 0, 0]
    return decoding.draw_view(
        'transforms.draw_masks', masks, mask_size, window=window, flip=geometry.flip
    )


@boundaries.takes_masks
def patch_shares(
    counts: tf.Tensor, size: tf.Tensor, geometry: Geometry, patch_size: int
) -> tf.Tensor:
    """Measures which part of each patch of the canvas each mask covers, as `rle.patch_shares`.

    Args:
      counts: string [N], compressed COCO RLE.
      size: integer [2], height and width that the geometry was drawn for.
      geometry: what `fit`, `jitter` or `random_flip` gave.
      patch_size: Python int p ≥ 1, side of a patch in pixels of the canvas.

    Returns:
      float32 [N, ⌈canvas height / p⌉, ⌈canvas width / p⌉], 0 to 1. Zero masks give [0, …].

    Raises:
      ValueError: a `patch_size` that is not a positive int.
      tf.errors.InvalidArgumentError: as `rle.decode_resized`.

    Example:
      >>> geometry = transforms.fit([4, 4], [8, 8])
      >>> transforms.patch_shares(['52203'], [4, 4], geometry, 4).numpy().tolist()
      [[[0.25, 0.25], [0.25, 0.25]]]
    """
    patch_size = validate.positive_int('transforms.patch_shares', 'patch_size', patch_size)
    patches = (geometry.canvas + patch_size - 1) // patch_size
    window = _window_of(geometry, patches * patch_size)
    return rle.decode_resized(
        counts, size, patches, method='area', window=window, flip=geometry.flip
    )


def apply_to_points(points: tf.Tensor, geometry: Geometry) -> tf.Tensor:
    """Moves points to the canvas. Points outside the window land outside the scaled window.

    Args:
      points: number [..., 2], x and y in pixels of the image.
      geometry: what `fit`, `jitter` or `random_flip` gave.

    Returns:
      float32 [..., 2], x and y in pixels of the canvas.

    Example:
      >>> geometry = transforms.fit([4, 4], [8, 8])
      >>> transforms.apply_to_points([[1.0, 0.0]], geometry).numpy()
      array([[2.5, 0.5]], dtype=float32)
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

    Example:
      >>> geometry = transforms.fit([4, 4], [8, 8])
      >>> transforms.apply_to_boxes([[1.0, 0.0, 1.0, 3.0]], geometry).numpy()
      array([[2.5, 0.5, 2.5, 6.5]], dtype=float32)
    """
    boxes = tf.convert_to_tensor(boxes)
    a = apply_to_points(boxes[..., :2], geometry)
    b = apply_to_points(boxes[..., 2:], geometry)
    last = tf.cast(geometry.size[::-1] - 1, tf.float32)
    low, high = tf.minimum(a, b), tf.maximum(a, b)
    return tf.concat([tf.clip_by_value(low, 0, last), tf.clip_by_value(high, 0, last)], axis=-1)


def is_inside(points: tf.Tensor, geometry: Geometry) -> tf.Tensor:
    """Tells which points of the image fall into the window.

    Args:
      points: number [..., 2], x and y in pixels of the image.
      geometry: what `fit`, `jitter` or `random_flip` gave.

    Returns:
      bool [...].

    Example:
      >>> geometry = transforms.fit([4, 4], [8, 8])
      >>> transforms.is_inside([[1.0, 0.0], [4.0, 0.0]], geometry).numpy()
      array([ True, False])
    """
    corner = tf.cast(geometry.window[1::-1], tf.float32)
    extent = tf.cast(geometry.window_size[::-1], tf.float32)
    offset = tf.cast(points, tf.float32) + 0.5 - corner
    return tf.reduce_all((offset >= 0) & (offset < extent), axis=-1)


def _window_of(geometry: Geometry, extent: tf.Tensor) -> tf.Tensor:
    """Returns float64 [4], the window of the image that `extent`, int32 [2], of the canvas shows.

    A mirrored geometry shows what lies left of its window right of it. With the whole image of
    width 4 at scale 2 on a canvas of width 10, 2 columns of padding are 1 column of the image:

        not mirrored: columns [0, 5)        mirrored: columns [-1, 4), then turned around
    """
    step = 1 / geometry.scale
    padding = tf.cast(extent - geometry.size, tf.float64) * step
    corner = tf.cast(geometry.window[:2], tf.float64)
    left = tf.where(geometry.flip, corner[1] - padding[1], corner[1])
    sides = tf.cast(extent, tf.float64) * step
    return tf.stack([corner[0], left, sides[0], sides[1]])


__all__ = [
    'Geometry',
    'apply_to_boxes',
    'apply_to_image',
    'apply_to_points',
    'decode_image',
    'draw_masks',
    'draw_shown',
    'fit',
    'is_inside',
    'jitter',
    'patch_shares',
    'random_flip',
    'read_masks',
]
