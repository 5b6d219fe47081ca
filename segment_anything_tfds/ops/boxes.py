"""Boxes between the conventions that meet in SA-1B: convert, clip, jitter, area, IoU, NMS.

Every function takes boxes as a tensor [..., 4] of any number type and returns float32 (float64
stays float64). `size` and `image_size` are [height, width], shape [2] for all boxes or [..., 2] for
one a box: boxes [B, N, 4] of images of their own size take `size[:, tf.newaxis]`. Coordinates are
in pixels from the image's top left corner, x to the right, y down. Formats:

| name | numbers | end of the box |
|---|---|---|
| `xywh` | x, y, width, height (COCO, `pycocotools.mask.toBbox`) | exclusive |
| `xyxy` | x0, y0, x1, y1 (torchvision) | exclusive |
| `rel_yxyx` | y0, x0, y1, x1, fractions of height and width (TFDS; `crop_box`) | exclusive |
| `sa1b` | x, y, max x − min x, max y − min y (`bbox` in SA-1B's JSON) | last pixel |
| `sa1b_rel_yxyx` | y min, x min, y max, x max, fractions (`bbox` in the dataset) | last pixel |
| `xyxy_inclusive` | x min, y min, x max, y max (SAM's `batched_mask_to_box`) | last pixel |

A box that ends on its last pixel is one pixel smaller each way than COCO's box of the same mask
(read in facebookresearch/segment-anything `utils/amg.py`; so are all real annotations we measured).
"""

from __future__ import annotations

import tensorflow as tf

from segment_anything_tfds.ops import box_formats, validate
from segment_anything_tfds.ops.box_nms import nms

FORMATS = box_formats.FORMATS
__all__ = ['FORMATS', 'area', 'clip', 'convert', 'iou', 'jitter', 'nms']


@tf.autograph.experimental.do_not_convert
def convert(
    boxes: tf.Tensor, from_format: str, to_format: str, *, image_size: tf.Tensor | None = None
) -> tf.Tensor:
    """Converts boxes from one format to another.

    Between formats that end on the last pixel and formats with an exclusive end, one pixel is added
    or taken each way. An empty COCO box (0, 0, 0, 0) thus has no exact counterpart: it becomes a
    width of −1. Fractions in float32 come back within 1e-3 px on images of a few thousand pixels.

    Args:
      boxes: [..., 4], in `from_format`.
      from_format: One of the formats in the table above.
      to_format: One of the formats in the table above.
      image_size: int [2] or [..., 2], height and width; needed by the fractional formats.

    Returns:
      float32 or float64 [..., 4], in `to_format`. Zero boxes give [0, 4].

    Raises:
      ValueError: An unknown format, boxes whose last dimension is not 4, or no `image_size` where a
        format needs it.
      tf.errors.InvalidArgumentError: An `image_size` that is not positive.

    Example:
      >>> boxes.convert([[10., 20., 0., 4.]], 'sa1b', 'xywh').numpy()
      array([[10., 20.,  1.,  5.]], dtype=float32)
    """
    validate.choice('boxes.convert', 'from_format', from_format, FORMATS)
    validate.choice('boxes.convert', 'to_format', to_format, FORMATS)
    boxes = box_formats.float_boxes('boxes.convert', boxes)
    scale = None
    if from_format in box_formats.RELATIVE or to_format in box_formats.RELATIVE:
        if image_size is None:
            raise ValueError(
                f'boxes.convert: expected `image_size` for {from_format!r} to {to_format!r}; '
                'got None. Pass [height, width] of the image.'
            )
        scale = box_formats.scale_of('boxes.convert', 'image_size', image_size, boxes.dtype)
    return box_formats.from_xyxy(box_formats.to_xyxy(boxes, from_format, scale), to_format, scale)


@tf.autograph.experimental.do_not_convert
def clip(boxes: tf.Tensor, size: tf.Tensor, *, box_format: str = 'xyxy') -> tf.Tensor:
    """Clips boxes to the image. A box that lies outside becomes one without area on the border.

    Args:
      boxes: [..., 4], in `box_format`.
      size: int [2] or [..., 2], height and width of the image.
      box_format: One of `FORMATS`.

    Returns:
      float32 or float64 [..., 4], in `box_format`. Zero boxes give [0, 4].

    Raises:
      ValueError: An unknown format, or boxes whose last dimension is not 4.
      tf.errors.InvalidArgumentError: A `size` that is not positive.

    Example:
      >>> boxes.clip([[-5., 2., 30., 8.]], [10, 20]).numpy()
      array([[ 0.,  2., 20.,  8.]], dtype=float32)
    """
    validate.choice('boxes.clip', 'box_format', box_format, FORMATS)
    boxes = box_formats.float_boxes('boxes.clip', boxes)
    scale = box_formats.scale_of('boxes.clip', 'size', size, boxes.dtype)
    clipped = _clip_xyxy(box_formats.to_xyxy(boxes, box_format, scale), scale)
    return box_formats.from_xyxy(clipped, box_format, scale)


