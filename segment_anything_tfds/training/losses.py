"""Losses of promptable segmentation, as Keras objects on `keras.ops`: any Keras backend runs them.

Masks are [..., H, W] with 1 for the object, predictions are logits; the leading dimensions are free
(usually [B, K]: batch, masks of an image), and each loss gives one value a mask, so `sample_weight`
is the validity of the masks. The default reduction is the mean over the masks that count, so padded
masks neither add to the loss nor thin it.

Sources: "Segment Anything" (Kirillov et al. 2023), appendix A; "SAM 2" (Ravi et al. 2024) and its
`training/loss_fns.py`; "Focal Loss for Dense Object Detection" (Lin et al. 2017); "V-Net"
(Milletari et al. 2016).
"""

from __future__ import annotations

import keras
from keras import ops

from segment_anything_tfds.training import assignment, content, resolution
from segment_anything_tfds.training.tensors import Tensor

_REDUCTION = 'mean_with_sample_weight'
_LOOKED_AT = ('masks', 'iou_pred', 'candidates', 'content')
_NEVER = 1e9


@keras.saving.register_keras_serializable('segment_anything_tfds')
class FocalLoss(keras.losses.Loss):
    """Sigmoid focal loss, averaged over the pixels of a mask.

    alpha = 0.25 weights the object's pixels and 1 - alpha the others, gamma = 2: the values of Lin
    et al. 2017 and the defaults of SAM 2's `training/loss_fns.py`. Computed from logits, so that a
    saturated wrong pixel still has a gradient.

    Args:
      alpha: weight of the foreground, 0 to 1.
      gamma: how strongly easy pixels are discounted, 0 or more.
      reduction: as in `keras.losses.Loss`.
      name: name of the loss.

    Call arguments: `y_true` [..., H, W] in 0 to 1, `y_pred` logits of the same shape; gives [...]
    before the reduction. `call` also takes `inside`, float [..., H, W], 0 for pixels that do not
    count.

    Raises:
      ValueError: where the two shapes differ.

    Example:
      >>> float(FocalLoss()(ops.ones([2, 4, 4]), ops.full([2, 4, 4], 20.0))) < 1e-6
      True
    """

    def __init__(self, alpha=0.25, gamma=2.0, *, reduction=_REDUCTION, name='focal_loss'):
        super().__init__(name=name, reduction=reduction)
        self.alpha, self.gamma = alpha, gamma

    def call(self, y_true, y_pred, inside=None):
        check_masks('losses.FocalLoss', y_true, y_pred)
        # p is the probability of what is true. -log(p) is softplus(-x) for an object's pixel and
        # softplus(x) for another, and stays finite where p itself is rounded to 0.
        sign = 2 * y_true - 1
        miss = ops.sigmoid(-sign * y_pred)
        weight = self.alpha * y_true + (1 - self.alpha) * (1 - y_true)
        loss = weight * miss**self.gamma * ops.softplus(-sign * y_pred)
        return mean_inside(loss, inside)

    def get_config(self):
        return {**super().get_config(), 'alpha': self.alpha, 'gamma': self.gamma}


@keras.saving.register_keras_serializable('segment_anything_tfds')
class DiceLoss(keras.losses.Loss):
    """1 - (2 |A∩B| + smooth) / (|A| + |B| + smooth), on probabilities, for each mask.

    smooth = 1 (in pixels) as SAM 2's `training/loss_fns.py`; |A∩B| is the sum of the products.

    Called as `FocalLoss` is, with the same errors.

    Args:
      smooth: pixels added to both sides; keeps empty masks at a loss of 0.
      reduction: as in `keras.losses.Loss`.
      name: name of the loss.

    Example:
      >>> float(DiceLoss()(ops.ones([2, 4, 4]), ops.full([2, 4, 4], 20.0))) < 1e-6
      True
    """

    def __init__(self, smooth=1.0, *, reduction=_REDUCTION, name='dice_loss'):
        super().__init__(name=name, reduction=reduction)
        self.smooth = smooth

    def call(self, y_true, y_pred, inside=None):
        check_masks('losses.DiceLoss', y_true, y_pred)
        p = ops.sigmoid(y_pred)
        if inside is not None:
            y_true, p = y_true * inside, p * inside
        overlap = ops.sum(y_true * p, axis=(-2, -1))
        total = ops.sum(y_true, axis=(-2, -1)) + ops.sum(p, axis=(-2, -1))
        return 1 - (2 * overlap + self.smooth) / (total + self.smooth)

    def get_config(self):
        return {**super().get_config(), 'smooth': self.smooth}


