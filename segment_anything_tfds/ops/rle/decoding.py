"""Drawing masks: at full size, or straight at the size and in the geometry that a model wants."""

from __future__ import annotations

import tensorflow as tf

from segment_anything_tfds.ops import validate
from segment_anything_tfds.ops.rle.core import boundaries, coverage, drawing, views


def decode(counts: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """Draws masks at full size, bit for bit as pycocotools' `decode`, but row-major.

    Args:
      counts: string [N], compressed COCO RLE.
      size: integer [2] or [N, 2], [height, width] in pixels, the same for all masks.

    Returns:
      uint8 [N, H, W], 1 in the mask. Zero masks give [0, H, W], or [0, 0, 0] if `size` has no rows.

    Raises:
      ValueError: wrong dtypes or static shapes.
      tf.errors.InvalidArgumentError: a malformed string, a size that it does not fill, or a result
        of more than 8 GiB.

    Example:
      >>> rle.decode(['52203'], [4, 4]).numpy()[0]
      array([[0, 0, 0, 0],
             [0, 1, 1, 0],
             [0, 1, 1, 0],
             [0, 0, 0, 0]], dtype=uint8)
    """
    counts = validate.vector(counts, tf.string, argument='counts', name='rle.decode')
    runs, height, width = boundaries.parse_sized(counts, size, name='rle.decode')
    num_masks = tf.size(counts)
    target = tf.stack([height, width])
    with tf.control_dependencies(views.limit_output(num_masks, target, 1, name='rle.decode')):
        grid = drawing.Grid(height, tf.range(width + 1), tf.constant(0), target)
        drawn = drawing.draw(boundaries.foreground(runs), grid, num_masks)
    return tf.ensure_shape(drawn, [counts.shape[0], *_static_size(size)])


def decode_resized(
    counts: tf.Tensor,
    size: tf.Tensor,
    target_size: tf.Tensor,
    *,
    method: str = 'nearest',
    window: tf.Tensor | None = None,
    placement: tf.Tensor | None = None,
    flip: tf.Tensor | bool = False,
) -> tf.Tensor:
    """Draws masks straight onto the target grid; the full masks are never drawn.

    The part of the image in `window` is scaled to the part of the result in `placement`, mirrored
    if `flip`; what lies outside the image or outside `placement` is 0. Without them, the whole
    image is scaled to the whole result.

    `nearest` samples the source pixel under the centre of each target pixel. Row i of h shows, for
    a window that starts at y and is H high, row y + ⌊(2i + 1) · H / (2h)⌋: in integer arithmetic if
    `window` is of integers, in float64 otherwise. Columns likewise. `area` gives the fraction of
    each target pixel that the mask covers, equal to box-averaging the full mask within float32.

    Args:
      counts: string [N], compressed COCO RLE.
      size: integer [2] or [N, 2], [height, width] in pixels, the same for all masks, at most
        1,048,576 each.
      target_size: integer [2], height h and width w of the result in pixels, at most 1,048,576.
      method: `'nearest'` or `'area'`.
      window: integer or float [4], [y, x, height, width] in pixels of the image. May reach over the
        image's border. Default: the whole image.
      placement: integer [4], [y, x, height, width] in pixels of the result. Default: all of it.
      flip: bool scalar, whether to swap left and right within `placement`.

    Returns:
      `nearest`: uint8 [N, h, w], 1 in the mask. `area`: float32 [N, h, w], 0 to 1. Zero masks give
      [0, h, w].

    Raises:
      ValueError: an unknown `method`, wrong dtypes or static shapes.
      tf.errors.InvalidArgumentError: a malformed string, a size that it does not fill, a target,
        window or placement out of range, or a result of more than 8 GiB.

    Example:
      >>> rle.decode_resized(['52203'], [4, 4], [2, 2], method='area').numpy()[0]
      array([[0.25, 0.25],
             [0.25, 0.25]], dtype=float32)
    """
    name = 'rle.decode_resized'
    validate.choice(name, 'method', method, ('nearest', 'area'))
    if not isinstance(counts, boundaries.Masks):
        counts = validate.vector(counts, tf.string, argument='counts', name=name)
    runs, height, width = boundaries.parse_sized(counts, size, name=name)
    source = tf.stack([height, width])
    view = views.make(source, target_size, window, placement, flip, name=name)
    num_masks = tf.size(runs.row_splits) - 1
    target = tf.stack([view.y.target, view.x.target])
    itemsize = 4 if method == 'area' else 1
    with tf.control_dependencies(views.limit_output(num_masks, target, itemsize, name=name)):
        found = boundaries.foreground(runs)
        if method == 'area':
            drawn = coverage.cover(found, view, num_masks)
        else:
            drawn = drawing.draw(*views.sample(found, view), num_masks)
    return tf.ensure_shape(drawn, [counts.shape[0], *_static_size(target_size)])


def _static_size(size: tf.Tensor) -> list[int | None]:
    """Height and width as far as they are known while tracing."""
    value = tf.get_static_value(tf.convert_to_tensor(size))
    if value is None or value.size == 0:
        return [None, None]
    return [int(side) for side in value.reshape(-1, 2)[0]]
