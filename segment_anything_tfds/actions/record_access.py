"""`sa1b.records`, which reads records, with `sa1b.records.write`, which makes them of own data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, Protocol, TypeVar, cast

from segment_anything_tfds.actions import choosing
from segment_anything_tfds.actions.import_data import write

__all__ = ['records', 'write']

_Given = ParamSpec('_Given')
_Gives = TypeVar('_Gives', covariant=True)
_Write = TypeVar('_Write')


class _WithWrite(Protocol[_Given, _Gives, _Write]):
    """A function with another one on it, for type checkers."""

    write: _Write

    def __call__(self, *args: _Given.args, **kwargs: _Given.kwargs) -> _Gives: ...


def _with_write(
    read: Callable[_Given, _Gives], write: _Write
) -> _WithWrite[_Given, _Gives, _Write]:
    function: Any = read
    function.write = write
    return cast(_WithWrite[_Given, _Gives, _Write], function)


records = _with_write(choosing.records, write)
