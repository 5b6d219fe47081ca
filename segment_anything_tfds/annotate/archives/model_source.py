"""The model that a name stands for: a file, a preset, or the small one that comes along."""

from __future__ import annotations

import contextlib
import hashlib
import os
import pathlib
import shutil
import tempfile
from collections.abc import Iterator
from typing import Any

from segment_anything_tfds.source.archive import paths

TINY = 'tiny'
_WEIGHTS = ('.pth', '.pt', '.safetensors')
_CHUNK = 8 << 20


def load(name: str) -> Any:
    """Loads a model.

    Args:
      name: a file that Keras saved (`.keras`) or a checkpoint of Meta's `segment_anything` (`.pth`,
        `.pt`, `.safetensors`), local or in a bucket; `'tiny'` for `training.tiny_sam()`; or the
        name of a KerasHub preset such as `'sam_base_sa1b'`.

    Returns:
      A `training.PromptableSegmenter`.

    Raises:
      FileNotFoundError: a file does not exist.
      ValueError: a file holds another kind of model.
    """
    from segment_anything_tfds import training

    if name == TINY:
        return training.tiny_sam()
    if not _is_file(name):
        import keras_hub

        return training.PromptableSegmenter(keras_hub.models.SAMImageSegmenter.from_preset(name))
    _check_exists(name)
    with _local(name) as path:
        if name.endswith(_WEIGHTS):
            return training.checkpoints.load(path)
        return _wrapped(_load_keras(path), name)


def _check_exists(name: str) -> None:
    if not paths.open_path(name).exists():
        raise FileNotFoundError(
            f'`annotate.write_archives`: expected `model` to be a file that exists; got {name}. '
            "Check its spelling, or name a preset or 'tiny'."
        )


@contextlib.contextmanager
def _local(name: str) -> Iterator[str]:
    """The file, or a copy of it on this machine while the block runs."""
    if '://' not in name:
        yield name
        return
    with tempfile.TemporaryDirectory() as folder:
        copy = os.path.join(folder, pathlib.PurePath(name).name)
        with paths.open_path(name).open('rb') as source, open(copy, 'wb') as target:
            shutil.copyfileobj(source, target, _CHUNK)
        yield copy


def identity(name: str) -> str:
    """A text that stays the same as long as the model of a name does.

    Raises:
      FileNotFoundError: a file does not exist.
    """
    if not _is_file(name):
        from segment_anything_tfds import __version__

        return f'{name} {__version__}' if name == TINY else name
    _check_exists(name)
    digest = hashlib.sha256()
    with paths.open_path(name).open('rb') as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return f'sha256 {digest.hexdigest()}'


def identity_of_weights(model: Any) -> str:
    """As `identity`, of a model in memory."""
    import numpy as np
    from keras import ops

    digest = hashlib.sha256()
    for variable in model.variables:
        digest.update(np.ascontiguousarray(ops.convert_to_numpy(variable)).tobytes())
    return f'weights {digest.hexdigest()}'


def _is_file(name: str) -> bool:
    return pathlib.PurePath(name).suffix in ('.keras', *_WEIGHTS) or os.path.isfile(name)


def _load_keras(name: str) -> Any:
    import keras
    import keras_hub  # noqa: F401  (registers the layers of a SAM)

    from segment_anything_tfds import training

    _ = training.PromptableSegmenter  # registers it
    return keras.saving.load_model(name, compile=False)


def _wrapped(model: Any, name: str) -> Any:
    from segment_anything_tfds import training

    if isinstance(model, training.PromptableSegmenter):
        return model
    backbone = getattr(model, 'backbone', model)
    if not hasattr(backbone, 'mask_decoder'):
        raise ValueError(
            '`annotate.write_archives`: expected `model` to be a PromptableSegmenter or a KerasHub '
            f'SAM; got {type(model).__name__} in {name}. Save it with `model.save`.'
        )
    return training.PromptableSegmenter(model)
