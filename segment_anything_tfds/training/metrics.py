"""Metrics of promptable segmentation, as Keras objects on `keras.ops`.

Each takes `y_true` masks [..., H, W] and `y_pred`, either logits [..., H, W] or the dict that the
model gives (`masks` logits [..., M, H, W], `iou_pred` [..., M], optionally `candidates` [..., M]
and `content` [..., 2], by which the padding does not count).
Of the M masks the one with the highest predicted IoU is judged, as SAM's predictor does, or with
`choose='best'` the one nearest to the truth ("oracle" in SAM's section 7.1). Of several targets a
prompt, `y_true` [..., T, H, W], the first is judged, the prompted one. `sample_weight` [...] is the
validity of the masks.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import keras
from keras import ops

from segment_anything_tfds.training import losses, resolution
from segment_anything_tfds.training.tensors import Tensor


class _MaskMetric(keras.metrics.Mean):
    """The mean over masks of `_score`."""

    def __init__(self, choose='predicted', *, name=None, **kwargs):
        super().__init__(name=name, **kwargs)
        if choose not in ('predicted', 'best'):
            raise ValueError(
                f"metrics.{type(self).__name__}: expected `choose` 'predicted' or 'best'; "
                f'got {choose!r}. Choose one.'
            )
        self.choose = choose

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Adds masks; padded ones weigh nothing."""
        y_true = ops.convert_to_tensor(y_true)
        if not isinstance(y_pred, dict):
            score = self._score(ops.cast(y_true, 'float32'), ops.convert_to_tensor(y_pred), None)
            return super().update_state(score, sample_weight)
        if len(y_true.shape) == len(y_pred['masks'].shape):
            y_true = y_true[..., 0, :, :]
        if self.choose == 'predicted':
            shown = choose_mask(y_pred)[0]
        else:
            shown = ops.convert_to_tensor(y_pred['masks'])
        arrays = [shown, *([y_pred['content']] if 'content' in y_pred else [])]
        if resolution.is_multiple(y_true.shape, shown.shape):
            leading = len(y_true.shape) - 2
            scores = resolution.each_mask(self._scores, leading, y_true, *arrays)
        else:
            scores = self._scores(y_true, *arrays)
        if self.choose == 'best':
            scores = ops.max(ops.where(losses.candidates_of(y_pred), scores, 0.0), axis=-1)
        return super().update_state(scores, sample_weight)

    def _scores(self, truth, logits, share=None):
        """Scores each mask [..., h, w] or output [..., M, h, w], enlarged to the truth's size."""
        truth = ops.cast(truth, 'float32')
        if resolution.is_multiple(truth.shape, logits.shape):
            logits = resolution.enlarged(logits, *truth.shape[-2:])
        inside = losses.inside_of({} if share is None else {'content': share}, logits)
        if len(truth.shape) < len(logits.shape):
            truth = ops.broadcast_to(ops.expand_dims(truth, -3), ops.shape(logits))
        return self._score(truth, logits, inside)

    def get_config(self):
        return {**super().get_config(), 'choose': self.choose}


@keras.saving.register_keras_serializable('segment_anything_tfds')
class MeanMaskIoU(_MaskMetric):
    """Mean over masks of the IoU with the truth: "mIoU" in SAM's section 7.1.

    Two empty masks have an IoU of 1. With no valid mask the result is 0.

    Args:
      choose: `'predicted'` (highest predicted IoU) or `'best'` (nearest to the truth).
      name: name of the metric.

    Raises:
      ValueError: where `choose` is none of the two, or the shapes differ.

    Example:
      >>> metric = MeanMaskIoU()
      >>> metric.update_state(ops.ones([1, 4, 4]), ops.ones([1, 4, 4]))
      >>> float(metric.result())
      1.0
    """

    def __init__(self, choose='predicted', *, name='mean_iou', **kwargs):
        super().__init__(choose, name=name, **kwargs)

    def _score(self, y_true, logits, inside):
        losses.check_masks('metrics.MeanMaskIoU', y_true, logits)
        return losses.mask_iou(y_true, logits, inside)


