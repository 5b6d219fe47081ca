"""A geometry applied to pixels: from a JPEG or a decoded image to the canvas."""

from __future__ import annotations

from typing import TYPE_CHECKING

import tensorflow as tf

if TYPE_CHECKING:
    from segment_anything_tfds.ops.transforms import Geometry

_RATIOS = (1, 2, 4, 8)


def decode_image(
    content: tf.Tensor, geometry: Geometry, *, fill: tuple[int, int, int], reduced: bool = True
) -> tf.Tensor:
    """Decodes a JPEG straight into its geometry.

    With `reduced`, libjpeg decodes at 1/2, 1/4 or 1/8 where that is still at least as large as the
    result and misplaces nothing by more than half a pixel of the result: its scaled inverse DCT
    averages blocks, which bilinear sampling of the full image does not.

    Args:
      content: string [], a JPEG of the size that the geometry was drawn for.
      geometry: what `fit`, `jitter` or `random_flip` gave.
      fill: RGB of the padding.
      reduced: allow a reduced scale.

    Returns:
      uint8 [canvas height, canvas width, 3].
    """
    top, bottom = geometry.window[:2], geometry.window[:2] + geometry.window_size
    whole = tf.image.extract_jpeg_shape(content)[:2]
    if reduced:
        allowed = [_fits_reduced(geometry, whole, ratio) for ratio in _RATIOS]
        choice = tf.reduce_max(tf.where(tf.stack(allowed), tf.range(len(_RATIOS)), 0))
    else:
        choice = tf.constant(0)

    def decode(ratio):
        start, stop = top // ratio, (bottom + ratio - 1) // ratio
        crop = tf.concat([start, stop - start], 0)
        return tf.cond(
            tf.reduce_all(tf.equal(geometry.window_size, whole)),
            lambda: tf.io.decode_jpeg(content, channels=3, ratio=ratio),
            lambda: tf.io.decode_and_crop_jpeg(content, crop, channels=3, ratio=ratio),
        )

    branches = [lambda ratio=ratio: decode(ratio) for ratio in _RATIOS]
    pixels = tf.switch_case(choice, branches) if reduced else decode(1)
    return _place(tf.ensure_shape(pixels, [None, None, 3]), geometry, fill, antialias=False)


def apply_to_image(
    image: tf.Tensor, geometry: Geometry, *, fill: tuple[int, int, int]
) -> tf.Tensor:
    """Applies a geometry to a decoded image, with antialiasing.

    Args:
      image: uint8 [H, W, 3].
      geometry: what `fit`, `jitter` or `random_flip` gave for [H, W].
      fill: RGB of the padding.

    Returns:
      uint8 [canvas height, canvas width, 3].
    """
    y, x, height, width = tf.unstack(geometry.window)
    window = image[y : y + height, x : x + width]
    return _place(window, geometry, fill, antialias=True)


def _fits_reduced(geometry: Geometry, whole: tf.Tensor, ratio: int) -> tf.Tensor:
    """Whether 1/ratio is large enough, and off by at most half a canvas pixel at the far edge."""
    end = geometry.window[:2] + geometry.window_size
    excess = tf.cast((-end) % ratio, tf.float64) * geometry.scale
    aligned = tf.reduce_all(tf.equal(geometry.window[:2] % ratio, 0)) & tf.reduce_all(excess <= 0.5)
    return aligned & tf.reduce_all(geometry.window_size >= geometry.size * ratio)


def _place(pixels, geometry: Geometry, fill, *, antialias: bool) -> tf.Tensor:
    """Scales pixels of the window to its size, mirrors them, and pads to the canvas."""
    resized = tf.image.resize(pixels, geometry.size, antialias=antialias)
    resized = tf.cast(resized + 0.5, tf.uint8)
    mirrored = tf.cond(geometry.flip, lambda: tf.reverse(resized, [1]), lambda: resized)
    rows, columns = tf.unstack(geometry.canvas - geometry.size)
    right = _block(geometry.size[0], columns, fill)
    below = _block(rows, geometry.canvas[1], fill)
    return tf.concat([tf.concat([mirrored, right], axis=1), below], axis=0)


def _block(height, width, color) -> tf.Tensor:
    """uint8 [height, width, 3] of one colour, a row at a time: broadcasting pixels is slow."""
    row = tf.tile(tf.constant(color, tf.uint8), [width])
    return tf.reshape(tf.tile(row[tf.newaxis], [height, 1]), [height, width, 3])
