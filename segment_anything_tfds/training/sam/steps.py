"""What a training step of the model does beside Keras's own."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator

import keras

_PROMPTS = '(top_left|bottom_right)_corner|(fore|back)ground_point|mask_downscaler|no_mask|not_a_'


def with_loss_scale(optimizer, backbone):
    """Gives the optimizer, with the loss scaled where the image encoder computes in float16.

    Keras does so by the policy of the whole model, which is float32 here.
    """
    halves = any(layer.compute_dtype == 'float16' for layer in backbone.image_encoder.layers)
    scaled = isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
    if not halves or scaled or optimizer.loss_scale_factor is not None:
        return optimizer
    return keras.optimizers.LossScaleOptimizer(optimizer)


def build_optimizer(model) -> None:
    """Makes the optimizer's variables; TensorFlow traces a graph twice that makes some itself."""
    if keras.backend.backend() == 'tensorflow' and not model.optimizer.built:
        with model.distribute_strategy.scope():
            model.optimizer.build(model.trainable_variables)


def is_arrays(x) -> bool:
    """Tells whether `fit` can shuffle it: arrays or tensors, not a dataset or a generator."""
    return all(hasattr(leaf, 'shape') for leaf in keras.tree.flatten(x))


@contextlib.contextmanager
def unused_prompts_are_no_mistake() -> Iterator[None]:
    """Silences the warning that parts of the prompt encoder got no gradient.

    A recipe that gives no boxes, or no masks, leaves their embeddings as they are.
    """
    with warnings.catch_warnings():
        names = rf"'[^']*({_PROMPTS})[^']*'"
        pattern = rf'Gradients do not exist for variables \[{names}(, {names})*\]'
        warnings.filterwarnings('ignore', pattern)
        yield
