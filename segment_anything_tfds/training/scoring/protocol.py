"""SAM's protocol of clicks and boxes (Kirillov et al. 2023, section 7.1), image by image."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent import futures
from typing import Any, NamedTuple

import numpy as np

from segment_anything_tfds.training.prediction import compiling, enlarging, letterbox
from segment_anything_tfds.training.scoring import fullsize, next_click


class Judged(NamedTuple):
    """Scores of the masks of one image for one kind of prompt, float [N] each.

    Attributes:
      prompt: `'1_clicks'`, ..., or `'box'`.
      chosen: IoU of the output with the highest predicted IoU.
      oracle: IoU of the best of the outputs that the prompt asks for.
      boundary: Boundary IoU of the chosen output.
    """

    prompt: str
    chosen: np.ndarray
    oracle: np.ndarray
    boundary: np.ndarray


class Judge:
    """Judges a model on one image after another.

    Args:
      model: a `PromptableSegmenter`.
      clicks: numbers of clicks to judge.
      first_click: `'center'` or `'random'`.
      seed: of random first clicks.
      batch_size: prompts that are decoded at once; fewer are padded, so that one graph serves all.
      num_masks: of an image, the first ones; None for all.
    """

    def __init__(
        self,
        model,
        clicks: tuple[int, ...],
        first_click: str,
        seed: int,
        batch_size: int,
        num_masks: int | None,
    ):
        self._batch_size, self._num_masks = batch_size, num_masks
        self._clicks, self._first = clicks, first_click
        self._rng = np.random.default_rng(seed)
        self._square = int(model.backbone.prompt_encoder.input_image_size[0])
        self._points = max(clicks, default=1)
        self._encode, self._decode = compiling.halves(model)
        self._grid = 4 * int(model.backbone.prompt_encoder.image_embedding_size[0])

    def __call__(self, example: Mapping[str, Any]) -> tuple[np.ndarray, list[Judged]]:
        """Gives areas of the true masks [N], and their scores for each kind of prompt."""
        image = pixels_of(example['image']['content'])
        size = image.shape[:2]
        counts = example['annotations']['segmentation']['counts']
        truth = [fullsize.from_rle(bytes(text), size) for text in counts[: self._num_masks]]
        truth = [mask for mask in truth if mask.pixels.size]
        areas = np.array([mask.area for mask in truth], float)
        names = [*(f'{number}_clicks' for number in sorted(set(self._clicks))), 'box']
        if not truth:
            return areas, [Judged(name, *(np.zeros(0),) * 3) for name in names]
        parts: dict[str, list[tuple]] = {name: [] for name in names}
        with futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            scene = self._look(image, pool)
            for some in _batches(truth, self._batch_size):
                for name, scores in self._judge(scene, some):
                    parts[name].extend(scores)
        return areas, [Judged(name, *np.array(parts[name]).T) for name in names]

    def _look(self, image: np.ndarray, pool: futures.Executor) -> _Scene:
        size = image.shape[:2]
        square, content = letterbox.place(image, self._square)
        embeddings = self._encode(square[None], np.array([content], np.int32))
        enlarger = enlarging.Enlarger(size, content, self._square, self._grid)
        return _Scene(embeddings, content, size, enlarger, pool)

    def _judge(self, scene: _Scene, truth: list[fullsize.Window]) -> Iterator[tuple]:
        """Yields a name and the scores of each mask: (chosen, oracle, boundary)."""
        distance = fullsize.boundary_distance(scene.size)
        edges = scene.each(fullsize.boundary, truth, [distance] * len(truth))
        prompts = self._nothing(scene, len(truth))
        # Scaled without a shift by half a pixel, as SAM's `ResizeLongestSide.apply_coords` does.
        corners = np.array([mask.corners for mask in truth], np.float32)
        prompts['boxes_xyxy'][0, : len(truth)] = corners * np.tile(scene.scale, 2)
        prompts['has_box'][0, : len(truth)] = 1
        yield 'box', self._score(scene, prompts, truth, edges)[0]
        prompts, guesses = self._nothing(scene, len(truth)), [fullsize.NOTHING] * len(truth)
        for number in range(1, self._points + 1):
            for index, click in enumerate(self._next(scene, truth, guesses, number == 1)):
                prompts['point_coords'][0, index, number - 1] = scene.scale * (click.x, click.y)
                prompts['point_labels'][0, index, number - 1] = click.label
            wanted = edges if number in self._clicks else None
            scores, guesses, logits = self._score(scene, prompts, truth, wanted)
            prompts['mask_input'][0, : len(truth)] = logits
            prompts['has_mask_input'][0, : len(truth)] = 1
            if number in self._clicks:
                yield f'{number}_clicks', scores

    def _nothing(self, scene: _Scene, masks: int) -> dict[str, np.ndarray]:
        """Makes empty prompts for some masks, up to a number that has a graph; see `_padded`."""
        count = _padded(masks, self._batch_size)
        return {
            'content_size': np.array([scene.content], np.int32),
            'point_coords': np.zeros((1, count, self._points, 2), np.float32),
            'point_labels': np.full((1, count, self._points), -1, np.int32),
            'boxes_xyxy': np.zeros((1, count, 4), np.float32),
            'has_box': np.zeros((1, count), np.float32),
            'mask_input': np.zeros((1, count, self._grid, self._grid), np.float32),
            'has_mask_input': np.zeros((1, count), np.float32),
        }

    def _next(self, scene: _Scene, truth, guesses, first: bool) -> list[next_click.Click]:
        if not first:
            return scene.each(next_click.correction, truth, guesses)
        if self._first == 'random':
            return [next_click.anywhere(mask, self._rng) for mask in truth]
        return scene.each(next_click.center, truth)

    def _score(self, scene: _Scene, prompts, truth, edges):
        """Gives scores of each mask, the chosen masks, and their logits [n, grid, grid].

        Without `edges`, the boundaries of the true masks, there are no scores.
        """
        outputs = self._decode(scene.embeddings, prompts)
        logits, predicted, allowed = (
            _numpy(outputs[name])[0, : len(truth)] for name in ('masks', 'iou_pred', 'candidates')
        )
        best = np.where(allowed > 0, predicted, -np.inf).argmax(axis=1)
        chosen = logits[np.arange(len(truth)), best]
        guesses = scene.each(scene.enlarge, chosen)
        if edges is None:
            return None, guesses, chosen
        rest = [
            [outputs[n] for n in np.flatnonzero(may) if n != first]
            for outputs, may, first in zip(logits, allowed, best, strict=True)
        ]
        return scene.each(scene.score, truth, guesses, edges, rest), guesses, chosen


def _batches(masks: list, size: int) -> Iterator[list]:
    """Cuts masks into batches of `size`, what is left over into those of a quarter of it."""
    # 13 masks in batches of 8, a quarter of which is 2: 8 2 2 1. 15 masks: 8 and 7, since more
    # than 6 are not worth four small batches.
    start = 0
    while start < len(masks):
        step = size if len(masks) - start > size - _quarter(size) else _quarter(size)
        yield masks[start : start + step]
        start += step


def _padded(count: int, size: int) -> int:
    """Rounds a number of prompts up to one of two, so that two graphs serve all."""
    return size if count > _quarter(size) else _quarter(size)


def _quarter(size: int) -> int:
    return max(1, size // 4)


class _Scene(NamedTuple):
    """An image that was encoded: its embeddings, sizes (height, width), and way back to them."""

    embeddings: Any
    content: tuple[int, int]
    size: tuple[int, int]
    enlarger: enlarging.Enlarger
    pool: futures.Executor

    def each(self, function: Callable, *masks) -> list:
        """Calls a function on each mask; NumPy and SciPy let several cores work."""
        return list(self.pool.map(function, *masks))

    def enlarge(self, logits: np.ndarray) -> fullsize.Window:
        """Enlarges logits [grid, grid] to the mask."""
        top, left, pixels = self.enlarger.mask(logits)
        return fullsize.cut(pixels, top, left)

    def score(self, truth, guess, edge, others) -> tuple[float, float, float]:
        """Measures IoU, that of the best output, `others` included, and Boundary IoU."""
        iou = fullsize.iou(truth, guess)
        best = max([iou, *(fullsize.iou(truth, self.enlarge(other)) for other in others)])
        distance = fullsize.boundary_distance(self.size)
        return iou, best, fullsize.iou(edge, fullsize.boundary(guess, distance))

    @property
    def scale(self) -> np.ndarray:
        """From (x, y) of the image to those of the model's square."""
        return np.array([self.content[n] / self.size[n] for n in (1, 0)], np.float32)


def pixels_of(content: bytes | np.ndarray) -> np.ndarray:
    """Returns uint8 [H, W, 3] of a JPEG, or of an image that is decoded already."""
    if not isinstance(content, bytes):
        return np.asarray(content)
    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(content)).convert('RGB'))


def _numpy(tensor) -> np.ndarray:
    from keras import ops

    return ops.convert_to_numpy(tensor)
