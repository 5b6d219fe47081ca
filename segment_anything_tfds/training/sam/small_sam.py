"""A SAM that trains on a laptop."""

from __future__ import annotations

import numbers
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras_hub


def small_sam(
    image_size: int = 256, *, hidden_size: int = 64, num_layers: int = 4
) -> keras_hub.models.SAMImageSegmenter:
    """Builds an untrained SAM of KerasHub's layers, small enough to train on a CPU in minutes.

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

    from segment_anything_tfds.training.sam import architecture

    image_size, dim = int(image_size), int(hidden_size)  # KerasHub takes no scalars of NumPy
    sizes = architecture.Sizes(
        image_size=image_size,
        encoder_dim=dim,
        encoder_layers=num_layers,
        encoder_heads=4,
        encoder_mlp_dim=4 * dim,
        window_size=image_size // architecture.PATCH,
        global_layers=tuple(range(num_layers)),
        dim=dim,
        mask_channels=16,
        decoder_layers=2,
        decoder_mlp_dim=4 * dim,
        outputs=4,
        iou_depth=3,
        iou_dim=dim,
    )
    return keras_hub.models.SAMImageSegmenter(backbone=architecture.build(sizes))
