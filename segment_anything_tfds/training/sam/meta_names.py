"""Where Meta's names for SAM's tensors are in KerasHub's layers.

    image_encoder.blocks.3.attn.qkv.weight  [3C, C]     <->  blocks[3].attention.qkv kernel [C, 3C]
    prompt_encoder.mask_downscaling.0.weight [4, 1, 2, 2]  <->  Conv2D kernel [2, 2, 1, 4]

Layers are found by their place, not by their automatic names, which count up within a process.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

# Meta's axes in Keras's order: its [out, in] is [in, out] there, [out, in, h, w] is
# [h, w, in, out]; a transposed convolution's [in, out, h, w] is [h, w, out, in]: likewise.
_LINEAR, _CONV = (1, 0), (2, 3, 1, 0)


class Tensor(NamedTuple):
    """A tensor of Meta's and where it lies in Keras.

    Attributes:
      name: in Meta's state dict.
      owner: the Keras layer, or model, that has it.
      attribute: its name there, as `kernel`.
      axes: the axes of Meta's tensor in Keras's order, or None where they are the same.
    """

    name: str
    owner: Any
    attribute: str
    axes: tuple[int, ...] | None

    @property
    def shape(self) -> tuple[int, ...]:
        """In Meta's order."""
        shape = tuple(getattr(self.owner, self.attribute).shape)
        return shape if self.axes is None else tuple(shape[i] for i in np.argsort(self.axes))

    def read(self) -> np.ndarray:
        """Gives the value in Meta's order; a kernel with LoRA comes with what LoRA adds to it."""
        import keras

        value = np.asarray(keras.ops.convert_to_numpy(getattr(self.owner, self.attribute)))
        value = value if self.axes is None else value.transpose(np.argsort(self.axes))
        return np.ascontiguousarray(value, np.float32)

    def write(self, value: np.ndarray) -> None:
        """Takes a value in Meta's order."""
        value = value if self.axes is None else np.transpose(value, self.axes)
        getattr(self.owner, self.attribute).assign(value)


def tensors(backbone) -> Iterator[Tensor]:
    """Gives every tensor of Meta's `Sam.state_dict()`, for a `keras_hub.models.SAMBackbone`."""
    yield from _image_encoder(backbone.image_encoder)
    yield from _prompt_encoder(backbone.prompt_encoder)
    yield from _mask_decoder(backbone.mask_decoder)


def _image_encoder(encoder) -> Iterator[Tensor]:
    name = 'image_encoder.'
    # the last layer with weights is the neck, which comes at the end
    embedding, position, *blocks = [layer for layer in encoder.layers if layer.weights][:-1]
    yield Tensor(f'{name}pos_embed', position, 'pos_embed', None)
    yield from _conv(f'{name}patch_embed.proj', embedding.projection)
    for index, block in enumerate(blocks):
        at = f'{name}blocks.{index}.'
        attention = block.attention
        yield from _norm(f'{at}norm1', block.layer_norm1)
        for side in ('rel_pos_h', 'rel_pos_w'):
            yield Tensor(f'{at}attn.{side}', attention.add_decomposed_relative_pe, side, None)
        yield from _linear(f'{at}attn.qkv', attention.qkv)
        yield from _linear(f'{at}attn.proj', attention.projection)
        yield from _norm(f'{at}norm2', block.layer_norm2)
        yield from _linear(f'{at}mlp.lin1', block.mlp_block.dense_net.layers[0])
        yield from _linear(f'{at}mlp.lin2', block.mlp_block.dense_net.layers[2])
    for index, (make, layer) in enumerate(
        zip((_kernel, _norm, _kernel, _norm), encoder.neck.layers, strict=True)
    ):
        yield from make(f'{name}neck.{index}', layer)


