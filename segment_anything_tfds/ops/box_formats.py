"""The formats of `boxes`: to exclusive corners in pixels, and back."""

from __future__ import annotations

import tensorflow as tf

from segment_anything_tfds.ops import validate

FORMATS = ('xywh', 'xyxy', 'rel_yxyx', 'sa1b', 'sa1b_rel_yxyx', 'xyxy_inclusive')
RELATIVE = ('rel_yxyx', 'sa1b_rel_yxyx')
_LAST_PIXEL = ('sa1b', 'sa1b_rel_yxyx', 'xyxy_inclusive')


def to_xyxy(boxes: tf.Tensor, box_format: str, scale: tf.Tensor | None) -> tf.Tensor:
    """Converts `box_format` to exclusive corners; `scale` is [height, width, height, width]."""
    if box_format in RELATIVE:
        boxes = tf.gather(boxes * scale, [1, 0, 3, 2], axis=-1)
    low, high = boxes[..., :2], boxes[..., 2:]
    if box_format in ('xywh', 'sa1b'):
        high = low + high
    if box_format in _LAST_PIXEL:
        high = high + 1
    return tf.concat([low, high], axis=-1)


def from_xyxy(boxes: tf.Tensor, box_format: str, scale: tf.Tensor | None) -> tf.Tensor:
    """Converts exclusive corners to `box_format`."""
    low, high = boxes[..., :2], boxes[..., 2:]
    if box_format in _LAST_PIXEL:
        high = high - 1
    if box_format in ('xywh', 'sa1b'):
        high = high - low
    boxes = tf.concat([low, high], axis=-1)
    if box_format in RELATIVE:
        boxes = tf.gather(boxes, [1, 0, 3, 2], axis=-1) / scale
    return boxes


def pixel_boxes(where: str, boxes: tf.Tensor, box_format: str) -> tf.Tensor:
    """Returns exclusive corners; `ValueError` for a format in fractions."""
    validate.choice(where, 'box_format', box_format, [f for f in FORMATS if f not in RELATIVE])
    return to_xyxy(float_boxes(where, boxes), box_format, None)


def float_boxes(where: str, boxes: tf.Tensor) -> tf.Tensor:
    """Returns float32 or float64 [..., 4], or raises `ValueError`."""
    boxes = tf.convert_to_tensor(boxes)
    if boxes.dtype not in (tf.float32, tf.float64):
        boxes = tf.cast(boxes, tf.float32)
    if boxes.shape.rank == 0 or (boxes.shape.rank and boxes.shape[-1] not in (4, None)):
        raise ValueError(
            f'{where}: expected `boxes` of shape [..., 4]; got {boxes.shape}. '
            'Stack the four numbers on the last axis.'
        )
    return boxes


def scale_of(where: str, name: str, size: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    """Returns [..., 4], height, width, height, width of a checked `size`."""
    size = tf.cast(validate.positive_size(where, name, size), dtype)
    return tf.concat([size, size], axis=-1)
