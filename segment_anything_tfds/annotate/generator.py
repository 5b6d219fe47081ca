"""Masks for everything in an image, as Meta's `SamAutomaticMaskGenerator` finds them."""

from __future__ import annotations

from typing import Any

import numpy as np

from segment_anything_tfds.annotate import (
    candidates,
    cleaning,
    crop_grid,
    level_sets,
    model_calls,
)
from segment_anything_tfds.annotate import settings as settings_lib
from segment_anything_tfds.source.record import coco_rle


class MaskGenerator:
    """Prompts a model with a grid of points and keeps the good masks, each once.

    The steps, their order and their thresholds are those of Meta's generator (`segment_anything`
    1.0), so the same weights give the same masks. What differs is the cost: crops are encoded in
    batches, masks are judged before they are upscaled, and no mask is ever drawn at full size, so
    memory grows neither with the number of prompts nor with the size of the image.

    Args:
      model: a `training.PromptableSegmenter`, for example `training.tiny_sam()`, on any Keras
        backend.
      settings: what to look for: `annotate.settings.get('sa1b')`, or a name of settings.

    Raises:
      ValueError: `model` is no such model, or `settings` no settings.

    Example:
      >>> generator = MaskGenerator(training.tiny_sam(), settings.get('default', points_per_side=4))
      >>> records = generator.generate(image)
    """

    def __init__(self, model: Any, settings: settings_lib.Settings | str = 'default'):
        if isinstance(settings, str):
            settings = settings_lib.get(settings)
        if not isinstance(settings, settings_lib.Settings):
            raise ValueError(
                '`annotate.MaskGenerator`: expected `settings` to be a Settings or a name; got '
                f'{type(settings).__name__}. Use `annotate.settings.get`.'
            )
        if not all(hasattr(model, name) for name in ('encode', 'decode', 'backbone')):
            raise ValueError(
                '`annotate.MaskGenerator`: expected `model` to be a training.PromptableSegmenter; '
                f'got {type(model).__name__}. Wrap a KerasHub SAM in one.'
            )
        self.settings = settings
        self._calls = model_calls.ModelCalls(model, settings)
        self._grids = crop_grid.point_grids(settings)

    def generate(self, image: np.ndarray, *, first_id: int = 0) -> list[dict[str, Any]]:
        """Finds the masks of an image.

        Args:
          image: uint8 [H, W, 3], RGB; any size from 1 x 1.
          first_id: `id` of the first record; the others count up from it.

        Returns:
          One record a mask, with SA-1B's fields: `segmentation` ({`size` [H, W], `counts`} in
          COCO's compressed RLE, unless `output_mode` says otherwise), `area` in pixels, `bbox`
          [x, y, max x - min x, max y - min y], `predicted_iou`, `point_coords` [[x, y]],
          `stability_score` (0 where no logit is above -offset), `crop_box` [x, y, w, h], `id`. As
          in SA-1B, `bbox` holds integers where small regions were removed, else floats. No mask,
          an empty list.

        Raises:
          ValueError: `image` has another shape or dtype, or the model gives logits or predicted
            IoUs that are not finite.
        """
        image = _check_image(image)
        size = image.shape[:2]
        crops = crop_grid.crops(size, self.settings)
        parts: list[candidates.Candidates] = []
        for batch, embeddings in self._calls.encode(image, crops):
            places = [self._place(crops[n], n, size) for n in batch]
            parts += self._find(places, embeddings)
        found = candidates.join(parts)
        if len(crops) > 1:
            # of duplicates from several crops, the one of the smallest crop stays
            areas = np.array([np.prod(crop.size) for crop in crops], np.float32)
            found = found.take(
                candidates.distinct(
                    found.boxes, (1 / areas)[found.crops], self.settings.crop_nms_thresh
                )
            )
        found, cleaned = cleaning.clean(found, size, self.settings)
        return self._records(found, cleaned, crops, size, first_id)

    def _place(self, crop: crop_grid.Crop, index: int, size: tuple[int, int]) -> candidates.Place:
        content = self._calls.content_size(crop.size)
        grid = level_sets.Grid(self._calls.low_size, self._calls.side, content, crop.size)
        return candidates.Place(crop, index, grid, size)

    def _find(self, places: list[candidates.Place], embeddings: Any) -> list[candidates.Candidates]:
        """Finds the masks of the crops of one batch, crop by crop, without duplicates in a crop."""
        points = [crop_grid.points(place.crop, self._grids) for place in places]
        owners = np.repeat(np.arange(len(places)), [len(p) for p in points])
        scaled = np.concatenate(
            [self._to_square(p, place.crop.size) for p, place in zip(points, places, strict=True)]
        )
        points = np.concatenate(points)
        found: list[list[candidates.Candidates]] = [[] for _ in places]
        for batch, iou, logits in self._calls.decode(embeddings, owners, scaled):
            for n in np.unique(owners[batch]).tolist():
                mine = slice(*np.searchsorted(owners[batch], [n, n + 1]))
                found[n].append(
                    candidates.judge(
                        places[n],
                        logits[mine].reshape(-1, *logits.shape[2:]),
                        iou[mine].ravel(),
                        np.repeat(points[batch][mine], iou.shape[1], axis=0),
                        self.settings,
                    )
                )
        return [self._distinct(parts) for parts in found]

    def _distinct(self, parts: list[candidates.Candidates]) -> candidates.Candidates:
        found = candidates.join(parts)
        threshold = self.settings.box_nms_thresh
        return found.take(candidates.distinct(found.boxes, found.predicted_iou, threshold))

    def _to_square(self, points: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """Moves points to the pixels of the model's square; each side has a scale of its own."""
        height, width = self._calls.content_size(size)
        return points * np.array([width / size[1], height / size[0]])

    def _records(
        self,
        found: candidates.Candidates,
        cleaned: np.ndarray,
        crops: list[crop_grid.Crop],
        size: tuple[int, int],
        first_id: int,
    ) -> list[dict[str, Any]]:
        boxes = found.boxes.copy()
        boxes[:, 2:] -= boxes[:, :2]
        return [
            {
                'id': first_id + n,
                'segmentation': self._segmentation(found.counts[n], size),
                'area': int(found.areas[n]),
                'bbox': (boxes[n] if cleaned[n] else boxes[n].astype(float)).tolist(),
                'predicted_iou': float(found.predicted_iou[n]),
                'point_coords': [found.points[n].tolist()],
                'stability_score': float(found.stability_score[n]),
                'crop_box': crops[found.crops[n]].box_xywh,
            }
            for n in range(len(found))
        ]

    def _segmentation(self, counts: bytes, size: tuple[int, int]) -> Any:
        if self.settings.output_mode == 'binary_mask':
            return coco_rle.decode([counts], size)[0].astype(bool)
        if self.settings.output_mode == 'uncompressed_rle':
            return {'size': list(size), 'counts': coco_rle.run_lengths([counts])[0].tolist()}
        return {'size': list(size), 'counts': counts.decode()}


def _check_image(image: np.ndarray) -> np.ndarray:
    image = np.asarray(image)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise ValueError(
            '`annotate.MaskGenerator.generate`: expected `image` to be uint8 [H, W, 3] with H, W >='
            f' 1; got {image.dtype} {list(image.shape)}. Convert it to RGB, 0 to 255.'
        )
    return image
