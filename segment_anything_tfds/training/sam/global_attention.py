"""KerasHub's image encoder for inference, with global attention of one head at a time.

KerasHub makes the attention maps of all heads at once. For an image of 1024 pixels a map holds
4096 x 4096 weights, 67 MB, and ViT-B has 12 heads, whose maps are alive several times over:
products, positions added, softmax. Heads do not meet before the projection, so they can take turns.

    all at once      12 maps, some 4 copies     3.2 GB
    in turns          1 map,  some 4 copies     0.3 GB
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from segment_anything_tfds.training.sam import kerashub


def encode(encoder: Any, images: Any) -> Any:
    """Embeds images as an image encoder does, up to rounding, in less memory.

    Args:
      encoder: a `keras_hub.models.ViTDetBackbone`; another model is called as it is.
      images: float [B, S, S, 3], in 0 to 1.

    Returns:
      Embeddings [B, S / 16, S / 16, C].
    """
    if type(encoder).__name__ != 'ViTDetBackbone':
        return encoder(images, training=False)
    x = (images - ops.array(kerashub.MEAN)) / ops.array(kerashub.STD)
    for layer in encoder.layers[1:]:  # a chain from the input: patches, positions, blocks, neck
        x = _block(layer, x) if _is_global(layer) else layer(x)
    return x


def _is_global(layer: Any) -> bool:
    return hasattr(layer, 'attention') and not layer.window_size


def _block(block: Any, x: Any) -> Any:
    """Computes a `WindowedTransformerEncoder` without windows."""
    x = ops.cast(x, block.compute_dtype)
    x = x + _attend(block.attention, block.layer_norm1(x))
    return x + block.mlp_block(block.layer_norm2(x))


def _attend(attention: Any, x: Any) -> Any:
    """Computes a `MultiHeadAttentionWithRelativePE`, whose heads take turns."""
    batch, size = ops.shape(x)[0], tuple(x.shape[1:3])
    cells, heads, dim = size[0] * size[1], attention.num_heads, attention.key_dim

    def one(qkv):
        queries, keys, values = ops.unstack(qkv, num=3)
        weights = ops.matmul(queries * attention.scale, ops.transpose(keys, (0, 2, 1)))
        if attention.use_rel_pos:
            weights = attention.add_decomposed_relative_pe(
                weights, queries=queries, query_size=size, key_size=size
            )
        return ops.matmul(ops.softmax(weights, axis=-1), values)

    # one projection makes all: queries of every head, then keys, then values
    qkv = ops.reshape(attention.qkv(x), (batch, cells, 3, heads, dim))
    found = _in_turns(one, ops.transpose(qkv, (3, 2, 0, 1, 4)))  # [heads, B, cells, dim]
    found = ops.reshape(ops.transpose(found, (1, 2, 0, 3)), (batch, *size, heads * dim))
    return attention.projection(found)


def _in_turns(function: Callable, elements: Any) -> Any:
    """Maps a function over the first axis, one element after another on every backend."""
    backend = keras.backend.backend()
    if backend == 'tensorflow':
        import tensorflow as tf

        # `ops.map` would let ten elements be in work at once.
        return tf.map_fn(function, elements, parallel_iterations=1)
    if backend == 'jax':
        return ops.map(function, elements)
    return ops.stack([function(element) for element in elements])
