"""A geometry applied to pixels: from a JPEG or a decoded image to the canvas."""

from __future__ import annotations

import tensorflow as tf

from segment_anything_tfds.ops.geometries import Geometry

_RATIOS = (1, 2, 4, 8)
# libjpeg's own default, as in PIL; TensorFlow's, INTEGER_FAST, is up to 4 levels off.
_DCT = 'INTEGER_ACCURATE'
# Columns decoded on either side of a window: its first and last take colour from their neighbours.
_MARGIN = 16


def decode_whole(content: tf.Tensor) -> tf.Tensor:
    """Decodes a JPEG, string [], as PIL does: uint8 [H, W, 3]."""
    return tf.io.decode_jpeg(content, channels=3, dct_method=_DCT)


@tf.autograph.experimental.do_not_convert
def decode_image(
    content: tf.Tensor, geometry: Geometry, *, fill: tuple[int, int, int], reduced: bool = True
) -> tf.Tensor:
    """Decodes a JPEG straight into its geometry.

    The JPEG is decoded as PIL decodes it, bit for bit. Without `reduced`, it is scaled as PIL's
    bilinear resize does, which averages where it shrinks: within one grey level of SAM's
    `ResizeLongestSide`. With `reduced`, which takes half the time or less, libjpeg decodes at 1/2,
    1/4 or 1/8 where that is still at least as large as the result and misplaces nothing by more
    than half a pixel of the result: its scaled inverse DCT averages blocks, and what is left to
    scale, less than twofold, is sampled bilinearly.

    Args:
      content: string [], a JPEG of the size that the geometry was drawn for.
      geometry: what `fit`, `jitter` or `random_flip` gave.
      fill: RGB of the padding.
      reduced: allow a reduced scale.

    Returns:
      uint8 [canvas height, canvas width, 3].

    Raises:
      tf.errors.InvalidArgumentError: `content` is no JPEG, or smaller than the geometry's window.

    Example:
      >>> geometry = transforms.fit([30, 45], [32, 32])
      >>> jpeg = tf.io.encode_jpeg(tf.zeros([30, 45, 3], tf.uint8))
      >>> transforms.decode_image(jpeg, geometry, fill=(124, 116, 104)).shape
      TensorShape([32, 32, 3])
    """
    whole = tf.image.extract_jpeg_shape(content)[:2]
    if reduced:
        allowed = [_fits_reduced(geometry, whole, ratio) for ratio in _RATIOS]
        choice = tf.reduce_max(tf.where(tf.stack(allowed), tf.range(len(_RATIOS)), 0))
    else:
        choice = tf.constant(0)

    def decode(ratio):
        return tf.cond(
            tf.reduce_all(tf.equal(geometry.window_size, whole)),
            lambda: tf.io.decode_jpeg(content, channels=3, ratio=ratio, dct_method=_DCT),
            lambda: _decode_window(content, geometry.window, whole, ratio),
        )

    branches = [lambda ratio=ratio: decode(ratio) for ratio in _RATIOS]
    pixels = tf.switch_case(choice, branches) if reduced else decode(1)
    return _place(tf.ensure_shape(pixels, [None, None, 3]), geometry, fill, antialias=not reduced)


@tf.autograph.experimental.do_not_convert
def apply_to_image(
    image: tf.Tensor, geometry: Geometry, *, fill: tuple[int, int, int]
) -> tf.Tensor:
    """Applies a geometry to a decoded image, with antialiasing as PIL's bilinear resize has it.

    Args:
      image: uint8 [H, W, 3].
      geometry: what `fit`, `jitter` or `random_flip` gave for [H, W].
      fill: RGB of the padding.

    Returns:
      uint8 [canvas height, canvas width, 3].

    Raises:
      tf.errors.InvalidArgumentError: an image smaller than the geometry's window.

    Example:
      >>> geometry = transforms.fit([30, 45], [32, 32])
      >>> image = tf.zeros([30, 45, 3], tf.uint8)
      >>> transforms.apply_to_image(image, geometry, fill=(124, 116, 104)).shape
      TensorShape([32, 32, 3])
    """
    y, x, height, width = tf.unstack(geometry.window)
    window = image[y : y + height, x : x + width]
    return _place(window, geometry, fill, antialias=True)


def _decode_window(content, window, whole, ratio: int) -> tf.Tensor:
    """Decodes a window's pixels, reduced by `ratio`, as they are in the whole image."""
    (top, left), (bottom, right) = (
        tf.unstack(part) for part in (window[:2] // ratio, -(-(window[:2] + window[2:]) // ratio))
    )
    first = tf.maximum(left - _MARGIN, 0)
    # not before `right`: a window that leaves the image is for TensorFlow to refuse
    last = tf.clip_by_value(-(-whole[1] // ratio), right, right + _MARGIN)
    crop = tf.stack([top, first, bottom - top, last - first])
    pixels = tf.io.decode_and_crop_jpeg(content, crop, channels=3, ratio=ratio, dct_method=_DCT)
    return pixels[:, left - first : right - first]


def _fits_reduced(geometry: Geometry, whole: tf.Tensor, ratio: int) -> tf.Tensor:
    """Tells whether 1/ratio is large enough, and off by half a canvas pixel at most."""
    # 2250 columns at 1/8 become 282, which stand for 2256: 6 that are not there. At a scale of 0.05
    # that moves what lies at the edge by 0.3 canvas pixels, at 0.1 by 0.6, which is too much.
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
    placed = _extended(mirrored, geometry.size[0], columns, 1, fill)
    return _extended(placed, rows, geometry.canvas[1], 0, fill)


def _extended(pixels, height, width, axis: int, fill) -> tf.Tensor:
    """Adds a block of one colour, right or below; where it is empty, nothing is copied."""
    return tf.cond(
        height * width > 0,
        lambda: tf.concat([pixels, _block(height, width, fill)], axis),
        lambda: pixels,
    )


def _block(height, width, color) -> tf.Tensor:
    """Makes uint8 [height, width, 3] of one colour a row at a time: broadcasting pixels is slow."""
    row = tf.tile(tf.constant(color, tf.uint8), [width])
    return tf.reshape(tf.tile(row[tf.newaxis], [height, 1]), [height, width, 3])
