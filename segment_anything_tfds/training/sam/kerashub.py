"""What the model uses of KerasHub's SAM that is not its public interface.

All of it is here, but for the names of weights (`meta_names`) and the blocks of the image encoder
(`global_attention`).

KerasHub's `SAMPromptEncoder` and `SAMMaskDecoder` take prompts of one kind and number for a whole
batch. SAM's tokens differ from mask to mask: a click is [point, padding], a box [top left, bottom
right], a box with a click [point, top left, bottom right]. So the functions here run KerasHub's
layers, with their weights, on a fixed number of token slots, and take unused slots out of the
attention: they weigh exactly nothing.

    slots   point  point  corner  corner       tokens that count
    click     p      -     pad      -          [p, pad]
    box       -      -     tl       br         [tl, br]
    both      p      q     tl       br         [p, q, tl, br]
"""

from __future__ import annotations

import math
import warnings

from keras import ops

TESTED = (0, 32)
# ViTDetBackbone takes images in 0 to 1 and normalises them by these itself.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


def check_version() -> None:
    """Warns where KerasHub is a newer minor version than those that the tests have seen."""
    import keras_hub

    found = tuple(int(part) for part in keras_hub.__version__.split('.')[:2])
    if found > TESTED:
        warnings.warn(
            f'segment_anything_tfds was tested with keras-hub up to {TESTED[0]}.{TESTED[1]}; '
            f'found {keras_hub.__version__}. It uses layers inside of its SAM. If the model fails, '
            f'install keras-hub=={TESTED[0]}.{TESTED[1]}.*.',
            stacklevel=3,
        )


def embed_positions(prompt_encoder, coordinates):
    """Gives random Fourier features of (x, y) in 0 to 1: float [..., 2] gives [..., C].

    Two products and a sum in place of KerasHub's matmul, which in TensorFlow 2.21 with oneDNN
    writes out of bounds for [N, 1, 2, 2], and which accelerators may round to 10 bits.
    """
    matrix = ops.convert_to_tensor(
        prompt_encoder.positional_embedding_layer.positional_encoding_gaussian_matrix
    )
    coordinates = 2 * coordinates - 1
    angles = coordinates[..., :1] * matrix[0] + coordinates[..., 1:] * matrix[1]
    angles = angles * (2 * math.pi)
    return ops.concatenate([ops.sin(angles), ops.cos(angles)], axis=-1)


def embed_grid(prompt_encoder):
    """Embeds the positions of the image embedding's cells: [1, h, w, C]."""
    height, width = prompt_encoder.image_embedding_size
    y = (ops.arange(height, dtype='float32') + 0.5) / height
    x = (ops.arange(width, dtype='float32') + 0.5) / width
    x, y = ops.meshgrid(x, y)
    return embed_positions(prompt_encoder, ops.stack([x, y], axis=-1))[None]


def embed_points(prompt_encoder, points, kinds):
    """Tokens of points: their positions plus what they are.

    Args:
      prompt_encoder: a `keras_hub.layers.SAMPromptEncoder`.
      points: float [N, T, 2], x and y in pixels of the model's image, centres at whole numbers.
      kinds: int [N, T]: 0 background, 1 foreground, 2 top left, 3 bottom right, 4 "not a point",
        which has no position.

    Returns:
      float [N, T, C].
    """
    height, width = prompt_encoder.input_image_size
    size = ops.convert_to_tensor([width, height], dtype='float32')
    positions = embed_positions(prompt_encoder, (ops.cast(points, 'float32') + 0.5) / size)
    table = ops.concatenate([_table(layer) for layer in point_layers(prompt_encoder)], axis=0)
    one_hot = ops.one_hot(kinds, 5, dtype='float32')
    placed = ops.cast(kinds < 4, 'float32')[..., None]
    return positions * placed + ops.matmul(one_hot, table)


def embed_masks(prompt_encoder, masks, present):
    """Embeds logits [N, h, w] densely where `present` [N] is above 0, else "no mask"."""
    given = prompt_encoder.mask_downscaler(masks[..., None])
    return ops.where(present[:, None, None, None] > 0, given, no_mask(prompt_encoder))


def no_mask(prompt_encoder):
    """Gives the dense embedding without a mask: [1, 1, 1, C]."""
    return _table(prompt_encoder.no_mask_embed)[:, None, None]


