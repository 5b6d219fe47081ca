"""Functions of a model, compiled for inference by the Keras backend in use."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import keras


def halves(model: Any) -> tuple[Callable, Callable]:
    """Compiles a model's `encode` of images and their content's size, and its `decode`.

    Compiled once for whatever asks for them, as long as the model's variables stay the same ones.
    """
    return _halves(model, len(model.variables))


@functools.lru_cache(maxsize=1)
def _halves(model: Any, variables: int) -> tuple[Callable, Callable]:
    del variables  # LoRA adds some, and the layers compute with them

    def encode(image, content_size):
        return model.encode(image, content_size, heads_in_turns=True)

    return compiled(model, encode), compiled(model, model.decode)


def compiled(model: Any, function: Callable) -> Callable:
    """Compiles a function of tensors once for each combination of shapes.

    It computes with the weights that the model has at the time of the call.

    Args:
      model: whose weights the function uses.
      function: of arrays or tensors, or nested structures of them.

    Returns:
      A function of the same arguments; gives tensors of the backend.
    """
    backend = keras.backend.backend()
    if backend == 'tensorflow':
        return _traced(function)
    if backend == 'jax':
        return _jitted(model, function)
    import torch

    def without_gradients(*args):
        with torch.inference_mode():
            return function(*keras.tree.map_structure(keras.ops.convert_to_tensor, args))

    return without_gradients


def _traced(function: Callable) -> Callable:
    """Traces a TensorFlow graph for each combination of shapes, of which there are few."""
    import tensorflow as tf

    traced, graphs = tf.function(function), {}

    def call(*args):
        args = tf.nest.map_structure(tf.convert_to_tensor, args)
        leaves = tf.nest.flatten(args, expand_composites=True)
        # Leaves come in the order of their names: prompts of other names may have equal shapes.
        names = tuple(sorted(args[-1])) if isinstance(args[-1], dict) else ()
        key = names, *((tuple(leaf.shape), leaf.dtype) for leaf in leaves)
        if key not in graphs:
            graphs[key] = traced.get_concrete_function(*args)
        return graphs[key](*args)

    return call


def _jitted(model: Any, function: Callable) -> Callable:
    import jax

    def pure(values, *args):
        state = list(zip(model.variables, values, strict=True))
        with keras.StatelessScope(state_mapping=state):
            return function(*args)

    jitted = jax.jit(pure)
    return lambda *args: jitted([variable.value for variable in model.variables], *args)
