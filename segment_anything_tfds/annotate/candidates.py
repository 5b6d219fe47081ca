"""Masks on their way from the decoder to a record: judged, filtered, without duplicates.

The order of steps is that of Meta's generator. Predicted IoUs are judged before anything is
upscaled, which gives the same masks: upscaling changes no score.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from segment_anything_tfds.annotate import crop_grid, level_sets
from segment_anything_tfds.annotate import settings as settings_lib
from segment_anything_tfds.source.record.rle import spans as spans_lib

EDGE_PIXELS = 20  # a mask this near to its crop's edge is one that the crop cuts off


class NotFiniteError(ValueError):
    """A model gave what is no number."""


@dataclasses.dataclass(frozen=True)
class Candidates:
    """N masks of an image, with what is known of them.

    Attributes:
      counts: N compressed strings of COCO RLE: a few hundred bytes a mask, so that many can wait.
      areas: int64 [N], pixels.
      boxes: int64 [N, 4], x and y of the first and of the last pixel.
      predicted_iou: float32 [N].
      stability_score: float32 [N].
      points: float64 [N, 2] (x, y), the prompts.
      crops: int64 [N], which crop of the image each comes from.
    """

    counts: list[bytes]
    areas: np.ndarray
    boxes: np.ndarray
    predicted_iou: np.ndarray
    stability_score: np.ndarray
    points: np.ndarray
    crops: np.ndarray

    def __len__(self) -> int:
        return len(self.counts)

    def take(self, index: np.ndarray) -> Candidates:
        """Takes those at these positions, in this order."""
        arrays = [getattr(self, name)[index] for name in _ARRAYS]
        return Candidates([self.counts[n] for n in index.tolist()], *arrays)


_ARRAYS = ('areas', 'boxes', 'predicted_iou', 'stability_score', 'points', 'crops')
_NONE = Candidates(
    [],
    np.zeros(0, np.int64),
    np.zeros((0, 4), np.int64),
    np.zeros(0, np.float32),
    np.zeros(0, np.float32),
    np.zeros((0, 2)),
    np.zeros(0, np.int64),
)


def join(parts: Sequence[Candidates]) -> Candidates:
    """Joins all of them, one part after another."""
    parts = [_NONE, *parts]
    arrays = [np.concatenate([getattr(part, name) for part in parts]) for name in _ARRAYS]
    return Candidates([counts for part in parts for counts in part.counts], *arrays)


def distinct(boxes: np.ndarray, scores: np.ndarray, iou_threshold: float) -> np.ndarray:
    """Gives positions of what box NMS leaves, by falling score; of equals, the earlier first."""
    from segment_anything_tfds.ops import boxes as boxes_lib  # TensorFlow, which the rest needs not

    return np.asarray(boxes_lib.nms(boxes.astype(np.float32), scores, iou_threshold), np.int64)


@dataclasses.dataclass(frozen=True)
class Place:
    """A crop, with what its masks are judged by.

    Attributes:
      crop: where it lies.
      index: which of the image's crops it is.
      grid: from the model's logits to its pixels.
      image_size: [height, width] of the image.
    """

    crop: crop_grid.Crop
    index: int
    grid: level_sets.Grid
    image_size: tuple[int, int]


def judge(
    place: Place,
    logits: np.ndarray,
    predicted_iou: np.ndarray,
    points: np.ndarray,
    settings: settings_lib.Settings,
) -> Candidates:
    """Gives the masks of a crop that pass all filters.

    Args:
      place: the crop.
      logits: float32 [N, h, w], small.
      predicted_iou: float32 [N].
      points: float64 [N, 2] (x, y), in pixels of the crop.
      settings: the thresholds.

    Returns:
      At most N masks, in their order.

    Raises:
      NotFiniteError: logits or predicted IoUs are not finite.
    """
    check_finite('predicted IoUs', predicted_iou)
    kept, runs, boxes, scores = [], [], [], []
    for n in np.flatnonzero(_passes_iou(predicted_iou, settings)).tolist():
        check_finite('logits', np.array([logits[n].min(), logits[n].max()]))
        found = _judge_one(place, logits[n], settings)
        if found is not None:
            kept.append(n)
            for values, value in zip((runs, boxes, scores), found, strict=True):
                values.append(value)
    return Candidates(
        _encode([_to_image(mask, place) for mask in runs], place.image_size),
        np.array([mask.area for mask in runs], np.int64),
        np.array(boxes, np.int64).reshape(-1, 4),
        predicted_iou[kept],
        np.array(scores, np.float32),
        points[kept] + np.array([place.crop.left, place.crop.top]),
        np.full(len(kept), place.index, np.int64),
    )


def check_finite(what: str, values: np.ndarray) -> None:
    """Refuses what a broken model gives: NaN passes no filter, or all of them."""
    if not np.isfinite(values).all():
        raise NotFiniteError(
            f'`annotate.MaskGenerator.generate`: expected the model to give finite {what}; got '
            f'{values[~np.isfinite(values)][0]}. Check its weights, and the precision of its '
            'layers.'
        )


def _passes_iou(predicted_iou: np.ndarray, settings: settings_lib.Settings) -> np.ndarray:
    if settings.pred_iou_thresh == 0:
        return np.ones(len(predicted_iou), bool)
    return predicted_iou > settings.pred_iou_thresh


def _judge_one(
    place: Place, logits: np.ndarray, settings: settings_lib.Settings
) -> tuple[level_sets.Runs, list[int], np.float32] | None:
    """Gives runs in the crop, box and stability score of a mask; `None` where a filter drops it."""
    # The stability score: pixels above a higher threshold as a part of those above a lower one.
    middle, offset = settings.mask_threshold, settings.stability_score_offset
    upscaled = level_sets.Upscaled(place.grid, logits, middle - offset)
    outer = upscaled.runs(middle - offset).area
    if not outer and settings.stability_score_thresh:
        return None
    inner = upscaled.runs(middle + offset).area
    score = np.float32(inner) / np.float32(outer or 1)
    if score < settings.stability_score_thresh:
        return None
    runs = upscaled.runs(middle)
    height, width = place.image_size
    coverage = settings.max_mask_coverage
    if coverage is not None and runs.area >= coverage * (height * width):
        return None
    box = bounding_box(runs, place.crop.size[0])
    corner = (place.crop.left, place.crop.top) * 2
    box = [side + origin for side, origin in zip(box, corner, strict=True)]
    return None if _is_cut_off(box, place) else (runs, box, score)


def bounding_box(runs: level_sets.Runs, height: int) -> list[int]:
    """Gives x and y of the first and of the last pixel of a mask; zeros for an empty mask."""
    if not len(runs.starts):
        return [0, 0, 0, 0]
    left, top = np.divmod(runs.starts, height)
    right, bottom = np.divmod(runs.ends - 1, height)
    turns = bool((left < right).any())  # such a run has pixels in the first and the last row
    return [
        int(left[0]),
        0 if turns else int(top.min()),
        int(right[-1]),
        height - 1 if turns else int(bottom.max()),
    ]


def _is_cut_off(box: list[int], place: Place) -> bool:
    """Tells whether a side of the box lies at the crop's edge, and not at the image's."""
    crop, (height, width) = place.crop, place.image_size
    edges = (crop.left, crop.top, crop.right, crop.bottom)
    return any(
        abs(side - edge) <= EDGE_PIXELS and abs(side - end) > EDGE_PIXELS
        for side, edge, end in zip(box, edges, (0, 0, width, height), strict=True)
    )


def _to_image(runs: level_sets.Runs, place: Place) -> level_sets.Runs:
    """Moves runs to the image; one that goes on in the next column of a lower crop is cut there.

    crop of 2 rows, run [1, 4):   row 1 of column 0, rows 0 and 1 of column 1
    image of 5 rows, top 3:       [4, 5) and [8, 10)
    """
    crop, height = place.crop, place.image_size[0]
    high = crop.size[0]
    corner = crop.left * height + crop.top
    if high == height:
        return level_sets.Runs(runs.starts + corner, runs.ends + corner)
    column, owner = spans_lib.expand(runs.starts // high, (runs.ends - 1) // high + 1)
    starts = np.maximum(runs.starts[owner], column * high)
    ends = np.minimum(runs.ends[owner], (column + 1) * high)
    shift = corner + column * (height - high)
    return level_sets.Runs(starts + shift, ends + shift)


def _encode(runs: Sequence[level_sets.Runs], size: tuple[int, int]) -> list[bytes]:
    """Encodes N masks in an image of `size` [height, width] as compressed COCO RLE."""
    owners = np.repeat(np.arange(len(runs)), [len(mask.starts) for mask in runs])
    none = np.zeros(0, np.int64)
    starts = np.concatenate([none, *(mask.starts for mask in runs)])
    ends = np.concatenate([none, *(mask.ends for mask in runs)])
    return spans_lib.encode(spans_lib.Spans(owners, starts, ends, len(runs), *size))