@keras.saving.register_keras_serializable('segment_anything_tfds')
class BoundaryIoU(_MaskMetric):
    """Mean over masks of the Boundary IoU (Cheng et al. 2021).

    The IoU of the two boundaries, each the pixels of a mask no further than d from its contour; d
    is 2 % of the image's diagonal, at least 1 pixel, and the image's edge counts as contour, as in
    the authors' `boundary-iou-api`.

    Args:
      choose: `'predicted'` (highest predicted IoU) or `'best'` (nearest to the truth).
      dilation_ratio: d as a share of the diagonal of [H, W].
      name: name of the metric.

    Raises:
      ValueError: where `choose` is none of the two, or the shapes differ.

    Example:
      >>> metric = BoundaryIoU()
      >>> metric.update_state(ops.ones([1, 4, 4]), ops.ones([1, 4, 4]))
      >>> float(metric.result())
      1.0
    """

    def __init__(self, choose='predicted', *, dilation_ratio=0.02, name='boundary_iou', **kwargs):
        super().__init__(choose, name=name, **kwargs)
        self.dilation_ratio = dilation_ratio

    def _score(self, y_true, logits, inside):
        losses.check_masks('metrics.BoundaryIoU', y_true, logits)
        height, width = y_true.shape[-2:]
        distance = max(1, round(self.dilation_ratio * math.hypot(height, width)))
        truth, guess = ops.cast(y_true > 0.5, 'float32'), ops.cast(logits > 0, 'float32')
        if inside is not None:  # so that the image's edge is an edge of the mask
            truth, guess = truth * inside, guess * inside
        # `mask_iou` takes logits, whose sign counts: 1 and 0 become 0.5 and -0.5
        return losses.mask_iou(mask_boundary(truth, distance), mask_boundary(guess, distance) - 0.5)

    def get_config(self):
        return {**super().get_config(), 'dilation_ratio': self.dilation_ratio}


def choose_mask(y_pred: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Chooses the output with the highest predicted IoU.

    Args:
      y_pred: dict of `masks` [..., M, H, W], `iou_pred` [..., M], optionally `candidates` [..., M].

    Returns:
      `(logits, iou_pred)`: [..., H, W] and [...].

    Example:
      >>> outputs = {'masks': ops.reshape(ops.arange(3), [3, 1, 1]), 'iou_pred': [0.2, 0.9, 0.5]}
      >>> logits, iou = choose_mask(outputs)
      >>> ops.convert_to_numpy(logits).tolist(), round(float(iou), 3)
      ([[1]], 0.9)
    """
    iou_pred = ops.convert_to_tensor(y_pred['iou_pred'])
    ranked = ops.where(losses.candidates_of(y_pred), iou_pred, -1e9)
    best = ops.expand_dims(ops.argmax(ranked, axis=-1), -1)
    iou = ops.take_along_axis(iou_pred, best, axis=-1)[..., 0]
    masks = ops.convert_to_tensor(y_pred['masks'])
    best = ops.expand_dims(ops.expand_dims(best, -1), -1)
    return ops.take_along_axis(masks, best, axis=-3)[..., 0, :, :], iou


def mask_boundary(masks: Tensor, distance: int) -> Tensor:
    """Finds the pixels of masks that are near to their contour, the image's edge included.

    Args:
      masks: float [..., H, W], 1 for the object, else 0.
      distance: how near in pixels, along the longer of both axes.

    Returns:
      float [..., H, W], 1 or 0.

    Example:
      >>> ops.convert_to_numpy(mask_boundary(ops.ones([3, 4]), 1)).astype(int).tolist()
      [[1, 1, 1, 1], [1, 0, 0, 1], [1, 1, 1, 1]]
    """
    height, width = masks.shape[-2:]
    flat = ops.reshape(1 - masks, (-1, height, width, 1))
    border = [(0, 0), (distance, distance), (distance, distance), (0, 0)]
    outside = ops.pad(flat, border, constant_values=1)
    side = 2 * distance + 1
    for window in ((side, 1), (1, side)):
        outside = ops.max_pool(outside, window, strides=1, padding='valid')
    return masks * ops.reshape(outside, ops.shape(masks))
