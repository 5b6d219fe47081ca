"""Masks of the shapes that people draw: polygons and pictures of masks, and RLE of other makers."""

from __future__ import annotations

import base64
import binascii
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask

from segment_anything_tfds.exchange.readers import drawn, json_values
from segment_anything_tfds.source.record import coco_rle, jpeg


def from_polygons(polygons: Sequence[Sequence[float]], size: tuple[int, int]) -> bytes:
    """Draws the union of polygons as pycocotools does: compressed RLE.

    Args:
      polygons: each [x, y, x, y, ...] in pixels, of at least three points; none at all give an
        empty mask.
      size: [height, width] of the image.

    Raises:
      Refused: a polygon has too few points, or lies further outside than the image is large.
    """
    height, width = size
    if not polygons:
        return coco_rle.encode_runs([[height * width]])[0]
    for points in polygons:
        json_values.numbers(points, 'polygon')
        if len(points) < 6 or len(points) % 2:
            raise drawn.Refused(
                'import_invalid',
                f'expected polygons of at least 3 points, x and y each; got {len(points)} numbers',
            )
        # Drawing takes as long as the outline is, so it must not be far larger than the image.
        x, y = np.reshape(points, (-1, 2)).T
        if min(x.min() + width, y.min() + height, 2 * width - x.max(), 2 * height - y.max()) < 0:
            raise drawn.Refused(
                'import_size_mismatch',
                f'expected polygons about the image of {width} x {height} pixels; got points '
                f'from {x.min():g}, {y.min():g} to {x.max():g}, {y.max():g}',
            )
    parts = coco_mask.frPyObjects([list(map(float, points)) for points in polygons], height, width)
    return coco_mask.merge(parts)['counts']


def from_rle(segmentation: dict[str, Any], size: tuple[int, int]) -> bytes:
    """Gives the mask of COCO RLE, compressed or not, as pycocotools would write it.

    Raises:
      Refused: it is malformed, or of another size than the image.
    """
    stated = json_values.numbers(segmentation.get('size'), 'size')
    if list(stated) != list(size):
        raise drawn.Refused(
            'import_size_mismatch',
            f'expected `size` to be {list(size)}, as the image; got {stated}',
        )
    counts = segmentation.get('counts')
    if type(counts) is list:
        counts = coco_rle.encode_runs([_runs(counts)])[0]
    elif type(counts) is str:
        counts = counts.encode('utf-8', 'surrogatepass')
    else:
        raise drawn.Refused(
            'import_invalid',
            f'expected `counts` to be a string or a list; got {json_values.shorten(counts)}',
        )
    return coco_rle.normalize([counts], size)[0]


def _runs(values: list) -> np.ndarray:
    if not values or not all(type(value) is int and 0 <= value < 2**31 for value in values):
        raise drawn.Refused(
            'import_invalid',
            f'expected runs from 0 to 2^31 - 1; got {json_values.shorten(values)}',
        )
    return np.array(values, np.int64)


def from_crop(pixels: np.ndarray, left: int, top: int, size: tuple[int, int]) -> coco_rle.RowRuns:
    """Gives the runs of a picture bool [h, w] that lies at `left` and `top` of the image.

    Raises:
      Refused: it leaves the image.
    """
    height, width = pixels.shape
    if min(left, top) < 0 or left + width > size[1] or top + height > size[0]:
        raise drawn.Refused(
            'import_size_mismatch',
            f'expected a mask inside the image of {size[1]} x {size[0]}; got one of {width} x '
            f'{height} at {left}, {top}',
        )
    flat = pixels.ravel()
    bounds = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    first = [0, 0] if flat[:1].any() else [0]  # zeros come first, if only a run of none
    runs = np.diff(np.concatenate([first, bounds, [flat.size]]))
    return coco_rle.RowRuns(left, top, width, height, runs)


def read_png(text: str, shape: tuple[int, int] | None = None) -> np.ndarray:
    """Reads a picture of a mask, PNG in base64: bool [h, w].

    A picture with transparency shows the mask where it is opaque, any other where it is not black.

    Args:
      text: base64, or a `data:` URL of it.
      shape: (height, width) that it must have.

    Raises:
      Refused: it is no such picture, or of another size; nothing large is decoded before.
    """
    try:
        data = base64.b64decode(text.rpartition(',')[2], validate=True)
        with jpeg.strict_pillow(), Image.open(io.BytesIO(data), formats=['PNG']) as image:
            if shape is not None and image.size != shape[::-1]:
                raise drawn.Refused(
                    'import_size_mismatch',
                    f'expected a picture of {shape[1]} x {shape[0]} pixels; got {image.size}',
                )
            if image.mode in ('RGBA', 'LA'):
                return np.asarray(image.getchannel('A')) >= 128
            return np.asarray(image.convert('L')) > 0
    except (binascii.Error, OSError, SyntaxError, Image.DecompressionBombError) as error:
        detail = f'expected a PNG in base64; got {json_values.explain(error)}'
        raise drawn.Refused('import_invalid', detail) from None
