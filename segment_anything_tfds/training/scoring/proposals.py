"""Masks proposed without prompts, judged by how many objects they find."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterable
from typing import Any

import numpy as np

from segment_anything_tfds.training.scoring.pairing import Masks

AREAS = ('all', 'small', 'medium', 'large')


def average_recall(
    truth: Iterable[Masks], proposals: Iterable[Masks], *, max_proposals: int = 1000
) -> dict[str, Any]:
    """Measures AR@1000: recall over IoU thresholds 0.50 to 0.95, by pycocotools' `COCOeval`.

    As object proposals are judged in section 7.3 of the SAM paper: without categories, the most
    confident masks of an image first.

    Args:
      truth: masks by image.
      proposals: masks by image, with `scores`; images that `truth` lacks are left out.
      max_proposals: masks of an image that count.

    Returns:
      `ar@<max_proposals>` and the same with `_small`, `_medium` and `_large` (COCO's areas), None
      where there is no such object; `images`, `objects`, `proposals`.

    Raises:
      ValueError: proposals without scores; the image is named.
    """
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    truth = {masks.image_id: masks for masks in truth}
    proposals = {p.image_id: p for p in proposals if p.image_id in truth and p.counts}
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints as it goes
        objects, found = COCO(), COCO()
        images = [
            {'id': image_id, 'height': masks.size[0], 'width': masks.size[1]}
            for image_id, masks in truth.items()
        ]
        objects.dataset = _dataset(truth.values(), images)
        found.dataset = _dataset(proposals.values(), images, scored=True)
        objects.createIndex()
        found.createIndex()
        judge = COCOeval(objects, found, 'segm')
        judge.params.useCats = 0
        judge.params.maxDets = [max_proposals]
        judge.evaluate()
        judge.accumulate()
    recall = judge.eval['recall'][:, 0, :, 0]  # [thresholds, areas]
    name, result = f'ar@{max_proposals}', {}
    for index, area in enumerate(AREAS):
        known = recall[:, index][recall[:, index] > -1]
        value = round(float(known.mean()), 6) if known.size else None
        result[name if area == 'all' else f'{name}_{area}'] = value
    return {
        **result,
        'images': len(truth),
        'objects': len(objects.anns),
        'proposals': len(found.anns),
    }


def _dataset(sets: Iterable[Masks], images: list[dict], *, scored: bool = False) -> dict:
    """Makes a COCO dataset of one category; ids start at 1, as `COCOeval` takes 0 for no match."""
    from pycocotools import mask as coco_mask

    annotations: list[dict] = []
    for masks in sets:
        if scored and masks.scores is None:
            raise ValueError(
                'evaluate.average_recall: expected `proposals` with scores; got none for image '
                f'{masks.image_id}. Give every entry a `score`.'
            )
        runs = [{'size': list(masks.size), 'counts': counts} for counts in masks.counts]
        areas = coco_mask.area(runs) if runs else np.zeros(0)
        for index, (segmentation, area) in enumerate(zip(runs, areas, strict=True)):
            entry = {'segmentation': segmentation, 'area': float(area), 'iscrowd': 0}
            entry |= {'id': len(annotations) + 1, 'image_id': masks.image_id, 'category_id': 1}
            if scored:
                entry['score'] = float(masks.scores[index])
            annotations.append(entry)
    return {
        'images': images,
        'annotations': annotations,
        'categories': [{'id': 1, 'name': 'object'}],
    }
