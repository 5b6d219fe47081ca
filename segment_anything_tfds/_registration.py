"""Serves `segment_anything` to TFDS from this package, in whichever order the two are imported.

TFDS asks its providers in turn for a builder class. Ours stands first in that list, so it wins
over TFDS's own builder of the same name without a second registration under it. TFDS itself is not
imported here: a program that only reads links or archives should not wait for it.
"""

from __future__ import annotations

import importlib

from segment_anything_tfds import _after_import

_NAME = 'segment_anything'
_TFDS_REGISTRY = 'tensorflow_datasets.core.registered'
_PROVIDERS = '_DATASET_PROVIDER_REGISTRY'  # a name of TFDS's own; without it nothing is taken out


class _Provider:
    """Answers TFDS's two questions for one dataset name."""

    def has_dataset(self, name: str) -> bool:
        return name == _NAME

    def get_builder_cls(self, name: str):
        if name != _NAME:
            raise KeyError(name)
        module = importlib.import_module('segment_anything_tfds.segment_anything_dataset_builder')
        return module.Builder


def _is_ours(provider) -> bool:
    """Tells whether a provider is of this module, also as it was before it was reloaded."""
    return type(provider).__module__ == __name__


def _add_provider(registry) -> None:
    """Puts our provider first, once: one that was added before is taken out."""
    providers = getattr(registry, _PROVIDERS, [])
    providers[:] = [provider for provider in providers if not _is_ours(provider)]
    registry.add_dataset_builder_provider(_Provider(), index=0)


def register() -> None:
    """Makes TFDS use this package's builder: now, or once TFDS is imported; also when reloaded."""
    _after_import.run(_TFDS_REGISTRY, _add_provider)
