"""Serves `segment_anything` to TFDS from this package, in whichever order the two are imported.

TFDS asks its providers in turn for a builder class. Ours stands first in that list, so it wins
over TFDS's own builder of the same name without a second registration under it. TFDS itself is not
imported here: a program that only reads links or archives should not wait for it.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.util
import sys

_NAME = 'segment_anything'
_TFDS_REGISTRY = 'tensorflow_datasets.core.registered'


class _Provider:
    """Answers TFDS's two questions for one dataset name."""

    def has_dataset(self, name: str) -> bool:
        return name == _NAME

    def get_builder_cls(self, name: str):
        if name != _NAME:
            raise KeyError(name)
        module = importlib.import_module('segment_anything_tfds.segment_anything_dataset_builder')
        return module.Builder


class _AfterImport(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Adds the provider as soon as TFDS's registry has been imported by somebody."""

    def find_spec(self, fullname, path=None, target=None):
        if fullname != _TFDS_REGISTRY:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None:
            self._loader, spec.loader = spec.loader, self
        return spec

    def create_module(self, spec):
        return self._loader.create_module(spec)

    def exec_module(self, module):
        self._loader.exec_module(module)
        module.__spec__.loader = module.__loader__ = self._loader
        _add_provider(module)


def _add_provider(registry) -> None:
    registry.add_dataset_builder_provider(_Provider(), index=0)


def register() -> None:
    """Makes TFDS use this package's builder: now, or as soon as TFDS is imported."""
    if _TFDS_REGISTRY in sys.modules:
        _add_provider(sys.modules[_TFDS_REGISTRY])
    else:
        sys.meta_path.insert(0, _AfterImport())
