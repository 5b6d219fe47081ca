"""The model that a name stands for: a file, a preset, or the small one that comes along."""

from __future__ import annotations

import contextlib
import os
import pathlib
import shutil
import tempfile
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from segment_anything_tfds.source.archive import paths

if TYPE_CHECKING:
    from segment_anything_tfds.training.sam.promptable import PromptableSegmenter

TINY = 'tiny'
_WEIGHTS = ('.pth', '.pt', '.safetensors')
_CHUNK = 8 << 20


def load_model(name: str | os.PathLike) -> PromptableSegmenter:
    """Loads a model.

    Args:
      name: a file that Keras saved (`.keras`) or a checkpoint of Meta's `segment_anything` (`.pth`,
        `.pt`, `.safetensors`), local or in a bucket; `'tiny'` for `training.tiny_sam()`; or the
        name of a KerasHub preset such as `'sam_base_sa1b'`.

    Returns:
      A `training.PromptableSegmenter`; a KerasHub SAM is wrapped.

    Raises:
      FileNotFoundError: a file does not exist.
      ValueError: a file holds another kind of model.
    """
    from segment_anything_tfds import training

    name = os.fspath(name)
    if name == TINY:
        return training.tiny_sam()
    if not is_file(name):
        import keras_hub

        return training.PromptableSegmenter(keras_hub.models.SAMImageSegmenter.from_preset(name))
    check_exists(name)
    with _local(name) as path:
        if name.endswith(_WEIGHTS):
            return training.checkpoints.load(path)
        return _wrapped(_load_keras(path), name)


def is_file(name: str) -> bool:
    """Tells whether a name is meant as a file, not as a preset."""
    suffix = pathlib.PurePath(name).suffix
    named_so = suffix in ('.keras', *_WEIGHTS)
    return named_so or os.path.isfile(name) or (os.sep in name and '://' not in name)


def check_exists(name: str) -> None:
    """Raises FileNotFoundError for a file that does not exist."""
    if not paths.open_path(name).exists():
        raise FileNotFoundError(
            f'training.load_model: expected `model` to be a file that exists; got {name}. '
            "Check its spelling, or name a preset or 'tiny'."
        )


@contextlib.contextmanager
def _local(name: str) -> Iterator[str]:
    """Gives the file, or a copy of it on this machine while the block runs."""
    if '://' not in name:
        yield name
        return
    with tempfile.TemporaryDirectory() as folder:
        copy = os.path.join(folder, pathlib.PurePath(name).name)
        with paths.open_path(name).open('rb') as source, open(copy, 'wb') as target:
            shutil.copyfileobj(source, target, _CHUNK)
        yield copy


def _load_keras(name: str) -> Any:
    import keras
    import keras_hub  # noqa: F401  (registers the layers of a SAM)

    try:
        return keras.saving.load_model(name, compile=False)
    except (ValueError, OSError) as error:
        if 'File format not supported' not in str(error) and 'zip' not in str(error):
            raise
        raise ValueError(
            f'training.load_model: expected `model` to be a file of Keras; got {name}, which is '
            'none. Save it with `model.save`.'
        ) from None


def _wrapped(model: Any, name: str) -> PromptableSegmenter:
    from segment_anything_tfds import training

    if isinstance(model, training.PromptableSegmenter):
        return model
    backbone = getattr(model, 'backbone', model)
    if not hasattr(backbone, 'mask_decoder'):
        raise ValueError(
            'training.load_model: expected `model` to be a PromptableSegmenter or a KerasHub SAM; '
            f'got {type(model).__name__} in {name}. Save it with `model.save`.'
        )
    return training.PromptableSegmenter(model)
