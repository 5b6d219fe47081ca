"""Prediction on one image after another, with the names of Meta's `SamPredictor`."""

from __future__ import annotations

from typing import Any

import numpy as np

from segment_anything_tfds.training.prediction import enlarging, letterbox

_FEWEST_POINTS = 4  # slots for clicks, so that the second click needs no other graph than the first
_MOST_PROMPTS = 64  # decoded at once


class Predictor:
    """Encodes an image once, then gives masks for any prompts on it.

    The model is compiled at the first call; clicks after that take milliseconds. Works on every
    Keras backend.

    Args:
      model: a `PromptableSegmenter`, or a KerasHub SAM, which is wrapped.

    Attributes:
      original_size: height and width of the image, None without one.
      input_size: the same inside of the model's square.

    Example:
      >>> predictor = Predictor(model)
      >>> predictor.set_image(np.zeros([60, 90, 3], np.uint8))
      >>> masks, scores, low_res = predictor.predict(
      ...     point_coords=np.array([[45, 30]]), point_labels=np.array([1])
      ... )
      >>> masks.shape
      (3, 60, 90)
    """

    def __init__(self, model):
        from segment_anything_tfds.training.prediction import compiling
        from segment_anything_tfds.training.sam import promptable

        if not isinstance(model, promptable.PromptableSegmenter):
            model = promptable.PromptableSegmenter(model)
        self.model = model
        self.image_size = int(model.backbone.prompt_encoder.input_image_size[0])
        self._grid = 4 * int(model.backbone.prompt_encoder.image_embedding_size[0])
        self._encode, self._decode = compiling.halves(model)
        self.reset_image()

    def reset_image(self) -> None:
        """Forgets the image."""
        self._features = self._enlarger = self.original_size = self.input_size = None

    def set_image(self, image: np.ndarray, image_format: str = 'RGB') -> None:
        """Encodes an image, resized to the model's longest side as PIL does.

        Args:
          image: uint8 [H, W, 3].
          image_format: order of its channels, `'RGB'`, or `'BGR'` as OpenCV has it.

        Raises:
          ValueError: another shape, dtype or format.
        """
        if image_format not in ('RGB', 'BGR'):
            raise ValueError(
                f"Predictor.set_image: expected `image_format` 'RGB' or 'BGR'; got {image_format!r}"
                '. Name the order of the channels.'
            )
        image = np.asarray(image)
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
            raise ValueError(
                'Predictor.set_image: expected `image` uint8 [H, W, 3]; got '
                f'{image.dtype} {list(image.shape)}. Decode it to RGB.'
            )
        self.reset_image()
        image = image if image_format == 'RGB' else image[..., ::-1]
        canvas, content = letterbox.place(image, self.image_size)
        self._features = self._encode(canvas[None], np.array([content], np.int32))
        self._enlarger = enlarging.Enlarger(image.shape[:2], content, self.image_size, self._grid)
        self.original_size, self.input_size = image.shape[:2], content

    def predict(
        self,
        point_coords: np.ndarray | None = None,
        point_labels: np.ndarray | None = None,
        box: np.ndarray | None = None,
        mask_input: np.ndarray | None = None,
        multimask_output: bool = True,
        return_logits: bool = False,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Predicts masks for one prompt, or for N where points are [N, P, 2] or boxes [N, 4].

        Args:
          point_coords: x, y in pixels of the image, [P, 2] or [N, P, 2].
          point_labels: 1 foreground, 0 background, [P] or [N, P]; -1 for none.
          box: x0, y0, x1, y1 in pixels of the image, [4] or [N, 4].
          mask_input: logits of an earlier call, [1, h, w] or [N, 1, h, w].
          multimask_output: give the three masks for ambiguous prompts, not the single one.
          return_logits: give logits in place of masks.

        Returns:
          `(masks, scores, low_res_logits)`: bool (or float32) [M, H, W], float32 [M] and
          float32 [M, h, w], each with a leading N where the prompts have it, N = 1 as well (where
          Meta's leaves it out).

        Raises:
          ValueError: no image yet, points without labels, shapes that do not agree, other labels,
            or numbers that are not finite, given or got from the model.
        """
        prompts, many = self._prompts(point_coords, point_labels, box, mask_input)
        low, scores = self._decoded(prompts)
        chosen = slice(1, None) if multimask_output else slice(0, 1)
        low, scores = np.ascontiguousarray(low[:, chosen]), scores[:, chosen]
        kind = np.float32 if return_logits else bool
        masks = np.zeros((*low.shape[:2], *self.original_size), kind)
        for index in np.ndindex(low.shape[:2]):
            if return_logits:
                masks[index] = self._enlarger.logits(low[index])
                continue
            top, left, pixels = self._enlarger.mask(low[index])
            masks[index][top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
        return (masks, scores, low) if many else (masks[0], scores[0], low[0])

    def predict_records(
        self,
        point_coords: np.ndarray | None = None,
        point_labels: np.ndarray | None = None,
        box: np.ndarray | None = None,
        mask_input: np.ndarray | None = None,
        multimask_output: bool = True,
        *,
        style: str = 'sa1b',
        image_id: int = 0,
    ) -> Any:
        """Predicts as `predict`; of each prompt the mask with the highest score, as a record.

        Args:
          point_coords: as in `predict`.
          point_labels: as in `predict`.
          box: as in `predict`.
          mask_input: as in `predict`.
          multimask_output: as in `predict`.
          style: `'sa1b'` or `'coco'`.
          image_id: of the image.

        Returns:
          `'sa1b'`: a record as in SA-1B's archives, a dict of `image` and `annotations`, with the
          stability score of Meta's generator; `'coco'`: a list of COCO results. Masks without a
          pixel are left out.

        Raises:
          ValueError: as `predict`, or an unknown `style`.
        """
        from segment_anything_tfds.training.prediction import mask_records

        mask_records.check_style(style)
        prompts, _ = self._prompts(point_coords, point_labels, box, mask_input)
        low, scores = self._decoded(prompts)
        first = 1 if multimask_output else 0
        best = first + scores[:, first : None if multimask_output else 1].argmax(axis=1)
        clicks = None if point_coords is None else np.reshape(point_coords, (len(low), -1, 2))
        labels = None if clicks is None else np.reshape(point_labels, (len(low), -1))
        found = (  # one after another, since each is as large as the image
            mask_records.Found(
                self._enlarger.logits(low[n, best[n]]),
                float(scores[n, best[n]]),
                None if clicks is None else mask_records.first_click(clicks[n], labels[n]),
            )
            for n in range(len(low))
        )
        return mask_records.make(found, self.original_size, style, image_id)

    def _prompts(self, points, labels, box, mask) -> tuple[dict[str, np.ndarray], bool]:
        """Gives the prompts [N, ...] as the model takes them, and whether there may be many."""
        if self._features is None:
            raise ValueError('Predictor.predict: expected an image; got none. Call `set_image`.')
        if (points is None) != (labels is None):
            raise ValueError(
                'Predictor.predict: expected `point_coords` and `point_labels` together; '
                'got one of them. Give both.'
            )
        many = np.ndim(points) == 3 or np.ndim(box) == 2 or np.ndim(mask) == 4
        count = self._count(points, labels, box, mask)
        _check_values(points, labels, box, mask)
        scale = np.array(self.input_size[::-1]) / np.array(self.original_size[::-1])
        given = 0 if points is None else np.shape(points)[-2]
        slots = _power_of_two(max(given, _FEWEST_POINTS))
        prompts = {
            'point_coords': np.zeros((count, slots, 2), np.float32),
            'point_labels': np.full((count, slots), -1, np.int32),
            'boxes_xyxy': np.zeros((count, 4), np.float32),
            'has_box': np.full(count, box is not None, np.float32),
            'mask_input': np.zeros((count, self._grid, self._grid), np.float32),
            'has_mask_input': np.full(count, mask is not None, np.float32),
        }
        if points is not None:
            prompts['point_coords'][:, :given] = np.reshape(points, (count, given, 2)) * scale
            prompts['point_labels'][:, :given] = np.reshape(labels, (count, given))
        if box is not None:
            prompts['boxes_xyxy'][:] = np.reshape(box, (count, 4)) * np.tile(scale, 2)
        if mask is not None:
            prompts['mask_input'][:] = np.reshape(mask, (count, self._grid, self._grid))
        return prompts, many

    def _count(self, points, labels, box, mask) -> int:
        """Counts the prompts; raises ValueError for shapes that do not agree."""
        grid = (self._grid, self._grid)
        shapes = {
            'point_coords': (points, (None, 2), '[P, 2] or [N, P, 2]'),
            'box': (box, (4,), '[4] or [N, 4]'),
            'mask_input': (mask, (1, *grid), f'{[1, *grid]} or {["N", 1, *grid]}'),
        }
        counts = {}
        for name, (value, shape, rule) in shapes.items():
            found = np.shape(value)
            if value is None:
                continue
            tail = found[-len(shape) :]
            fits = all(want in (None, have) for want, have in zip(shape, tail, strict=False))
            if len(found) - len(shape) not in (0, 1) or not fits:
                raise ValueError(
                    f'Predictor.predict: expected `{name}` {rule}; got {list(found)}. Reshape it.'
                )
            counts[name] = found[0] if len(found) > len(shape) else 1
        if points is not None and np.shape(labels) != np.shape(points)[:-1]:
            raise ValueError(
                f'Predictor.predict: expected `point_labels` {list(np.shape(points)[:-1])}, one a '
                f'point; got {list(np.shape(labels))}. Give 1 or 0 for each.'
            )
        if len(set(counts.values())) > 1 or 0 in counts.values():
            raise ValueError(
                f'Predictor.predict: expected as many points, boxes and masks, 1 or more; got '
                f'{counts}. Give one of each kind for each prompt.'
            )
        return next(iter(counts.values()), 1)

    def _decoded(self, prompts: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Decodes all outputs, a power of two a call: logits [N, M, h, w] and scores [N, M]."""
        from keras import ops

        count, found = len(prompts['has_box']), []
        for start in range(0, count, _MOST_PROMPTS):
            part = {name: x[start : start + _MOST_PROMPTS] for name, x in prompts.items()}
            length = len(part['has_box'])
            # filled up with the last prompt, so that few shapes are compiled: 5 prompts are 8
            index = np.minimum(np.arange(_power_of_two(length)), length - 1)
            outputs = self._decode(
                self._features, {name: x[index][None] for name, x in part.items()}
            )
            values = outputs['masks'], outputs['iou_pred']
            found.append([ops.convert_to_numpy(x)[0, :length] for x in values])
        low, scores = (np.concatenate(parts) for parts in zip(*found, strict=True))
        for name, values in (('logits', low), ('scores', scores)):
            if not np.isfinite(values).all():
                raise ValueError(
                    f'Predictor.predict: expected the model to give finite {name}; got '
                    f'{values[~np.isfinite(values)][0]}. Check its weights, and the precision of '
                    'its layers.'
                )
        return low, scores


def _check_values(points, labels, box, mask) -> None:
    """Raises ValueError for numbers that are no place or no logit, and for unknown labels."""
    for name, given in (('point_coords', points), ('box', box), ('mask_input', mask)):
        values = np.zeros(0) if given is None else np.asarray(given, float)
        if not np.isfinite(values).all():
            raise ValueError(
                f'Predictor.predict: expected `{name}` of finite numbers; got '
                f'{values[~np.isfinite(values)][0]}. Leave out what is not known.'
            )
    values = np.zeros(0) if labels is None else np.asarray(labels, float)
    if not np.isin(values, (-1, 0, 1)).all():
        raise ValueError(
            'Predictor.predict: expected `point_labels` of 1, 0 or -1; got '
            f'{values[~np.isin(values, (-1, 0, 1))][0]:g}. Give 1 for the object, 0 beside it.'
        )


def _power_of_two(number: int) -> int:
    """Gives the smallest power of two that is not below."""
    return 1 << max(0, number - 1).bit_length()
