"""Other formats: written from a prepared dataset or from archives.

The room is called like the function `segment_anything_tfds.export`, so it can be called as well:
importing one of its modules puts it in the function's place in the package.
"""

from __future__ import annotations

import sys
import types
from typing import Any


class _Room(types.ModuleType):
    """A package that is also the function of its name."""

    @property
    def __signature__(self):
        import inspect

        from segment_anything_tfds.actions import export_records

        return inspect.signature(export_records.export)

    def __call__(self, *args: Any, **kwargs: Any) -> int:
        """Writes records in another format; see `actions.export_records.export`."""
        from segment_anything_tfds.actions import export_records

        return export_records.export(*args, **kwargs)


sys.modules[__name__].__class__ = _Room