@tf.autograph.experimental.do_not_convert
def jitter(
    boxes: tf.Tensor,
    size: tf.Tensor,
    *,
    seed: tf.Tensor,
    box_format: str = 'xyxy',
    scale: float = 0.1,
    max_pixels: float = 20.0,
    distribution: str = 'normal',
) -> tf.Tensor:
    """Moves each side of each box at random, as SAM does with its box prompts.

    `normal` follows the SAM paper (Kirillov et al. 2023, appendix A): the standard deviation is
    `scale` of the box's side, and no side moves by more than `max_pixels`. `uniform` follows
    facebookresearch/sam2 `sample_box_points`: even over ± the smaller of the two. Sides that cross
    are put back in order, and the result is clipped to the image.

    Args:
      boxes: [..., 4], in `box_format`.
      size: int [2] or [..., 2], height and width of the image.
      seed: int [2]. Equal seeds give equal boxes.
      box_format: One of `FORMATS`.
      scale: Spread as a part of the box's width (for x) and height (for y).
      max_pixels: The farthest that a side moves, in pixels.
      distribution: `'normal'` or `'uniform'`.

    Returns:
      float32 or float64 [..., 4], in `box_format`. Zero boxes give [0, 4].

    Raises:
      ValueError: An unknown format or distribution, boxes whose last dimension is not 4, a negative
        `scale` or `max_pixels`, or a seed that is not of shape [2].
      tf.errors.InvalidArgumentError: A `size` that is not positive.

    Example:
      >>> boxes.jitter([[50., 50., 90., 80.]], [100, 200], seed=[1, 2]).shape
      TensorShape([1, 4])
    """
    validate.choice('boxes.jitter', 'box_format', box_format, FORMATS)
    validate.choice('boxes.jitter', 'distribution', distribution, ('normal', 'uniform'))
    scale = validate.at_least('boxes.jitter', 'scale', scale, 0)
    max_pixels = validate.at_least('boxes.jitter', 'max_pixels', max_pixels, 0)
    seed = validate.seed('boxes.jitter', seed)
    boxes = box_formats.float_boxes('boxes.jitter', boxes)
    image_scale = box_formats.scale_of('boxes.jitter', 'size', size, boxes.dtype)
    xyxy = box_formats.to_xyxy(boxes, box_format, image_scale)
    # A box 40 wide and 300 high, scale 0.1, at most 20 px: x moves by draws of 4 px, y by draws of
    # 30 px, which are cut at 20; with `uniform`, by anything up to 4 and up to 20 px.
    spread = scale * tf.maximum(xyxy[..., 2:] - xyxy[..., :2], 0.0)
    spread = tf.concat([spread, spread], axis=-1)
    shape = tf.shape(xyxy)
    limit = tf.cast(max_pixels, boxes.dtype)
    if distribution == 'normal':
        noise = tf.random.stateless_normal(shape, seed, dtype=boxes.dtype, alg='philox') * spread
        noise = tf.clip_by_value(noise, -limit, limit)
    else:
        noise = tf.random.stateless_uniform(
            shape, seed, minval=-1.0, maxval=1.0, dtype=boxes.dtype, alg='philox'
        ) * tf.minimum(spread, limit)
    moved = xyxy + noise
    low = tf.minimum(moved[..., :2], moved[..., 2:])
    high = tf.maximum(moved[..., :2], moved[..., 2:])
    clipped = _clip_xyxy(tf.concat([low, high], axis=-1), image_scale)
    return box_formats.from_xyxy(clipped, box_format, image_scale)


@tf.autograph.experimental.do_not_convert
def area(boxes: tf.Tensor, *, box_format: str = 'xyxy') -> tf.Tensor:
    """Measures each box in square pixels, counting the last pixel; 0 where the box is turned over.

    Args:
      boxes: [..., 4], in `box_format`.
      box_format: One of `FORMATS` that is in pixels.

    Returns:
      float32 or float64 [...]. Zero boxes give [0].

    Raises:
      ValueError: An unknown or fractional format, or boxes whose last dimension is not 4.

    Example:
      >>> boxes.area([[10., 20., 0., 4.]], box_format='sa1b').numpy()
      array([5.], dtype=float32)
    """
    return _area_xyxy(box_formats.pixel_boxes('boxes.area', boxes, box_format))


@tf.autograph.experimental.do_not_convert
def iou(a: tf.Tensor, b: tf.Tensor, *, box_format: str = 'xyxy') -> tf.Tensor:
    """Divides intersection by union, for every box of `a` with every box of `b`.

    Two boxes without area have an IoU of 0.

    Args:
      a: [..., N, 4], in `box_format`.
      b: [..., M, 4], likewise, with the same leading dimensions.
      box_format: One of `FORMATS` that is in pixels.

    Returns:
      float32 or float64 [..., N, M]. Zero boxes give [0, M] or [N, 0].

    Raises:
      ValueError: An unknown or fractional format, or boxes whose last dimension is not 4.

    Example:
      >>> boxes.iou([[0., 0., 2., 2.]], [[1., 0., 3., 2.]]).numpy().round(3)
      array([[0.333]], dtype=float32)
    """
    a = box_formats.pixel_boxes('boxes.iou', a, box_format)[..., :, tf.newaxis, :]
    b = box_formats.pixel_boxes('boxes.iou', b, box_format)[..., tf.newaxis, :, :]
    # [0, 2] and [5, 9] would meet in [5, 2]: turned over, so its area is 0.
    low = tf.maximum(a[..., :2], b[..., :2])
    high = tf.minimum(a[..., 2:], b[..., 2:])
    common = _area_xyxy(tf.concat([low, high], axis=-1))
    return tf.math.divide_no_nan(common, _area_xyxy(a) + _area_xyxy(b) - common)


def _clip_xyxy(boxes: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
    return tf.minimum(tf.maximum(boxes, 0), tf.gather(scale, [1, 0, 3, 2], axis=-1))


def _area_xyxy(boxes: tf.Tensor) -> tf.Tensor:
    return tf.reduce_prod(tf.maximum(boxes[..., 2:] - boxes[..., :2], 0), axis=-1)
