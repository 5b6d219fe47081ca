"""What a `PromptableSegmenter` refuses, and what it warns of."""

from __future__ import annotations

import warnings

from segment_anything_tfds.training.sam import kerashub, tokens

_TWICE = ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))


def check(backbone, prompt_layout: str, multimask: str) -> None:
    """Raises ValueError for an unknown option, or a prompt encoder that is not of float32."""
    for name, value, choices in (
        ('prompt_layout', prompt_layout, tokens.LAYOUTS),
        ('multimask', multimask, tokens.MULTIMASK),
    ):
        if value not in choices:
            raise ValueError(
                f'model.PromptableSegmenter: expected `{name}` one of {choices}; got {value!r}. '
                'Choose one.'
            )
    encoder = backbone.prompt_encoder
    for layer in (encoder, *kerashub.point_layers(encoder)):
        if layer.compute_dtype != 'float32':
            raise ValueError(
                'model.PromptableSegmenter: expected `segmenter` with a prompt encoder of float32; '
                f'got {layer.compute_dtype}. Make it while keras.config.dtype_policy() is float32.'
            )


def check_trainable(model) -> None:
    """Raises ValueError for a model that KerasHub's own `enable_lora` has frozen."""
    if kerashub.lost_lora(model.backbone):
        raise ValueError(
            'model.PromptableSegmenter.compile: expected `model` with parameters to train; got one '
            "whose `backbone.enable_lora` found no layer, since SAM's query, key and value are one "
            'layer, and froze the rest. Call `model.enable_lora(rank)` on a new model.'
        )


def warn_of_normalising_twice(pixel_mean, pixel_std) -> bool:
    """Warns where images would be normalised by these numbers and again by KerasHub's encoder.

    The model of version 1.0 did that, and its `.keras` files carry the numbers. Weights that were
    trained so fit such images only, so the model goes on with them.
    """
    if (pixel_mean, pixel_std) != _TWICE:
        return False
    warnings.warn(
        "model.PromptableSegmenter: `pixel_mean` and `pixel_std` are those of SAM, but KerasHub's "
        'image encoder normalises too, so images are normalised twice. Files that version 1.0 '
        'saved carry these numbers. Weights that were trained from scratch fit them, so this model '
        'goes on as it was trained. For images as SAM takes them, which pretrained weights need, '
        'wrap its backbone anew, `PromptableSegmenter(model.backbone)`, and fine-tune that.',
        stacklevel=3,
    )
    return True
