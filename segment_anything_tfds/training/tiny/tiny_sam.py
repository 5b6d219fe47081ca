"""A small SAM that comes with the package, for demos and tests of what stands on a model."""

from __future__ import annotations

import importlib.resources
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from segment_anything_tfds.training.sam.promptable import PromptableSegmenter

IMAGE_SIZE = 1024
FILE = 'tiny_sam.npz'


def tiny_sam(pretrained: bool = True, **options: Any) -> PromptableSegmenter:
    """Makes the package's own small SAM: 1024 pixels, 2 million parameters.

    `examples/train_tiny_sam.py` trains its weights on the scenes that `dummy_data` paints. They
    know nothing else, and say nothing about photographs. On 100 scenes that it had not seen, one
    click gives a mean IoU of 0.74 by the best output and 0.70 by the most confident one, a box
    0.75, and three clicks 0.72.

    It has the shape of SAM, with windows and global attention in the image encoder and 8 heads in
    the mask decoder, so `checkpoints.save` writes a file that Meta's classes load.

    Args:
      pretrained: with the package's weights; without, they are random.
      **options: of `PromptableSegmenter`, such as `corrections=8`.

    Returns:
      A `PromptableSegmenter` in float32.

    Raises:
      ImportError: KerasHub is not installed.
      FileNotFoundError: the package holds no weights.

    Example:
      >>> model = training.tiny_sam()
      >>> training.Predictor(model)
    """
    from segment_anything_tfds.training.sam.promptable import PromptableSegmenter

    resource = importlib.resources.files(__package__) / FILE
    if pretrained and not resource.is_file():
        raise FileNotFoundError(
            f'training.tiny_sam: expected the weights {FILE} in the package; got none. Make them '
            'with `python examples/train_tiny_sam.py`, or pass `pretrained=False`.'
        )
    parts = backbone()
    if pretrained:
        with resource.open('rb') as file, np.load(file, allow_pickle=False) as weights:
            fill(parts, weights)
    return PromptableSegmenter(parts, **options)


def backbone(image_size: int = IMAGE_SIZE):
    """Builds its `keras_hub.models.SAMBackbone` with random weights, for images of a side."""
    from segment_anything_tfds.training.sam import architecture

    return architecture.build(
        architecture.Sizes(
            image_size=image_size,
            encoder_dim=160,
            encoder_layers=5,
            encoder_heads=5,
            encoder_mlp_dim=640,
            window_size=8,
            global_layers=(2, 4),
            dim=64,
            mask_channels=16,
            decoder_layers=2,
            decoder_mlp_dim=256,
            outputs=4,
            iou_depth=3,
            iou_dim=128,
        )
    )


def fill(parts, weights: Mapping[str, np.ndarray]) -> None:
    """Gives a `SAMBackbone` its tensors, by Meta's names, of any precision."""
    from segment_anything_tfds.training.sam import meta_names

    for tensor in meta_names.tensors(parts):
        tensor.write(np.asarray(weights[tensor.name], np.float32))


def tensors_of(parts) -> dict[str, np.ndarray]:
    """Gives the tensors of a `SAMBackbone` by Meta's names, float32."""
    from segment_anything_tfds.training.sam import meta_names

    return {tensor.name: tensor.read() for tensor in meta_names.tensors(parts)}


def save(tensors: Mapping[str, np.ndarray], path: str | os.PathLike) -> None:
    """Writes tensors as float16, under a temporary name until the file is whole."""
    temporary = f'{os.fspath(path)}.{os.getpid()}.part'
    with open(temporary, 'wb') as file:
        np.savez_compressed(file, **{name: x.astype(np.float16) for name, x in tensors.items()})
    os.replace(temporary, path)
