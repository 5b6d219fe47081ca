"""The image encoder in half precision, where nearly all of a large SAM's time goes."""

from __future__ import annotations

from typing import Any

PRECISIONS = ('auto', 'float32', 'mixed_bfloat16', 'mixed_float16')


def check(precision: str) -> None:
    """Raises ValueError for an unknown name."""
    if precision not in PRECISIONS:
        raise ValueError(
            f'`annotate.with_precision`: expected `precision` to be one of {PRECISIONS}; got '
            f'{precision!r}. Choose one.'
        )


def with_precision(model: Any, precision: str = 'auto') -> Any:
    """Gives a model whose image encoder computes in a precision.

    Prompts and masks stay in float32: coordinates need it, and they cost little. The weights are
    those of the model at the time of the call, in float32.

    Args:
      model: a `training.PromptableSegmenter`.
      precision: `'float32'`, `'mixed_bfloat16'` or `'mixed_float16'`; `'auto'` for
        `'mixed_bfloat16'` where the Keras backend has an accelerator, else what the model has.

    Returns:
      The same model where nothing changes, or where it has LoRA layers; else a new one.

    Raises:
      ValueError: an unknown precision.

    Example:
      >>> quick = with_precision(model, 'mixed_bfloat16')
      >>> records = MaskGenerator(quick, 'sa1b').generate(image)
    """
    check(precision)
    if precision == 'auto':
        if not has_accelerator():
            return model
        precision = 'mixed_bfloat16'
    encoder = model.backbone.image_encoder
    if encoder.dtype_policy.name == precision or model.lora_rank:
        return model
    backbone = type(model.backbone)(
        image_encoder=_encoder_in(encoder, precision),
        prompt_encoder=model.backbone.prompt_encoder,
        mask_decoder=model.mask_decoder,
    )
    options = {name: getattr(model, name) for name in ('prompt_layout', 'pixel_mean', 'pixel_std')}
    return type(model)(backbone, **options)


def _encoder_in(encoder: Any, precision: str) -> Any:
    """Gives the same image encoder, made anew under a policy."""
    import keras

    config = encoder.get_config()
    config.pop('dtype', None)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        made = type(encoder).from_config(config)
    finally:
        keras.config.set_dtype_policy(before)
    made.set_weights(encoder.get_weights())
    return made


def has_accelerator() -> bool:
    """Tells whether the Keras backend computes on a GPU or TPU."""
    import keras

    backend = keras.backend.backend()
    if backend == 'tensorflow':
        import tensorflow as tf

        return bool(tf.config.list_logical_devices('GPU') or tf.config.list_logical_devices('TPU'))
    if backend == 'jax':
        import jax

        return jax.default_backend() != 'cpu'
    import torch

    return torch.cuda.is_available()
