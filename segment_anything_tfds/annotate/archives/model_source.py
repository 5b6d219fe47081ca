"""The model that a run is made with: loaded by its name, and known again by its weights."""

from __future__ import annotations

import hashlib
import importlib.resources
from typing import Any

from segment_anything_tfds.source.archive import paths
from segment_anything_tfds.training.prediction import named_models

_CHUNK = 8 << 20

load = named_models.load_model


def identity(name: str) -> str:
    """Gives a text that stays the same as long as the model of a name does.

    Raises:
      FileNotFoundError: a file does not exist.
    """
    if name == named_models.TINY:
        from segment_anything_tfds.training.tiny import tiny_sam

        path = importlib.resources.files(tiny_sam.__package__) / tiny_sam.FILE
    elif named_models.is_file(name):
        named_models.check_exists(name)
        path = paths.open_path(name)
    else:
        return name  # a preset, whose version KerasHub pins
    digest = hashlib.sha256()
    with path.open('rb') as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return f'sha256 {digest.hexdigest()}'


def identity_of_weights(model: Any) -> str:
    """Gives such a text, as `identity`, for a model in memory."""
    import numpy as np
    from keras import ops

    digest = hashlib.sha256()
    for variable in model.variables:
        digest.update(np.ascontiguousarray(ops.convert_to_numpy(variable)).tobytes())
    return f'weights {digest.hexdigest()}'
