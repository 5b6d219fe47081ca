"""The model's two halves, compiled once each for a batch of a fixed shape, on any Keras backend."""

from __future__ import annotations

import dataclasses
import functools
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from keras import ops

from segment_anything_tfds.annotate import crop_grid, precision
from segment_anything_tfds.annotate import settings as settings_lib
from segment_anything_tfds.training.prediction import compiling, letterbox

# Bytes that a head's attention between all tokens may take for a batch of crops: a crop of 1024
# pixels takes 67 MB.
_ATTENTION_BYTES = {'cpu': 64 << 20, 'accelerator': 512 << 20}
_MOST_CROPS = 4
# Bytes that the decoder's enlarged features may take for a batch of points on a CPU, where smaller
# batches are as fast. A point takes 8 MB in Meta's models, and the decoder holds some three copies.
_FEATURE_BYTES = 128 << 20


class ModelCalls:
    """Crops in, embeddings out; prompts in, logits out.

    Args:
      model: a `training.PromptableSegmenter`.
      settings: of which the sizes of batches and `multimask_output` count; on a CPU, a batch of
        points may be smaller for a large model, to save memory.

    Attributes:
      side: of the square that the model sees, in pixels.
      low_size: [h, w] of the logits.
    """

    def __init__(self, model: Any, settings: settings_lib.Settings):
        self.side = int(model.backbone.image_encoder.input.shape[1])
        self.low_size = (self.side // 4, self.side // 4)
        self._settings = settings
        self._crops = settings.crops_per_batch or _fitting_crops(model)
        self._points = min(settings.points_per_batch, _fitting_points(model))
        self._halves = _halves(model, len(model.variables))

    def content_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """Returns [height, width] of a crop of `size` in the square, at least 1 x 1."""
        return letterbox.fitted(size, self.side)

    def encode(
        self, image: np.ndarray, crops: Sequence[crop_grid.Crop]
    ) -> Iterator[tuple[range, Any]]:
        """Embeds crops, batch by batch.

        Batches are as large as the settings say. What is left over goes one by one, so there are
        two shapes to compile, and no crop is encoded for nothing.

        Args:
          image: uint8 [H, W, 3].
          crops: N parts of it.

        Yields:
          Positions in `crops`, and the embeddings of those crops [B, h, w, C], a tensor of the
          backend.
        """
        step, position = self._crops, 0
        while position < len(crops):
            if position + step > len(crops):
                step = 1
            batch = range(position, position + step)
            pictures, sizes = zip(*(self._fit(image, crops[n]) for n in batch), strict=True)
            yield batch, self._halves.encode(np.stack(pictures), np.array(sizes, np.int32))
            position += step

    def _fit(self, image: np.ndarray, crop: crop_grid.Crop) -> tuple[np.ndarray, tuple[int, int]]:
        """Resizes a crop as SAM does, to the square's upper left; also gives its size there."""
        part = image[crop.top : crop.bottom, crop.left : crop.right]
        return letterbox.place(part, self.side)

    def decode(
        self, embeddings: Any, owners: np.ndarray, points: np.ndarray
    ) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
        """Decodes masks for prompts of one point each, batch by batch.

        Args:
          embeddings: [B, h, w, C], of B crops.
          owners: int [P], the crop of each point.
          points: float [P, 2] (x, y), in pixels of the square.

        Yields:
          Which of the points, predicted IoU float32 [p, M], and logits float32 [p, M, h, w].
        """
        step = self._points
        for start in range(0, len(points), step):
            batch = slice(start, min(start + step, len(points)))
            count = batch.stop - start
            # the last prompt fills the batch up, so that one shape is compiled
            index = np.minimum(np.arange(start, start + step), len(points) - 1)
            owner, point = owners[index].astype(np.int32), points[index].astype(np.float32)
            iou, logits = map(_to_numpy, self._halves.decode(embeddings, owner, point))
            chosen = slice(1, None) if self._settings.multimask_output else slice(0, 1)
            iou, logits = iou[:, chosen], logits[:, chosen]
            if self._settings.use_m2m:
                iou, logits = self._refine(embeddings, owner, point, logits)
            yield batch, iou[:count], logits[:count]

    def _refine(self, embeddings, owner, point, logits):
        """Decodes each mask once more from its own logits, M calls of the fixed shape."""
        parts = [
            self._halves.refine(embeddings, owner, point, np.ascontiguousarray(logits[:, n]))
            for n in range(logits.shape[1])
        ]
        iou, refined = (
            [_to_numpy(part)[:, :1] for part in kind] for kind in zip(*parts, strict=True)
        )
        return np.concatenate(iou, axis=1), np.concatenate(refined, axis=1)


def _fitting_crops(model: Any) -> int:
    """Tells how many crops to encode at once, where the settings leave it open."""
    encoder = model.backbone.image_encoder
    tokens = (encoder.input.shape[1] // encoder.patch_size) ** 2
    device = 'accelerator' if precision.has_accelerator() else 'cpu'
    # heads come in turns, so a crop's attention is one float32 [tokens, tokens] at a time
    fitting = _ATTENTION_BYTES[device] // (4 * tokens**2)
    return min(max(1, fitting), _MOST_CROPS)


def _fitting_points(model: Any) -> int:
    """Tells how many points to decode at once, at most."""
    if precision.has_accelerator():
        return sys.maxsize
    _, height, width, channels = model.backbone.image_encoder.output_shape
    # a point's features: float32 [4 h, 4 w, C / 8]
    enlarged = 4 * (4 * height) * (4 * width) * (channels // 8)
    return max(1, _FEATURE_BYTES // enlarged)


@dataclasses.dataclass(frozen=True)
class _Halves:
    """Compiled functions of a model.

    Attributes:
      encode: pictures uint8 [B, S, S, 3] and content sizes [B, 2] give embeddings.
      decode: embeddings [B, h, w, C], owners [P] and points [P, 2] give predicted IoU [P, 4] and
        logits [P, 4, h, w].
      refine: as `decode`, with logits [P, h, w] of a mask before.
    """

    encode: Callable
    decode: Callable
    refine: Callable


@functools.lru_cache(maxsize=1)
def _halves(model: Any, variables: int) -> _Halves:
    """Compiles once for all settings that a model is used with, until LoRA adds variables."""
    del variables

    def decode(embeddings, owner, point, **prompts):
        prompts = {**_click(point), **prompts}
        outputs = model.decode(ops.take(embeddings, owner, axis=0), prompts)
        return outputs['iou_pred'][:, 0], outputs['masks'][:, 0]

    def refine(embeddings, owner, point, logits):
        given = ops.ones_like(point[:, :1])
        return decode(embeddings, owner, point, mask_input=logits[:, None], has_mask_input=given)

    return _Halves(
        compiling.halves(model)[0],
        compiling.compiled(
            model, lambda embeddings, owner, point: decode(embeddings, owner, point)
        ),
        compiling.compiled(model, refine),
    )


def _click(point) -> dict[str, Any]:
    """Makes prompts of one foreground point an element: [P, 1, 1, 2] and [P, 1, 1]."""
    return {
        'point_coords': point[:, None, None],
        'point_labels': ops.ones_like(point[:, :1, None], dtype='int32'),
    }


def _to_numpy(x) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(ops.cast(x, 'float32')))