def _prompt_encoder(encoder) -> Iterator[Tensor]:
    name, matrix = 'prompt_encoder.', 'positional_encoding_gaussian_matrix'
    yield Tensor(f'{name}pe_layer.{matrix}', encoder.positional_embedding_layer, matrix, None)
    points = (
        encoder.background_point_embed,
        encoder.foreground_point_embed,
        encoder.top_left_corner_embed,
        encoder.bottom_right_corner_embed,
    )
    for index, layer in enumerate(points):
        yield from _embedding(f'{name}point_embeddings.{index}', layer)
    yield from _embedding(f'{name}not_a_point_embed', encoder.not_a_point_embed)
    layers = encoder.mask_downscaler.layers
    for index, make in ((0, _conv), (1, _norm), (3, _conv), (4, _norm), (6, _conv)):
        yield from make(f'{name}mask_downscaling.{index}', layers[index])
    yield from _embedding(f'{name}no_mask_embed', encoder.no_mask_embed)


def _mask_decoder(decoder) -> Iterator[Tensor]:
    name, transformer = 'mask_decoder.', decoder.transformer
    for index, layer in enumerate(transformer.layers):
        at = f'{name}transformer.layers.{index}.'
        yield from _attention(f'{at}self_attn', layer.self_attention)
        yield from _norm(f'{at}norm1', layer.layer_norm1)
        yield from _attention(
            f'{at}cross_attn_token_to_image', layer.cross_attention_token_to_image
        )
        yield from _norm(f'{at}norm2', layer.layer_norm2)
        for number, dense in enumerate(layer.mlp_block.mlp_block.layers[::2], start=1):
            yield from _linear(f'{at}mlp.lin{number}', dense)
        yield from _norm(f'{at}norm3', layer.layer_norm3)
        yield from _norm(f'{at}norm4', layer.layer_norm4)
        yield from _attention(
            f'{at}cross_attn_image_to_token', layer.cross_attention_image_to_token
        )
    final = f'{name}transformer.final_attn_token_to_image'
    yield from _attention(final, transformer.final_attention_token_to_image)
    yield from _norm(f'{name}transformer.norm_final_attn', transformer.final_layer_norm)
    yield from _embedding(f'{name}iou_token', decoder.iou_token)
    yield from _embedding(f'{name}mask_tokens', decoder.mask_tokens)
    for index, make in ((0, _conv), (1, _norm), (3, _conv)):
        yield from make(f'{name}output_upscaling.{index}', decoder.output_upscaling.layers[index])
    for index, mlp in enumerate(decoder.output_hypernetworks_mlps):
        yield from _mlp(f'{name}output_hypernetworks_mlps.{index}', mlp)
    yield from _mlp(f'{name}iou_prediction_head', decoder.iou_prediction_head)


def _attention(name: str, layer) -> Iterator[Tensor]:
    yield from _linear(f'{name}.q_proj', layer.query_proj)
    yield from _linear(f'{name}.k_proj', layer.key_proj)
    yield from _linear(f'{name}.v_proj', layer.value_proj)
    yield from _linear(f'{name}.out_proj', layer.out_proj)


def _mlp(name: str, layer) -> Iterator[Tensor]:
    for index, dense in enumerate(layer.mlp_block.layers[::2]):
        yield from _linear(f'{name}.layers.{index}', dense)


def _linear(name: str, layer) -> Iterator[Tensor]:
    yield Tensor(f'{name}.weight', layer, 'kernel', _LINEAR)
    yield Tensor(f'{name}.bias', layer, 'bias', None)


def _kernel(name: str, layer) -> Iterator[Tensor]:
    yield Tensor(f'{name}.weight', layer, 'kernel', _CONV)


def _conv(name: str, layer) -> Iterator[Tensor]:
    yield from _kernel(name, layer)
    yield Tensor(f'{name}.bias', layer, 'bias', None)


def _norm(name: str, layer) -> Iterator[Tensor]:
    yield Tensor(f'{name}.weight', layer, 'gamma', None)
    yield Tensor(f'{name}.bias', layer, 'beta', None)


def _embedding(name: str, layer) -> Iterator[Tensor]:
    yield Tensor(f'{name}.weight', layer, 'embeddings', None)
