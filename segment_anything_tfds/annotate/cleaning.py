"""The last step of the generator: small holes and islands, and the duplicates that they leave."""

from __future__ import annotations

import dataclasses

import numpy as np

from segment_anything_tfds.annotate import candidates
from segment_anything_tfds.annotate import settings as settings_lib
from segment_anything_tfds.source.record import coco_rle


def clean(
    found: candidates.Candidates, size: tuple[int, int], settings: settings_lib.Settings
) -> tuple[candidates.Candidates, np.ndarray]:
    """Removes small regions, if the settings say so, and masks that are duplicates then.

    Scores stay those of the masks before, as in Meta's generator.

    Args:
      found: N masks of an image.
      size: [height, width] of the image.
      settings: of which `min_mask_region_area`, `drop_small_masks` and the NMS thresholds count.

    Returns:
      At most N masks, first those without small regions, in their order, then the cleaned ones;
      and bool of the same number, which were cleaned.
    """
    least = settings.min_mask_region_area
    if not least or not len(found):
        return found, np.zeros(len(found), bool)
    cleaned = coco_rle.remove_small_regions(
        found.counts, size, holes=least, islands=least, keep_largest=not settings.drop_small_masks
    )
    found = _renewed(found, cleaned.counts, cleaned.changed, size)
    threshold = max(settings.box_nms_thresh, settings.crop_nms_thresh)
    # as scores: 1 where nothing was cleaned, 0 where something was, so the former stay
    kept = candidates.distinct(found.boxes, 1 - cleaned.changed.astype(np.float32), threshold)
    if settings.drop_small_masks:  # nothing is left of them
        kept = kept[found.areas[kept] > 0]
    return found.take(kept), cleaned.changed[kept]


def _renewed(
    found: candidates.Candidates, counts: list[bytes], changed: np.ndarray, size: tuple[int, int]
) -> candidates.Candidates:
    """Gives the masks with strings, areas and boxes of the changed ones as they are now."""
    index = np.flatnonzero(changed)
    fresh = [counts[n] for n in index.tolist()]
    areas, boxes = found.areas.copy(), found.boxes.copy()
    areas[index] = coco_rle.area(fresh)
    boxes[index] = coco_rle.bbox(fresh, size, convention='xyxy_inclusive')
    return dataclasses.replace(found, counts=counts, areas=areas, boxes=boxes)
