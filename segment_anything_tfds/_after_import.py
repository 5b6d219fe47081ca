"""Runs a function as soon as a module has been imported, by whoever imports it.

So that two packages know of each other in whichever order they are imported, and neither makes a
program wait for the other.
"""

from __future__ import annotations

import importlib.abc
import sys
from collections.abc import Callable
from types import ModuleType


def run(name: str, function: Callable[[ModuleType], None]) -> None:
    """Calls a function with a module: now, or after its import, and again whenever it is reloaded.

    To ask for the same function again, as where its own module is reloaded, replaces it.

    Args:
      name: of the module.
      function: takes the module.
    """
    watcher = _Watcher(name, function)
    others = [finder for finder in sys.meta_path if not _is_same(finder, watcher)]
    sys.meta_path[:] = [watcher, *others]
    if name in sys.modules:
        function(sys.modules[name])


class _Watcher(importlib.abc.MetaPathFinder):
    """Lets the finders after it find a module, and calls a function once that is loaded."""

    def __init__(self, name: str, function: Callable[[ModuleType], None]):
        self.key = (name, function.__module__, function.__qualname__)
        self._name, self._function = name, function

    def find_spec(self, fullname, path=None, target=None):
        if fullname != self._name:
            return None
        for finder in sys.meta_path[sys.meta_path.index(self) + 1 :]:
            if spec := finder.find_spec(fullname, path, target):
                spec.loader = _Loader(spec.loader, self._function)
                return spec
        return None


class _Loader(importlib.abc.Loader):
    """Lets the module's own loader load it, then calls the function."""

    def __init__(self, loader, function: Callable[[ModuleType], None]):
        self._loader, self._function = loader, function

    def create_module(self, spec):
        return self._loader.create_module(spec)

    def exec_module(self, module):
        self._loader.exec_module(module)
        module.__spec__.loader = module.__loader__ = self._loader
        self._function(module)


def _is_same(finder, watcher: _Watcher) -> bool:
    """Tells whether a finder does what a watcher does, also one from before a reload."""
    is_ours = type(finder).__module__ == __name__
    return is_ours and finder.key == watcher.key
