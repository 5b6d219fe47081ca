"""A SAM that trains on a laptop."""

from __future__ import annotations

import numbers


def small_sam(image_size=256, *, hidden_size=64, num_layers=4):
    """An untrained SAM of KerasHub's layers, small enough to train on a CPU in minutes.

    Args:
      image_size: side of the square image in pixels; a multiple of 16.
      hidden_size: channels of the image encoder and of the embeddings; a multiple of 16, since the
        mask decoder has 8 heads, as SAM's, and halves the channels.
      num_layers: transformer blocks of the image encoder, all with global attention.

    Returns:
      A `keras_hub.models.SAMImageSegmenter` with random weights.

    Raises:
      ValueError: where `image_size` or `hidden_size` is not a positive multiple of 16.
    """
    for name, value in (('image_size', image_size), ('hidden_size', hidden_size)):
        if not isinstance(value, numbers.Integral) or value <= 0 or value % 16:
            raise ValueError(
                f'training.small_sam: expected `{name}` a positive multiple of 16; '
                f'got {value}. Round it.'
            )
    import keras_hub

    image_size, hidden_size = int(image_size), int(hidden_size)  # KerasHub takes none of NumPy's
    encoder = keras_hub.models.ViTDetBackbone(
        hidden_size=hidden_size,
        num_layers=num_layers,
        intermediate_dim=4 * hidden_size,
        num_heads=4,
        global_attention_layer_indices=list(range(num_layers)),
        patch_size=16,
        num_output_channels=hidden_size,
        window_size=image_size // 16,
        image_shape=(image_size, image_size, 3),
    )
    prompt_encoder = keras_hub.layers.SAMPromptEncoder(
        hidden_size=hidden_size,
        image_embedding_size=(image_size // 16, image_size // 16),
        input_image_size=(image_size, image_size),
    )
    mask_decoder = keras_hub.layers.SAMMaskDecoder(
        num_layers=2,
        hidden_size=hidden_size,
        intermediate_dim=4 * hidden_size,
        num_heads=8,
        embedding_dim=hidden_size,
        iou_head_hidden_dim=hidden_size,
    )
    backbone = keras_hub.models.SAMBackbone(
        image_encoder=encoder, prompt_encoder=prompt_encoder, mask_decoder=mask_decoder
    )
    return keras_hub.models.SAMImageSegmenter(backbone=backbone)
