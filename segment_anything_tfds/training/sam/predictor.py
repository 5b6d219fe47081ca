"""Prediction on one image after another, with the names of Meta's `SamPredictor`."""

from __future__ import annotations

import numpy as np
from PIL import Image


class Predictor:
    """Encodes an image once, then gives masks for any prompts on it.

    Args:
      model: a `PromptableSegmenter`, or a KerasHub SAM, which is wrapped.

    Example:
      >>> predictor = Predictor(model)
      >>> predictor.set_image(np.zeros([60, 90, 3], np.uint8))
      >>> masks, scores, low_res = predictor.predict(
      ...     point_coords=np.array([[45, 30]]), point_labels=np.array([1])
      ... )
    """

    def __init__(self, model):
        from segment_anything_tfds.training.sam import promptable

        if not isinstance(model, promptable.PromptableSegmenter):
            model = promptable.PromptableSegmenter(model)
        self.model = model
        self.image_size = model.backbone.image_encoder.image_shape[0]
        self.reset_image()

    def reset_image(self) -> None:
        """Forgets the image."""
        self._features = self.original_size = self.input_size = None

    def set_image(self, image: np.ndarray) -> None:
        """Encodes an image, resized to the model's longest side as PIL does.

        Args:
          image: RGB, uint8 [H, W, 3].

        Raises:
          ValueError: another shape or dtype.
        """
        image = np.asarray(image)
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
            raise ValueError(
                'Predictor.set_image: expected `image` uint8 [H, W, 3]; got '
                f'{image.dtype} {list(image.shape)}. Decode it to RGB.'
            )
        self.original_size = image.shape[:2]
        scale = self.image_size / max(self.original_size)
        self.input_size = tuple(max(1, int(side * scale + 0.5)) for side in self.original_size)
        height, width = self.input_size
        resized = Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR)
        canvas = np.zeros((1, self.image_size, self.image_size, 3), np.uint8)
        canvas[0, :height, :width] = np.asarray(resized)
        self._features = self.model.encode(canvas, np.array([[height, width]], np.int32))

    def predict(
        self,
        point_coords: np.ndarray | None = None,
        point_labels: np.ndarray | None = None,
        box: np.ndarray | None = None,
        mask_input: np.ndarray | None = None,
        multimask_output: bool = True,
        return_logits: bool = False,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Masks for one prompt, or for N prompts where points are [N, P, 2] or boxes [N, 4].

        Args:
          point_coords: x, y in pixels of the image, [P, 2] or [N, P, 2].
          point_labels: 1 foreground, 0 background, [P] or [N, P].
          box: x0, y0, x1, y1 in pixels of the image, [4] or [N, 4].
          mask_input: logits of an earlier call, [1, h, w] or [N, 1, h, w].
          multimask_output: give the three masks for ambiguous prompts, not the single one.
          return_logits: give logits in place of masks.

        Returns:
          `(masks, scores, low_res_logits)`: bool (or float32) [M, H, W], float32 [M] and
          float32 [M, h, w], each with a leading N where the prompts have it.

        Raises:
          ValueError: no image yet, points without labels, or shapes that do not agree.
        """
        prompts, many = self._prompts(point_coords, point_labels, box, mask_input)
        outputs = self.model.decode(self._features, prompts)
        chosen = slice(1, None) if multimask_output else slice(0, 1)
        low = np.array(_numpy(outputs['masks'])[0, :, chosen])
        scores = np.array(_numpy(outputs['iou_pred'])[0, :, chosen])
        masks = self._enlarged(low)
        masks = masks if return_logits else masks > 0
        return (masks, scores, low) if many else (masks[0], scores[0], low[0])

    def _prompts(self, points, labels, box, mask):
        """The prompts as the model takes them, and whether there are many."""
        if self._features is None:
            raise ValueError('Predictor.predict: expected an image; got none. Call `set_image`.')
        if (points is None) != (labels is None):
            raise ValueError(
                'Predictor.predict: expected `point_coords` and `point_labels` together; '
                'got one of them. Give both.'
            )
        many = np.ndim(points) == 3 or np.ndim(box) == 2 or np.ndim(mask) == 4
        given = [
            np.reshape(x, (-1, *np.shape(x)[-rank:]))
            for x, rank in ((points, 2), (box, 1), (mask, 2))
            if x is not None
        ]
        counts = {len(x) for x in given}
        if len(counts) > 1:
            raise ValueError(
                f'Predictor.predict: expected as many points, boxes and masks; got {counts}. '
                'Give one of each kind for each prompt.'
            )
        count = counts.pop() if counts else 1
        scale = np.array(self.input_size[::-1]) / np.array(self.original_size[::-1])
        points = (
            np.zeros((count, 1, 2))
            if points is None
            else np.reshape(points, (count, -1, 2)) * scale
        )
        labels = np.full((count, 1), -1) if labels is None else np.reshape(labels, (count, -1))
        prompts = {
            'point_coords': points[None].astype(np.float32),
            'point_labels': labels[None].astype(np.int32),
        }
        if box is not None:
            corners = np.reshape(box, (count, 2, 2)) * scale
            prompts['boxes_xyxy'] = corners.reshape(1, count, 4).astype(np.float32)
            prompts['has_box'] = np.ones((1, count), np.float32)
        if mask is not None:
            side = np.shape(mask)[-1]
            prompts['mask_input'] = np.reshape(mask, (1, count, -1, side)).astype(np.float32)
            prompts['has_mask_input'] = np.ones((1, count), np.float32)
        return prompts, many

    def _enlarged(self, low: np.ndarray) -> np.ndarray:
        """Logits [..., h, w] at the image's size, as Meta's `postprocess_masks`: twice bilinear."""
        rows, columns = (
            _bilinear(original, content) @ _bilinear(self.image_size, low.shape[-1])[:content]
            for original, content in zip(self.original_size, self.input_size, strict=True)
        )
        return rows @ low @ columns.T


def _bilinear(target: int, source: int) -> np.ndarray:
    """The matrix [target, source] of bilinear resizing, pixels as areas.

    2 pixels to 4, whose centres lie at -0.25, 0.25, 0.75 and 1.25 of the source:
    [[1, 0], [0.75, 0.25], [0.25, 0.75], [0, 1]].
    """
    place = np.maximum((np.arange(target) + 0.5) * (source / target) - 0.5, 0)
    low = np.minimum(place.astype(int), source - 1)
    high, share = np.minimum(low + 1, source - 1), place - low
    matrix = np.zeros((target, source), np.float32)
    np.add.at(matrix, (np.arange(target), low), 1 - share)
    np.add.at(matrix, (np.arange(target), high), share)
    return matrix


def _numpy(tensor) -> np.ndarray:
    import keras

    return keras.ops.convert_to_numpy(tensor)
