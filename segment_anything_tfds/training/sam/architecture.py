"""SAM's sizes, read off the shapes of its tensors, and a model of them in KerasHub's layers.

| size | from |
|---|---|
| image | `pos_embed` [1, h, w, C]: 16 h |
| heads of the encoder | `rel_pos_h` [2 w - 1, C / heads] |
| window of a block | the same, w; blocks with w = h are global |
| heads of the decoder | no tensor tells: SAM has 8 |
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

Shapes = Mapping[str, tuple[int, ...]]

DECODER_HEADS = 8
PATCH = 16
# What a tensor's name says about the model that a file is of, the most telling first.
_OTHERS = {
    'image_encoder.trunk.': 'SAM 2',
    'sam_mask_decoder.': 'SAM 2',
    'image_encoder.patch_embed.seq.': "MobileSAM (TinyViT's image encoder)",
    'image_encoder.layers.': "MobileSAM (TinyViT's image encoder)",
    'image_encoder.backbone.': 'EfficientViT-SAM',
    'mask_decoder.hf_token.': 'HQ-SAM',
    'image_encoder.stages': 'EdgeSAM (RepViT)',
    'image_encoder.features.': 'EdgeSAM (RepViT)',
    'vision_encoder.': 'SAM of the transformers library, whose names differ',
    'detector_model.': 'SAM 3',
    'detector.': 'SAM 3',
}


class Sizes(NamedTuple):
    """What tells one SAM from another; `global_layers` are the blocks without windows."""

    image_size: int
    encoder_dim: int
    encoder_layers: int
    encoder_heads: int
    encoder_mlp_dim: int
    window_size: int
    global_layers: tuple[int, ...]
    dim: int
    mask_channels: int
    decoder_layers: int
    decoder_mlp_dim: int
    outputs: int
    iou_depth: int
    iou_dim: int


def sizes_of(shapes: Shapes) -> Sizes:
    """Reads the sizes.

    Args:
      shapes: of Meta's tensors, by name.

    Raises:
      ValueError: a model that is not SAM; the one that it is, where the names tell.
    """
    for prefix, model in _OTHERS.items():
        if any(name.startswith(prefix) for name in shapes):
            raise ValueError(f'{model}, another architecture')
    try:
        return _sizes(shapes)
    except (KeyError, ValueError, IndexError, ZeroDivisionError) as error:
        if isinstance(error, KeyError):
            raise ValueError(f'no tensor {error.args[0]}') from None
        raise ValueError(f'tensors whose shapes do not fit each other ({error})') from None


def _sizes(shapes: Shapes) -> Sizes:
    encoder, decoder = 'image_encoder.', 'mask_decoder.'
    _, height, width, dim = shapes[f'{encoder}pos_embed']
    patch = shapes[f'{encoder}patch_embed.proj.weight'][2:]
    if height != width or tuple(patch) != (PATCH, PATCH):
        raise ValueError(f'pos_embed {height} x {width}, patches {patch}')
    layers = _count(shapes, f'{encoder}blocks.', '.norm1.weight')
    positions = [shapes[f'{encoder}blocks.{i}.attn.rel_pos_h'] for i in range(layers)]
    spans = [(length + 1) // 2 for length, _ in positions]
    # where every block is global, one window is the whole image
    windows = {span for span in spans if span != height} or {height}
    if len(windows) > 1:
        raise ValueError(f'windows of {sorted(windows)}')
    mlp = f'{decoder}transformer.layers.0.mlp.lin1.weight'
    return Sizes(
        image_size=height * PATCH,
        encoder_dim=dim,
        encoder_layers=layers,
        encoder_heads=dim // positions[0][1],
        encoder_mlp_dim=shapes[f'{encoder}blocks.0.mlp.lin1.weight'][0],
        window_size=windows.pop(),
        global_layers=tuple(i for i, span in enumerate(spans) if span == height),
        dim=shapes[f'{encoder}neck.0.weight'][0],
        mask_channels=shapes['prompt_encoder.mask_downscaling.3.weight'][0],
        decoder_layers=_count(shapes, f'{decoder}transformer.layers.', '.norm1.weight'),
        decoder_mlp_dim=shapes[mlp][0],
        outputs=shapes[f'{decoder}mask_tokens.weight'][0],
        iou_depth=_count(shapes, f'{decoder}iou_prediction_head.layers.', '.weight'),
        iou_dim=shapes[f'{decoder}iou_prediction_head.layers.0.weight'][0],
    )


def _count(shapes: Shapes, prefix: str, suffix: str) -> int:
    """Counts the names `prefix<n>suffix` that there are, from 0 on."""
    count = 0
    while f'{prefix}{count}{suffix}' in shapes:
        count += 1
    if not count:
        raise KeyError(f'{prefix}0{suffix}')
    return count


def build(sizes: Sizes):
    """Builds a `keras_hub.models.SAMBackbone` of these sizes, with random weights."""
    import keras_hub

    side, grid = sizes.image_size, sizes.image_size // PATCH
    mask_decoder = keras_hub.layers.SAMMaskDecoder(
        num_layers=sizes.decoder_layers,
        hidden_size=sizes.dim,
        intermediate_dim=sizes.decoder_mlp_dim,
        num_heads=DECODER_HEADS,
        embedding_dim=sizes.dim,
        num_multimask_outputs=sizes.outputs - 1,
        iou_head_depth=sizes.iou_depth,
        iou_head_hidden_dim=sizes.iou_dim,
    )
    mask_decoder.build()  # which the backbone does not do
    return keras_hub.models.SAMBackbone(
        image_encoder=keras_hub.models.ViTDetBackbone(
            hidden_size=sizes.encoder_dim,
            num_layers=sizes.encoder_layers,
            intermediate_dim=sizes.encoder_mlp_dim,
            num_heads=sizes.encoder_heads,
            global_attention_layer_indices=list(sizes.global_layers),
            patch_size=PATCH,
            num_output_channels=sizes.dim,
            window_size=sizes.window_size,
            image_shape=(side, side, 3),
        ),
        prompt_encoder=keras_hub.layers.SAMPromptEncoder(
            hidden_size=sizes.dim,
            image_embedding_size=(grid, grid),
            input_image_size=(side, side),
            mask_in_channels=sizes.mask_channels,
        ),
        mask_decoder=mask_decoder,
    )