@keras.saving.register_keras_serializable('segment_anything_tfds')
class SegmentAnythingLoss(keras.losses.Loss):
    """SAM's loss: 20 x focal + dice of the best output mask, plus the error of its predicted IoU.

    Of the M masks that the model gives for an ambiguous prompt only the one with the smallest
    focal + dice counts (SAM, appendix A, "making the model ambiguity-aware"); the IoU head learns
    the IoU of that mask with the truth, by the squared error and with weight 1 (SAM), or by the
    absolute error for all M (SAM 2). A recipe's `loss` is one of these with its numbers.

    Args:
      focal_weight: 20, as in SAM, "in a 20:1 ratio of focal loss to dice loss".
      dice_weight: 1.
      iou_weight: 1, "a constant scaling factor of 1.0" in SAM; 0 where the model has no IoU head.
      bce_weight: of the binary cross-entropy, averaged over pixels; 0 in SAM, 5 in EdgeSAM.
      iou_error: `'squared'` (SAM) or `'absolute'` (SAM 2).
      supervise_all_ious: train the IoU head on all M outputs, as SAM 2 does, not only the best.
      targets: as in `Recipe`. With `'click'`, T masks [..., T, H, W] are assigned to outputs that
        may be chosen, one to one at the least loss in all, as Semantic-SAM does; with `'levels'`
        each output learns the mask at its place. Empty masks do not count.
      reduction: as in `keras.losses.Loss`.
      name: name of the loss.

    Call arguments: `y_true` [..., H, W] in 0 to 1; `y_pred` a dict of `masks` logits
    [..., M, h, w], `iou_pred` [..., M], and optionally `candidates` [..., M], 1 for the outputs
    that may be chosen, and `content` [..., 2], height and width of the image in parts of its padded
    square: padding does not count. Gives [...] before the reduction.

    Where [H, W] is a multiple of [h, w], the logits are enlarged to it, one mask at a time. Where
    `y_true` is [..., M, H, W], as from a teacher, each output learns the mask of its own, and the
    loss is the mean over the outputs; with `targets`, over the pairs.

    Raises:
      ValueError: where the shapes or the options do not agree, or an option is none of those.

    Example:
      >>> y_pred = {'masks': ops.zeros([2, 3, 4, 4]), 'iou_pred': ops.zeros([2, 3])}
      >>> float(SegmentAnythingLoss()(ops.ones([2, 4, 4]), y_pred)) > 0
      True
    """

    def __init__(
        self,
        focal_weight=20.0,
        dice_weight=1.0,
        iou_weight=1.0,
        *,
        bce_weight=0.0,
        iou_error='squared',
        supervise_all_ious=False,
        targets='prompted',
        reduction=_REDUCTION,
        name='segment_anything_loss',
    ):
        super().__init__(name=name, reduction=reduction)
        _check_choice('iou_error', iou_error, ('squared', 'absolute'))
        _check_choice('targets', targets, ('prompted', 'click', 'levels'))
        if supervise_all_ious and targets != 'prompted':
            raise ValueError(
                'losses.SegmentAnythingLoss: expected no `supervise_all_ious` with several targets;'
                f' got `targets` {targets!r}. The IoU head learns on pairs.'
            )
        self.focal_weight, self.dice_weight, self.iou_weight = focal_weight, dice_weight, iou_weight
        self.bce_weight, self.iou_error = bce_weight, iou_error
        self.supervise_all_ious, self.targets = supervise_all_ious, targets
        self._focal, self._dice = FocalLoss(), DiceLoss()

    def call(self, y_true, y_pred):
        masks = y_pred['masks']
        if not resolution.is_multiple(y_true.shape, masks.shape):
            return self._of(y_true, y_pred)
        names = [name for name in _LOOKED_AT if name in y_pred]

        def one(truth, *values):
            outputs = dict(zip(names, values, strict=True))
            large = resolution.enlarged(outputs['masks'], *truth.shape[-2:])
            return self._of(truth, {**outputs, 'masks': large})

        leading = len(masks.shape) - 3
        return resolution.each_mask(one, leading, y_true, *(y_pred[name] for name in names))

    def _of(self, truth, y_pred):
        """Gives the loss of each mask, at the resolution of the logits."""
        masks, iou_pred = y_pred['masks'], y_pred['iou_pred']
        own = len(truth.shape) == len(masks.shape)
        if own and self.targets != 'prompted':
            return self._of_pairs(truth, y_pred)
        truth = truth if own else ops.expand_dims(truth, -3)
        check_masks('losses.SegmentAnythingLoss', truth, masks)
        truth = ops.broadcast_to(truth, ops.shape(masks))
        inside = inside_of(y_pred, masks)
        mask_loss = self._mask_loss(truth, masks, inside)
        error = self._error(iou_pred, truth, masks, inside)
        if own:
            return ops.mean(mask_loss + error, axis=-1)
        allowed = candidates_of(y_pred)
        best = ops.argmin(ops.where(allowed, mask_loss, _NEVER), axis=-1)
        chosen = ops.one_hot(best, masks.shape[-3], dtype=mask_loss.dtype)
        shares = chosen  # which outputs the IoU head learns on, and with what weight
        if self.supervise_all_ious:
            allowed = ops.cast(allowed, mask_loss.dtype)
            shares = allowed / ops.maximum(ops.sum(allowed, axis=-1, keepdims=True), 1)
        return ops.sum(mask_loss * chosen + error * shares, axis=-1)

    def _of_pairs(self, truth, y_pred):
        """Gives the mean loss of the pairs of a target [..., T, h, w] and an output."""
        masks, inside = y_pred['masks'], inside_of(y_pred, y_pred['masks'])
        check_masks('losses.SegmentAnythingLoss', truth, masks)
        allowed = ops.cast(candidates_of(y_pred), 'float32')
        if self.targets == 'levels':
            pairs = assignment.by_place(truth, allowed)
        else:
            fixed = ops.stop_gradient(masks)
            pairs = assignment.by_cost(truth, allowed, lambda x: self._mask_loss(x, fixed, inside))
        # To each output the target that it is paired with; those without one get an empty mask,
        # and do not learn.
        truth = ops.einsum('...tm,...thw->...mhw', pairs, ops.cast(truth, masks.dtype))
        error = self._error(y_pred['iou_pred'], truth, masks, inside)
        learns = ops.sum(pairs, axis=-2)
        total = ops.sum(learns * (self._mask_loss(truth, masks, inside) + error), axis=-1)
        return total / ops.maximum(ops.sum(learns, axis=-1), 1)

    def _error(self, iou_pred, truth, masks, inside):
        """Weighs the error of the IoU head: [..., M]."""
        error = iou_pred - ops.stop_gradient(mask_iou(truth, masks, inside))
        error = ops.square(error) if self.iou_error == 'squared' else ops.abs(error)
        return self.iou_weight * error

    def _mask_loss(self, truth, masks, inside):
        """Gives the loss of each output, without the IoU head: [..., M]."""
        total = self.dice_weight * self._dice.call(truth, masks, inside)
        if self.focal_weight:
            total += self.focal_weight * self._focal.call(truth, masks, inside)
        if self.bce_weight:
            # -t log(p) - (1 - t) log(1 - p), from logits
            entropy = ops.softplus(masks) - masks * truth
            total += self.bce_weight * mean_inside(entropy, inside)
        return total

    def get_config(self):
        names = ('focal_weight', 'dice_weight', 'iou_weight', 'bce_weight', 'iou_error')
        names += ('supervise_all_ious', 'targets')
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


