"""The model that a run is made with: loaded by its name, and known again by its weights."""

from __future__ import annotations

import hashlib
from typing import Any

from segment_anything_tfds.source.archive import paths
from segment_anything_tfds.training.prediction import named_models

_CHUNK = 8 << 20

load = named_models.load_model


def identity(name: str) -> str:
    """A text that stays the same as long as the model of a name does.

    Raises:
      FileNotFoundError: a file does not exist.
    """
    if not named_models.is_file(name):
        from segment_anything_tfds import __version__

        return f'{name} {__version__}' if name == named_models.TINY else name
    named_models.check_exists(name)
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
