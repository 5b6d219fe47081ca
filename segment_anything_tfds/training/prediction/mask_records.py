"""Predicted masks as records of SA-1B, or as COCO results."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from pycocotools import mask as coco_mask

from segment_anything_tfds.training.scoring import fullsize, next_click

STYLES = ('sa1b', 'coco')
_OFFSET = 1.0  # of the stability score, as in Meta's generator


class Found(NamedTuple):
    """A mask that was predicted.

    Attributes:
      logits: at the image's size, float32 [H, W].
      score: predicted IoU.
      point: the click that it was asked for by, [x, y]; None for a box.
    """

    logits: np.ndarray
    score: float
    point: Sequence[float] | None


def check_style(style: str) -> None:
    """Raises ValueError for an unknown style."""
    if style not in STYLES:
        raise ValueError(
            f'Predictor.predict_records: expected `style` one of {STYLES}; got {style!r}. '
            'Choose one.'
        )


def first_click(points: np.ndarray, labels: np.ndarray) -> list[float] | None:
    """Finds the first foreground click of points [P, 2]; None where there is none."""
    inside = np.flatnonzero(labels == 1)
    return [float(x) for x in points[inside[0]]] if inside.size else None


def make(found: Iterable[Found], size: tuple[int, int], style: str, image_id: int) -> Any:
    """Makes a record of SA-1B, or a list of COCO results, of the masks that have a pixel."""
    kept = (one for one in found if (one.logits > 0).any())
    if style == 'coco':
        return [_coco(one, image_id) for one in kept]
    height, width = size
    image = {
        'image_id': image_id,
        'width': width,
        'height': height,
        'file_name': f'sa_{image_id}.jpg',
    }
    return {'image': image, 'annotations': [_sa1b(n, one, size) for n, one in enumerate(kept)]}


def _encoded(mask: np.ndarray) -> dict[str, Any]:
    encoded = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {'size': [int(side) for side in encoded['size']], 'counts': encoded['counts'].decode()}


def _coco(one: Found, image_id: int) -> dict[str, Any]:
    segmentation = _encoded(one.logits > 0)
    return {
        'image_id': image_id,
        'category_id': 1,
        'segmentation': segmentation,
        'bbox': [float(x) for x in coco_mask.toBbox(segmentation)],
        'area': int(coco_mask.area(segmentation)),
        'score': one.score,
    }


def _sa1b(number: int, one: Found, size: tuple[int, int]) -> dict[str, Any]:
    mask = one.logits > 0
    window = fullsize.cut(mask)
    x0, y0, x1, y1 = window.corners
    if one.point is None:
        click = next_click.center(window)
        one = one._replace(point=[click.x, click.y])
    sure, possible = (np.count_nonzero(one.logits > sign * _OFFSET) for sign in (1, -1))
    return {
        'id': number,
        'area': window.area,
        'bbox': [float(x) for x in (x0, y0, x1 - x0, y1 - y0)],
        'segmentation': _encoded(mask),
        'predicted_iou': one.score,
        'stability_score': sure / possible,
        'point_coords': [list(one.point)],
        'crop_box': [0.0, 0.0, float(size[1]), float(size[0])],
    }
