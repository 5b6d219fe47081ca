"""Drawing masks: at full size, or straight at the size and in the geometry that a model wants."""

from __future__ import annotations

import tensorflow as tf

from segment_anything_tfds.ops import validate
from segment_anything_tfds.ops.rle.core import boundaries, coverage, drawing, views


@boundaries.takes_masks
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
    masks = boundaries.read('rle.decode', counts, size)
    target = tf.stack([masks.height, masks.width])
    with tf.control_dependencies(views.limit_output('rle.decode', masks.number, target, 1)):
        grid = drawing.Grid(masks.height, tf.range(masks.width + 1), tf.constant(0), target)
        drawn = drawing.draw(masks.found, grid, masks.number)
    return tf.ensure_shape(drawn, [masks.shape[0], *_static_size(size)])


@boundaries.takes_masks
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
    masks = boundaries.read(name, counts, size)
    options = {'window': window, 'placement': placement, 'flip': flip}
    return draw_view(name, masks, target_size, method=method, **options)[0]


def draw_view(
    where: str,
    masks: boundaries.Masks,
    target_size: tf.Tensor,
    *,
    window: tf.Tensor | None,
    flip: tf.Tensor | bool,
    placement: tf.Tensor | None = None,
    method: str = 'nearest',
) -> tuple[tf.Tensor, tf.Tensor | None]:
    """Draws as `decode_resized`; for `nearest` also bool [N], which masks have a pixel there.

    That is known from the runs; what was drawn need not be looked at.
    """
    source = tf.stack([masks.height, masks.width])
    view = views.make(where, source, target_size, window, placement, flip)
    target = tf.stack([view.y.target, view.x.target])
    itemsize, shown = 4 if method == 'area' else 1, None
    with tf.control_dependencies(views.limit_output(where, masks.number, target, itemsize)):
        if method == 'area':
            drawn = coverage.cover(masks.found, view, masks.number)
        else:
            found, grid = views.sample(masks.found, view)
            ones = tf.ones_like(found.rows)
            shown = tf.math.unsorted_segment_sum(ones, found.rows, masks.number) > 0
            drawn = drawing.draw(found, grid, masks.number)
    return tf.ensure_shape(drawn, [masks.shape[0], *_static_size(target_size)]), shown


@boundaries.takes_masks
def patch_shares(
    counts: tf.Tensor,
    size: tf.Tensor,
    patch_size: int,
    *,
    image_size: tf.Tensor | None = None,
) -> tf.Tensor:
    """Measures which part of each patch of a vision transformer each mask covers.

    The image is scaled to `image_size` and cut into squares from the top left corner. Where a side
    is no multiple of `patch_size`, the last patches reach over the border, and what lies beyond is
    outside the masks, as padding is. Nothing is drawn at full size. Divided by its sum, a row is
    how an attention map would spread over the mask.

    Args:
      counts: string [N], compressed COCO RLE.
      size: integer [2] or [N, 2], [height, width] in pixels.
      patch_size: Python int p ≥ 1, side of a patch in pixels of the scaled image.
      image_size: integer [2], height h and width w of the scaled image in pixels. Default: `size`,
        not scaled.

    Returns:
      float32 [N, ⌈h / p⌉, ⌈w / p⌉], 0 to 1. Zero masks give [0, ⌈h / p⌉, ⌈w / p⌉].

    Raises:
      ValueError: a `patch_size` that is not a positive int, wrong dtypes or static shapes.
      tf.errors.InvalidArgumentError: a malformed string, a size that it does not fill, or an
        `image_size` out of range.

    Example:
      >>> rle.patch_shares(['52203'], [4, 4], 2).numpy()[0]
      array([[0.25, 0.25],
             [0.25, 0.25]], dtype=float32)
    """
    name = 'rle.patch_shares'
    patch_size = validate.positive_int(name, 'patch_size', patch_size)
    masks = boundaries.read(name, counts, size)
    source = tf.cast(tf.maximum(tf.stack([masks.height, masks.width]), 1), tf.int64)
    scaled = source
    if image_size is not None:
        scaled = tf.cast(validate.positive_size(name, 'image_size', image_size), tf.int64)
    patches = (scaled + patch_size - 1) // patch_size
    # 1500 pixels scaled to 683 in patches of 16: 43 patches are 688 scaled pixels, so they show
    # 1500 x 688 / 683 = 1511 pixels, 11 of them beyond the image.
    extent = source * patches * patch_size / scaled  # float64
    window = tf.concat([tf.zeros([2], tf.float64), extent], 0)
    shares = decode_resized(masks, None, patches, method='area', window=window)
    side = _static_size(size if image_size is None else image_size)
    static = [None if n is None else -(-n // patch_size) for n in side]
    return tf.ensure_shape(shares, [masks.shape[0], *static])


def _static_size(size: tf.Tensor) -> list[int | None]:
    """Gives height and width as far as they are known while tracing."""
    value = None if size is None else tf.get_static_value(tf.convert_to_tensor(size))
    if value is None or value.size == 0:
        return [None, None]
    return [int(side) for side in value.reshape(-1, 2)[0]]
