"""Helpers that run in the process of Meta's package, with the Python and torch of that process."""

from functools import partial

import numpy as np
import torch
from segment_anything.modeling import (
    ImageEncoderViT,
    MaskDecoder,
    PromptEncoder,
    Sam,
    TwoWayTransformer,
)
from segment_anything.predictor import SamPredictor

PREFIX = 'sam/'


def random_sam(
    image_size=64,
    embed_dim=32,
    depth=2,
    num_heads=4,
    out_chans=32,
    window_size=3,
    global_attn_indexes=(1,),
    mlp_dim=64,
    iou_dim=None,
    seed=0,
):
    """A Sam of Meta's classes in which no parameter is trivial."""
    torch.manual_seed(seed)
    grid = image_size // 16
    sam = Sam(
        ImageEncoderViT(
            img_size=image_size,
            embed_dim=embed_dim,
            depth=depth,
            num_heads=num_heads,
            out_chans=out_chans,
            qkv_bias=True,
            norm_layer=partial(torch.nn.LayerNorm, eps=1e-6),
            use_rel_pos=True,
            window_size=window_size,
            global_attn_indexes=global_attn_indexes,
        ),
        PromptEncoder(out_chans, (grid, grid), (image_size, image_size), 16),
        MaskDecoder(
            num_multimask_outputs=3,
            transformer=TwoWayTransformer(
                depth=2, embedding_dim=out_chans, mlp_dim=mlp_dim, num_heads=8
            ),
            transformer_dim=out_chans,
            iou_head_depth=3,
            iou_head_hidden_dim=iou_dim or out_chans,
        ),
    )
    for parameter in sam.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    return sam.eval()


def sam_of(state):
    """A Sam of the sizes and with the weights of a state dict, loaded with `strict=True`."""
    grid, embed_dim = (
        state['image_encoder.pos_embed'].shape[1:3][0],
        state['image_encoder.pos_embed'].shape[3],
    )
    positions = [
        len(state[f'image_encoder.blocks.{index}.attn.rel_pos_h'])
        for index in range(sum(name.endswith('attn.rel_pos_h') for name in state))
    ]
    local = [(size + 1) // 2 for size in positions if size != 2 * grid - 1]
    sam = random_sam(
        image_size=16 * grid,
        embed_dim=embed_dim,
        depth=len(positions),
        num_heads=embed_dim // state['image_encoder.blocks.0.attn.rel_pos_h'].shape[1],
        out_chans=state['image_encoder.neck.0.weight'].shape[0],
        window_size=local[0] if local else 14,
        global_attn_indexes=[i for i, size in enumerate(positions) if size == 2 * grid - 1],
        mlp_dim=state['mask_decoder.transformer.layers.0.mlp.lin1.weight'].shape[0],
        iou_dim=state['mask_decoder.iou_prediction_head.layers.0.weight'].shape[0],
    )
    sam.load_state_dict({name: torch.as_tensor(value) for name, value in state.items()})
    return sam


def pack(sam):
    """Its weights as arrays to put into `out`."""
    return {f'{PREFIX}{name}': value.numpy() for name, value in sam.state_dict().items()}


def predictor(sam, image):
    """A SamPredictor that has seen an image, uint8 [H, W, 3]."""
    made = SamPredictor(sam)
    made.set_image(np.ascontiguousarray(image))
    return made
