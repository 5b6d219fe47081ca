"""Reads values from JSON of other programs; refuses those of a wrong type."""

from __future__ import annotations

import json
import math
import reprlib
from collections.abc import Mapping
from typing import Any

import orjson

from segment_anything_tfds.exchange import carried
from segment_anything_tfds.exchange.readers import drawn

_REPR = reprlib.Repr()
_REPR.maxlist = _REPR.maxdict = 4
_REPR.maxstring = _REPR.maxother = 60
_KINDS = {dict: 'an object', list: 'a list', str: 'a string', int: 'an integer'}


def parse(data: bytes | str) -> Any:
    """Reads JSON; NaN and the like are read too, and refused where a value is used.

    Raises:
      Refused: it is no JSON, or nested too deep.
    """
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        pass
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        text = 'JSON nested too deep' if isinstance(error, RecursionError) else str(error)
        raise drawn.Refused('import_invalid', f'expected JSON; got {text:.120}') from None


def shorten(value: Any) -> str:
    """Shortens a value for an error message."""
    return _REPR.repr(value)


def explain(error: Exception) -> str:
    """Gives what an error of Pillow or base64 says, without the address of an object."""
    return f'{type(error).__name__}: {error}'.partition(' <')[0][:120]


def get(row: Mapping[str, Any], key: str, kind: type, default: Any = ...) -> Any:
    """Takes a value of one type out of an object; `default` where it is absent or null.

    Raises:
      Refused: it is absent without a default, or of another type.
    """
    value = row.get(key)
    if value is None and default is not ...:
        return default
    if type(value) is not kind:
        raise drawn.Refused(
            'import_invalid', f'expected `{key}` to be {_KINDS[kind]}; got {shorten(value)}'
        )
    return value


def rows(row: Mapping[str, Any], key: str) -> list[dict]:
    """Takes a list of objects out of an object; empty where it is absent."""
    found = get(row, key, list, [])
    for value in found:
        if type(value) is not dict:
            raise drawn.Refused(
                'import_invalid', f'expected `{key}` to hold objects; got {shorten(value)}'
            )
    return found


def size(row: Mapping[str, Any], height: str, width: str) -> tuple[int, int]:
    """Reads (height, width), each at least 1, from keys that are named so."""
    found = get(row, height, int), get(row, width, int)
    if min(found) < 1 or found[0] * found[1] >= 2**31:
        raise drawn.Refused(
            'import_size_mismatch',
            f'expected `{height}` and `{width}` from 1 on, below 2^31 pixels; got {found}',
        )
    return found


def numbers(value: Any, name: str) -> list[float]:
    """Reads a list of finite numbers."""
    fine = type(value) is list and all(is_number(number) for number in value)
    if not fine:
        raise drawn.Refused(
            'import_invalid', f'expected `{name}` to hold finite numbers; got {shorten(value)}'
        )
    return value


def is_number(value: Any) -> bool:
    """Tells whether a value is a finite number, and no bool."""
    if type(value) is int:
        return abs(value) <= 2**53
    return type(value) is float and math.isfinite(value)


def label(value: Any) -> str:
    """Reads a label; `''` for what stands for no label."""
    if value is None or value == 'object':
        return ''
    if type(value) is not str:
        raise drawn.Refused('import_invalid', f'expected a label as text; got {shorten(value)}')
    return value


def fields(row: Mapping[str, Any]) -> dict[str, Any]:
    """Gives what a mask has carried through a tool, checked; absent and empty keys are left out.

    Raises:
      Refused: a value is not what `carried.pack` writes.
    """
    found = {name: row[name] for name in carried.FIELDS if row.get(name) not in (None, '')}
    rules = {
        'sa_id': (_is_id, 'an integer from 0 to 2^64 - 1'),
        'predicted_iou': (is_number, 'a finite number'),
        'stability_score': (is_number, 'a finite number'),
        'point_coords': (_is_point, 'one point [[x, y]]'),
        'crop_box': (_is_box, 'four numbers [x, y, width, height]'),
        'sa_mask': (lambda value: type(value) is str, 'a string'),
    }
    for name, value in found.items():
        fine, rule = rules[name]
        if not fine(value):
            raise drawn.Refused(
                'import_invalid', f'expected `{name}` to be {rule}; got {shorten(value)}'
            )
    return found if 'sa_id' in found else {}


def _is_id(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**64


def _is_box(value: Any) -> bool:
    return type(value) is list and len(value) == 4 and all(map(is_number, value))


def _is_point(value: Any) -> bool:
    fine = type(value) is list and len(value) == 1 and type(value[0]) is list
    return fine and len(value[0]) == 2 and all(map(is_number, value[0]))
