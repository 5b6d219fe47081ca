"""What a mask carries through an annotation tool beside its pixels, and what comes back of it.

A tool keeps six fields with each mask: `sa_id`, `predicted_iou`, `stability_score`, `point_coords`,
`crop_box` and `sa_mask`, a digest of the mask's RLE. A mask that comes back with the same pixels is
the model's still, and gets its fields back. One whose pixels were changed keeps its id; its scores
belonged to the old pixels, so they become `NO_SCORE`, as those of a new mask do.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from segment_anything_tfds.source.record import coco_rle

FIELDS = ('sa_id', 'predicted_iou', 'stability_score', 'point_coords', 'crop_box', 'sa_mask')
NO_SCORE = -1.0
"""Stands in `predicted_iou` and `stability_score` of masks that no model has scored."""
FIRST_NEW_ID = 2**40
NEW_IDS_PER_IMAGE = 2**16


def is_scored(row: Mapping[str, Any]) -> bool:
    """Tells whether a model has scored this annotation: a stability score is never negative."""
    return row['stability_score'] >= 0


def pack(row: Mapping[str, Any]) -> dict[str, Any]:
    """Gives the fields that go with a mask, as JSON values."""
    fields = {name: row[name] for name in FIELDS[1:-1]}
    return {'sa_id': row['id'], **fields, 'sa_mask': digest(row['segmentation']['counts'])}


def digest(counts: bytes | str) -> str:
    """Gives twelve hexadecimal digits that change with the mask."""
    data = counts.encode() if isinstance(counts, str) else counts
    return hashlib.sha256(data).hexdigest()[:12]


def new_id(image_id: int, number: int) -> int:
    """Makes the id of an image's new mask: above all of SA-1B's, and the same on every machine.

    Raises:
      ValueError: the image has more than `NEW_IDS_PER_IMAGE` new masks, or too large an id.
    """
    found = FIRST_NEW_ID + image_id * NEW_IDS_PER_IMAGE + number
    if number >= NEW_IDS_PER_IMAGE or found >= 2**64:
        raise ValueError(
            f'`carried.new_id`: expected at most {NEW_IDS_PER_IMAGE} new masks and an image id '
            f'below 2^47; got mask {number} of image {image_id}. Give images smaller ids.'
        )
    return found


def rows(
    ids: Sequence[int],
    counts: Sequence[bytes],
    size: tuple[int, int],
    fields: Sequence[Mapping[str, Any] | None] | None = None,
) -> list[dict[str, Any]]:
    """Makes annotations of SA-1B for masks.

    Args:
      ids: N ids.
      counts: N compressed strings.
      size: [height, width] of the image.
      fields: of each mask what `pack` gave, as far as a tool has kept it; None for a new mask.

    Returns:
      N annotations with the eight keys of SA-1B. `bbox` is max - min, as in SA-1B. A mask without
      fields, or with other pixels than theirs, has `NO_SCORE` for both scores, the whole image as
      `crop_box`, and as `point_coords` the pixel in the middle of its longest column, or the
      model's point where that still lies in the mask. An empty mask has zeros there.

    Raises:
      ValueError: a string is malformed or does not fit `size`.
    """
    crops = coco_rle.to_row_runs(counts, size)
    areas = coco_rle.area(counts).tolist()
    points = _inner_points(counts, size[0])
    found = []
    for n, (number, string, crop, area) in enumerate(zip(ids, counts, crops, areas, strict=True)):
        text = string.decode()
        old = (fields[n] if fields else None) or {}
        same = old.get('sa_mask', digest(text)) == digest(text)
        scores = {
            name: old[name] if same and name in old else NO_SCORE
            for name in ('predicted_iou', 'stability_score')
        }
        found.append(
            {
                'bbox': [float(crop.left), float(crop.top), *_sides(crop)],
                'area': area,
                'segmentation': {'size': list(size), 'counts': text},
                **scores,
                'point_coords': _point(old, same, string, size) or [points[n]],
                'crop_box': old['crop_box']
                if same and 'crop_box' in old
                else [0.0, 0.0, float(size[1]), float(size[0])],
                'id': number,
            }
        )
    return found


def _sides(crop: coco_rle.RowRuns) -> list[float]:
    return [float(max(crop.width - 1, 0)), float(max(crop.height - 1, 0))]


def _point(old: Mapping[str, Any], same: bool, counts: bytes, size: tuple[int, int]):
    """Gives the model's point, where it was the mask's, or lies in what became of it."""
    point = old.get('point_coords')
    if point is None or same:
        return point
    x, y = (math.floor(value + 0.5) for value in point[0])
    if not (0 <= x < size[1] and 0 <= y < size[0]):
        return None
    ends = np.cumsum(coco_rle.run_lengths([counts])[0])
    # runs 0, 2, 4, ... are zeros
    inside = np.searchsorted(ends, x * size[0] + y, 'right') % 2 == 1
    return point if inside else None


def _inner_points(counts: Sequence[bytes], height: int) -> list[list[float]]:
    """Finds [x, y] in the middle of each mask's longest run of a column; [0, 0] if it is empty."""
    points = []
    for runs in coco_rle.run_lengths(counts):
        ends = np.cumsum(runs)
        starts, ends = ends[0::2][: len(runs) // 2], ends[1::2]
        starts, ends = starts[starts < ends], ends[starts < ends]
        if not len(starts):
            points.append([0.0, 0.0])
            continue
        # A run that goes on into the next column is long enough in its first or second column.
        first, second = starts // height, (ends - 1) // height
        cut = np.minimum(ends, (first + 1) * height)
        later = np.where(second > first, np.minimum(ends - cut, height), 0)
        best = np.argmax(np.maximum(cut - starts, later))
        start, stop = starts[best], cut[best]
        if later[best] > stop - start:
            start, stop = cut[best], cut[best] + later[best]
        x, y = divmod(int(start + stop - 1) // 2, height)
        points.append([float(x), float(y)])
    return points
