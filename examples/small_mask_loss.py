"""The loss that `train_tiny_sam.py` learns by."""

from __future__ import annotations

import keras
from keras import ops

from segment_anything_tfds.training import losses, resolution

ENTROPY, IOU = 0.05, 0.3  # weights beside the dice loss of weight 1


class DiceOfLargerLogits(keras.losses.Loss):
    """Dice on logits of twice the side, a little cross-entropy, and the error of the IoU head.

    Of the outputs that may be chosen, the one of the least dice loss at the decoder's resolution
    learns. Dice counts a mask of 10 pixels as it does one of 10,000, and so does this entropy: its
    sum over the image is divided by four times the mask's area. The IoU head learns all outputs.

    Called as `SegmentAnythingLoss`; true masks [B, K, m, m] have at least twice the logits' side,
    and their mean over what a logit covers is learnt.
    """

    def __init__(self, name='dice_of_larger_logits'):
        super().__init__(name=name, reduction='mean_with_sample_weight')

    def call(self, y_true, y_pred):
        masks, side = y_pred['masks'], y_pred['masks'].shape[-1]
        inside, allowed = losses.inside_of(y_pred, masks), losses.candidates_of(y_pred)
        coarse = ops.expand_dims(_shrunk(y_true, side), 2)
        cost = ops.where(allowed, _dice(coarse, masks, inside), 2.0)
        best = ops.one_hot(ops.argmin(cost, axis=-1), masks.shape[2])
        chosen = ops.einsum('bkm,bkmhw->bkhw', best, masks)
        large = resolution.enlarged(chosen, 2 * side, 2 * side)
        fine = _shrunk(y_true, 2 * side)
        mask_loss = _mask_loss(fine, large, losses.inside_of(y_pred, large))
        iou = losses.mask_iou(coarse, ops.stop_gradient(masks), inside)
        counted = ops.cast(allowed, 'float32')
        error = ops.sum(ops.abs(y_pred['iou_pred'] - iou) * counted, axis=-1)
        return mask_loss + IOU * error / ops.sum(counted, axis=-1)


def _mask_loss(truth, logits, inside):
    """Dice and a little cross-entropy of masks [B, K, h, w]."""
    entropy = ops.softplus(logits) - logits * truth
    entropy = entropy if inside is None else entropy * inside
    area = ops.sum(truth, axis=(-2, -1))
    entropy = ops.sum(entropy, axis=(-2, -1)) / (4 * area + 64)
    return _dice(truth, logits, inside) + ENTROPY * entropy


def _shrunk(masks, side):
    """Masks [B, K, m, m] as means over the pixels of a grid [B, K, side, side]."""
    count, times = masks.shape[1], masks.shape[-1] // side
    masks = ops.cast(masks, 'float32')
    if times == 1:
        return masks
    cells = ops.reshape(masks, (-1, count, side, times, side, times))
    return ops.mean(cells, axis=(3, 5))


def _dice(truth, logits, inside):
    """1 - 2 |A∩B| / (|A|² + |B|²) of each mask, on probabilities."""
    p = ops.sigmoid(logits)
    p = p if inside is None else p * inside
    overlap = ops.sum(truth * p, axis=(-2, -1))
    total = ops.sum(truth * truth, axis=(-2, -1)) + ops.sum(p * p, axis=(-2, -1))
    return 1 - (2 * overlap + 0.5) / (total + 0.5)
