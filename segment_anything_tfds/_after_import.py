"""Runs a function as soon as a module has been imported, by whoever imports it.

So that two packages know of each other in whichever order they are imported, and neither makes a
program wait for the other.
"""

from __future__ import annotations

import importlib.abc
import importlib.util
import sys
from collections.abc import Callable
from types import ModuleType


def run(name: str, function: Callable[[ModuleType], None]) -> None:
    """Calls a function with a module: now, or after its import.

    Args:
      name: of the module.
      function: takes the module.
    """
    if name in sys.modules:
        function(sys.modules[name])
    else:
        sys.meta_path.insert(0, _Watcher(name, function))


class _Watcher(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Lets the module's own loader load it, then calls the function."""

    def __init__(self, name: str, function: Callable[[ModuleType], None]):
        self._name, self._function = name, function

    def find_spec(self, fullname, path=None, target=None):
        if fullname != self._name:
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
        self._function(module)