def decode(decoder, image, positions, sparse, dense, valid):
    """Decodes as `SAMMaskDecoder`, with slots that may be left out.

    Args:
      decoder: a `keras_hub.layers.SAMMaskDecoder`.
      image: image embeddings [N, h, w, C].
      positions: of its cells, [1, h, w, C].
      sparse: tokens [N, T, C].
      dense: [N or 1, h or 1, w or 1, C], added to the image embeddings.
      valid: bool [N, T], which tokens count.

    Returns:
      `(masks, iou_pred)`: logits [N, M, 4 h, 4 w] and [N, M].
    """
    tokens = ops.concatenate([_table(decoder.iou_token), _table(decoder.mask_tokens)], axis=0)
    image, positions, sparse, dense, tokens = (
        ops.cast(x, decoder.compute_dtype) for x in (image, positions, sparse, dense, tokens)
    )
    number, count = ops.shape(sparse)[0], tokens.shape[0]
    tokens = ops.broadcast_to(tokens[None], (number, count, tokens.shape[1]))
    tokens = ops.concatenate([tokens, sparse], axis=1)
    valid = ops.concatenate([ops.ones((number, count), dtype='bool'), valid], axis=1)
    height, width, channels = image.shape[1:]
    keys = ops.reshape(image + dense, (number, height * width, channels))
    queries, keys = _transform(
        decoder.transformer, tokens, keys, ops.reshape(positions, (1, -1, channels)), valid
    )
    # tokens: 0 for the IoU, 1 to M for the masks, then the prompts
    upscaled = decoder.output_upscaling(ops.reshape(keys, (number, height, width, channels)))
    weights = [
        mlp(queries[:, 1 + index]) for index, mlp in enumerate(decoder.output_hypernetworks_mlps)
    ]
    flat = ops.reshape(upscaled, (number, 16 * height * width, upscaled.shape[-1]))
    masks = ops.matmul(ops.stack(weights, axis=1), ops.transpose(flat, (0, 2, 1)))
    masks = ops.reshape(masks, (number, count - 1, 4 * height, 4 * width))
    return masks, decoder.iou_prediction_head(queries[:, 0])


def _transform(transformer, tokens, keys, positions, valid):
    """Transforms as `TwoWayTransformer`: tokens and image attend to themselves and each other."""
    queries = tokens
    for layer in transformer.layers:
        if layer.skip_first_layer_pos_embedding:
            queries = _attend(layer.self_attention, queries, queries, queries, valid)
        else:
            placed = queries + tokens
            queries = queries + _attend(layer.self_attention, placed, placed, queries, valid)
        queries = layer.layer_norm1(queries)
        across = _attend(
            layer.cross_attention_token_to_image, queries + tokens, keys + positions, keys
        )
        queries = layer.layer_norm2(queries + across)
        queries = layer.layer_norm3(queries + layer.mlp_block(queries))
        back = _attend(
            layer.cross_attention_image_to_token, keys + positions, queries + tokens, queries, valid
        )
        keys = layer.layer_norm4(keys + back)
    final = transformer.final_attention_token_to_image
    queries = queries + _attend(final, queries + tokens, keys + positions, keys)
    return transformer.final_layer_norm(queries), keys


def _attend(layer, query, key, value, valid=None):
    """Attends as `MultiHeadAttentionWithDownsampling`, without keys that are not `valid` [N, T]."""
    query = _split(layer.query_proj(query), layer.num_heads)
    key = _split(layer.key_proj(key), layer.num_heads)
    value = _split(layer.value_proj(value), layer.num_heads)
    weights = ops.matmul(query, ops.transpose(key, (0, 1, 3, 2))) / math.sqrt(query.shape[-1])
    if valid is not None:
        weights = ops.where(valid[:, None, None], weights, -math.inf)
    out = ops.transpose(ops.matmul(ops.softmax(weights, axis=-1), value), (0, 2, 1, 3))
    shape = ops.shape(out)
    return layer.out_proj(ops.reshape(out, (shape[0], shape[1], out.shape[2] * out.shape[3])))


def _split(x, heads):
    """Splits [N, T, C] into [N, heads, T, C / heads]."""
    shape = ops.shape(x)
    x = ops.reshape(x, (shape[0], shape[1], heads, x.shape[-1] // heads))
    return ops.transpose(x, (0, 2, 1, 3))


def point_layers(prompt_encoder):
    """Gives the embeddings of what a point may be, in the order of `embed_points`."""
    return (
        prompt_encoder.background_point_embed,
        prompt_encoder.foreground_point_embed,
        prompt_encoder.top_left_corner_embed,
        prompt_encoder.bottom_right_corner_embed,
        prompt_encoder.not_a_point_embed,
    )


def _table(embedding):
    """Gives the vectors of an embedding [n, C]; by index, their gradients would be sparse."""
    return ops.convert_to_tensor(embedding.embeddings)


def enable_lora(image_encoder, rank, lora_alpha=None):
    """Puts LoRA on the attention of every block, and freezes all else of the `ViTDetBackbone`.

    Its own `enable_lora` looks for layers named query and value, finds none, since here query, key
    and value are one layer, and freezes everything.
    """
    blocks = [layer.attention for layer in image_encoder.layers if hasattr(layer, 'attention')]
    layers = [layer for block in blocks for layer in (block.qkv, block.projection)]
    if any(layer.lora_enabled for layer in layers):
        raise ValueError(
            'PromptableSegmenter.enable_lora: expected `model` without LoRA; got one of rank '
            f'{layers[0].lora_rank}. Save and load it first, which adds LoRA to the weights.'
        )
    for variable in image_encoder.weights:
        variable.trainable = False
    for layer in layers:
        layer.enable_lora(rank, lora_alpha=lora_alpha)


def lost_lora(backbone) -> bool:
    """Tells whether KerasHub's own `enable_lora` found no layer, and froze a part of the model."""
    return any(
        getattr(part, '_lora_enabled_layers', None) == []
        for part in (backbone, backbone.image_encoder)
    )