def mask_iou(truth: Tensor, logits: Tensor, inside: Tensor | None = None) -> Tensor:
    """Compares masks with the logits' sign: IoU of [..., H, W] each, [...]; two empty masks give 1.

    `inside`, float [..., H, W], is 0 for pixels that do not count.
    """
    truth, guess = ops.cast(truth > 0.5, 'float32'), ops.cast(logits > 0, 'float32')
    if inside is not None:
        truth, guess = truth * inside, guess * inside
    overlap = ops.sum(truth * guess, axis=(-2, -1))
    union = ops.sum(truth, axis=(-2, -1)) + ops.sum(guess, axis=(-2, -1)) - overlap
    return ops.where(union > 0, overlap / ops.maximum(union, 1), 1.0)


def mean_inside(values: Tensor, inside: Tensor | None = None) -> Tensor:
    """Takes the mean over pixels [..., H, W], over those that `inside` has as 1; gives [...]."""
    if inside is None:
        return ops.mean(values, axis=(-2, -1))
    count = ops.sum(inside, axis=(-2, -1))
    return ops.sum(values * inside, axis=(-2, -1)) / ops.maximum(count, 1)


def inside_of(y_pred: dict[str, Tensor], masks: Tensor) -> Tensor | None:
    """Gives 1 for pixels of the image, 0 for its padding, shaped as `masks`; None if unknown.

    `y_pred['content']` [...] has the leading dimensions of `masks`, except for the outputs M.
    """
    if 'content' not in y_pred:
        return None
    share = y_pred['content']
    inside = ops.cast(content.inside(share, *masks.shape[-2:]), 'float32')
    return inside if len(inside.shape) == len(masks.shape) else ops.expand_dims(inside, -3)


def candidates_of(y_pred: dict[str, Tensor]) -> Tensor:
    """Tells which of the M outputs may be chosen: bool [..., M]; all unless the model says."""
    if 'candidates' in y_pred:
        return ops.cast(y_pred['candidates'], 'bool')
    return ops.ones_like(y_pred['iou_pred'], dtype='bool')


def check_masks(where: str, y_true: Tensor, y_pred: Tensor) -> None:
    """Refuses predictions whose height or width is not the truth's."""
    truth, predicted = tuple(y_true.shape), tuple(y_pred.shape)
    if truth[-2:] != predicted[-2:] or len(truth) != len(predicted):
        raise ValueError(
            f'{where}: expected `y_pred` with the rank and the [H, W] of `y_true`, '
            f'{list(truth)}; got {list(predicted)}. '
            "Set the recipe's `mask_size` to the model's output size, or a multiple."
        )


def _check_choice(argument, value, allowed):
    if value not in allowed:
        names = ' or '.join(map(repr, allowed))
        raise ValueError(
            f'losses.SegmentAnythingLoss: expected `{argument}` {names}; got {value!r}. Choose one.'
        )
