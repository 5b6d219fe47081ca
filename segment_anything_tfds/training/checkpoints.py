"""SAM's weights from and to the files that people share: Meta's `.pth`, and `.safetensors`.

    model = checkpoints.load('sam_vit_b_01ec64.pth')
    checkpoints.save(model, 'fine_tuned.pth')

A `.pth` is read without running the code that a pickle may carry, and without PyTorch. KerasHub's
presets need nothing of this: `PromptableSegmenter(SAMImageSegmenter.from_preset('sam_base_sa1b'))`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from segment_anything_tfds.training.sam.promptable import PromptableSegmenter

_LISTED = 3


def load(path: str | os.PathLike, **options: Any) -> PromptableSegmenter:
    """Makes a model from a checkpoint with the names of Meta's `segment_anything`.

    Image size, depth, width, heads and windows are read off the tensors; the mask decoder has SAM's
    8 heads, which no tensor tells.

    Args:
      path: a `.safetensors`, or a file of `torch.save` with a state dict, alone or as `model`,
        `state_dict` or `model_state_dict` of a training checkpoint. Any precision.
      **options: of `PromptableSegmenter`, such as `corrections=8`.

    Returns:
      A `PromptableSegmenter` in float32.

    Raises:
      FileNotFoundError: no such file.
      ValueError: no checkpoint, a cut or damaged one, or one of another architecture (SAM 2,
        MobileSAM, ...), which is named.
    """
    from segment_anything_tfds.training.sam import architecture, weight_files
    from segment_anything_tfds.training.sam.promptable import PromptableSegmenter

    try:
        with weight_files.opened(path) as weights:
            backbone = architecture.build(architecture.sizes_of(weights.shapes))
            _fill(backbone, weights)
    except ValueError as error:
        raise ValueError(
            'checkpoints.load: expected `path` of a checkpoint of SAM (ViT-B, L, H or any size); '
            f'got {os.fspath(path)}: {error}.'
        ) from None
    return PromptableSegmenter(backbone, **options)


def save(model: PromptableSegmenter, path: str | os.PathLike) -> None:
    """Writes a checkpoint that Meta's classes load with `strict=True`.

    Weights are float32, under Meta's names. The file appears when it is whole.

    Args:
      model: a `PromptableSegmenter`, or a KerasHub SAM. LoRA's part is added to the weights.
      path: to write, `.pth`, or `.safetensors`.

    Raises:
      ValueError: a mask decoder without 8 heads: Meta's classes would load it and compute
        something else.
    """
    from segment_anything_tfds.training.sam import architecture, meta_names, weight_files

    backbone = getattr(model, 'backbone', model)
    heads = backbone.mask_decoder.transformer.num_heads
    if heads != architecture.DECODER_HEADS:
        raise ValueError(
            f'checkpoints.save: expected `model` with {architecture.DECODER_HEADS} heads in the '
            f"mask decoder, as Meta's classes have; got {heads}. Train one of `small_sam`'s sizes."
        )
    arrays = {tensor.name: tensor.read() for tensor in meta_names.tensors(backbone)}
    weight_files.save(path, arrays)


def _fill(backbone, weights) -> None:
    """Puts every tensor of a file into its place."""
    from segment_anything_tfds.training.sam import meta_names

    places = {tensor.name: tensor for tensor in meta_names.tensors(backbone)}
    missing, unknown = places.keys() - weights.shapes.keys(), weights.shapes.keys() - places.keys()
    for kind, names in (('without', missing), ('with the unknown', unknown)):
        if names:
            listed = ', '.join(sorted(names)[:_LISTED])
            raise ValueError(f'a model {kind} {listed} ({len(names)} in all)')
    for name, tensor in places.items():
        if tuple(weights.shapes[name]) != tensor.shape:
            raise ValueError(
                f'{name} of {list(weights.shapes[name])} where {list(tensor.shape)} is expected'
            )
    for name, tensor in places.items():
        tensor.write(weights.read(name))
