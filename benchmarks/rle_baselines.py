"""What users do today: C libraries behind `tf.numpy_function`."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from pycocotools import mask as coco_mask

try:
    import rlemasklib
except ImportError:  # its columns stay empty; `pip install '.[bench]'` brings it
    rlemasklib = None


def coco_decode(element) -> tf.Tensor:
    """uint8 [N, H, W] by pycocotools, row-major."""
    return _call(_coco_decode, tf.uint8, element, rank=3)


def coco_resize(target_size, method: str = 'nearest'):
    """[N, h, w]: pycocotools, then `tf.image.resize`."""

    def resize(element):
        masks = coco_decode(element)[..., tf.newaxis]
        return tf.image.resize(masks, target_size, method=method)[..., 0]

    return resize


def coco_resize_some(target_size, num_masks: int):
    """As `coco_resize`, of which the first masks are kept."""
    return lambda element: coco_resize(target_size)(element)[:num_masks]


def coco_area(element) -> tf.Tensor:
    """Areas by pycocotools, from the runs."""
    return _call(lambda *rle: coco_mask.area(_coco(*rle)).astype(np.int32), tf.int32, element)


def coco_bbox(element) -> tf.Tensor:
    """Boxes by pycocotools, from the runs."""
    return _call(lambda *rle: coco_mask.toBbox(_coco(*rle)).astype(np.float32), tf.float32, element)


def coco_iou(element) -> tf.Tensor:
    """IoU of all pairs by pycocotools, from the runs."""

    def iou(*rle):
        masks = _coco(*rle)
        return coco_mask.iou(masks, masks, [0] * len(masks)).astype(np.float32)

    return _call(iou, tf.float32, element)


def coco_shares(target_size, patch: int):
    """float32 [N, ⌈h / p⌉, ⌈w / p⌉]: pycocotools, box-averaged, padded, then pooled."""
    padding = [[0, 0], *([0, -side % patch] for side in target_size), [0, 0]]

    def pool(element):
        drawn = coco_resize(target_size, 'area')(element)[..., tf.newaxis]
        return tf.nn.avg_pool2d(tf.pad(drawn, padding), patch, patch, 'VALID')[..., 0]

    return pool


def dense_nesting(element) -> tf.Tensor:
    """Which part of each mask lies in each other, all drawn, in the manner of LangSplat.

    Its `mask_nms` (`preprocess.py`) compares all pairs of masks by their common pixels and union.
    """

    def compare(*rle):
        masks = np.ascontiguousarray(coco_mask.decode(_coco(*rle)).transpose(2, 0, 1)).view(bool)
        shares = np.zeros([len(masks)] * 2, np.float32)
        areas = np.maximum([np.count_nonzero(mask) for mask in masks], 1)
        for i in range(len(masks)):
            for j in range(i, len(masks)):
                common = np.count_nonzero(masks[i] & masks[j])
                union = np.count_nonzero(masks[i] | masks[j])
                if union:
                    shares[i, j], shares[j, i] = common / areas[i], common / areas[j]
        return shares

    return _call(compare, tf.float32, element)


def coco_encode(masks) -> tf.Tensor:
    """`counts` of row-major masks by pycocotools."""

    def encode(masks):
        rles = coco_mask.encode(np.asfortranarray(masks.transpose(1, 2, 0)))
        return np.array([rle['counts'] for rle in rles], object)

    return tf.numpy_function(encode, [masks], tf.string)


def coco_sample(element) -> tf.Tensor:
    """One pixel of each mask: pycocotools, then `np.nonzero`."""

    def sample(counts, size):
        rng = np.random.default_rng(0)
        points = []
        for rle in _coco(counts, size):
            y, x = np.nonzero(coco_mask.decode(rle))
            at = rng.integers(y.size)
            points.append((x[at], y[at]))
        return np.array(points, np.float32)

    return _call(sample, tf.float32, element)


def c_decode(element) -> tf.Tensor:
    """uint8 [N, H, W] by rlemasklib, row-major."""

    def decode(counts, size):
        masks = np.empty([len(counts), *size[0].astype(int)], np.uint8)
        for mask, rle in zip(masks, _c(counts, size), strict=True):
            rle.decode_into(mask, fg_value=1, bg_value=0)
        return masks

    return _call(decode, tf.uint8, element, rank=3)


def c_decode_zeroed(element) -> tf.Tensor:
    """As `c_decode`, onto zeros, so that only foreground is written."""

    def decode(counts, size):
        masks = np.zeros([len(counts), *size[0].astype(int)], np.uint8)
        for mask, rle in zip(masks, _c(counts, size), strict=True):
            rle.decode_into(mask, fg_value=1)
        return masks

    return _call(decode, tf.uint8, element, rank=3)


def c_resize(target_size):
    """uint8 [N, h, w] by rlemasklib, row-major."""

    def resize(counts, size):
        masks = np.zeros([len(counts), *target_size], np.uint8)
        for mask, rle in zip(masks, _c(counts, size), strict=True):
            rle.resize(target_size).decode_into(mask, fg_value=1)
        return masks

    return lambda element: _call(resize, tf.uint8, element, rank=3)


def c_area(element) -> tf.Tensor:
    """Areas by rlemasklib."""
    return _call(
        lambda *rle: np.array([mask.area() for mask in _c(*rle)], np.int32), tf.int32, element
    )


def c_iou(element) -> tf.Tensor:
    """IoU of all pairs by rlemasklib."""

    def iou(*rle):
        masks = _c(*rle)
        return np.asarray(rlemasklib.RLEMask.iou_matrix(masks, masks), np.float32)

    return _call(iou, tf.float32, element)


def _call(function, dtype, element, rank: int | None = None) -> tf.Tensor:
    result = tf.numpy_function(function, [element['counts'], element['size']], dtype)
    if rank is not None:
        result.set_shape([None] * rank)
    return result


def _coco_decode(counts, size) -> np.ndarray:
    return np.ascontiguousarray(coco_mask.decode(_coco(counts, size)).transpose(2, 0, 1))


def _coco(counts, size) -> list[dict]:
    height, width = (int(side) for side in size[0])
    return [{'size': [height, width], 'counts': one} for one in counts]


def _c(counts, size) -> list:
    return [rlemasklib.RLEMask.from_dict(rle) for rle in _coco(counts, size)]
