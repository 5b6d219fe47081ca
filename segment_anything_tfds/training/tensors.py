"""The type of tensors of whichever backend Keras has."""

from __future__ import annotations

from typing import Any

Tensor = Any  # `tf.Tensor`, `jax.Array`, `torch.Tensor`, or an array of NumPy
