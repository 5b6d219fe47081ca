"""Large JSON files, one object after another: never more than one is held.

Two layouts are read: a list of objects, `[{...}, {...}]`, and an object of such lists,
`{"images": [{...}], "annotations": [{...}]}`, in which other values are passed over.
"""

from __future__ import annotations

import pathlib
import re
from collections.abc import Collection, Iterator
from typing import NamedTuple

from segment_anything_tfds.exchange.readers import drawn, json_values

_CHUNK = 1 << 20
_LARGEST = 1 << 28  # bytes of one object
_OUTSIDE = re.compile(rb'["\[\]{}]')
_INSIDE = re.compile(rb'["\\]')
_BETWEEN = re.compile(rb'[\s,]*')


class Found(NamedTuple):
    """An object: its list (`None` for the list that is the whole file), its place, its text."""

    key: str | None
    start: int
    text: bytes


def scan(path: pathlib.Path, keys: Collection[str] = ()) -> Iterator[Found]:
    """Finds the objects of a list, or with `keys` of the lists under them, as they stand.

    Brackets are counted, and strings skipped, up to the end of each object; what is in it, who
    takes it may parse.

    Raises:
      Refused: the file is no JSON of the two layouts, or cut off.
    """
    with open(path, 'rb') as file:
        yield from _Scanner(file, keys).scan()


class _Scanner:
    """Where in the file the scan is, and which brackets are open there."""

    def __init__(self, file, keys: Collection[str]):
        self._file, self._keys = file, keys
        self._data, self._base, self._at = b'', 0, 0
        self._kept = None  # where in `_data` the object begins that is being read
        self._open = bytearray()  # b'{[' right inside a list of the outer object
        self._name: str | None = None  # the last string right inside the outer object
        self._after = 0  # end of the last thing in the list, for what stands between objects

    def scan(self) -> Iterator[Found]:
        while (token := self._next(_OUTSIDE)) is not None:
            if token == ord('"'):
                self._string()
            elif token in b'[{':
                self._enter(token)
            else:
                found = self._leave(token)
                if found is not None:
                    yield found
                if not self._open:
                    return
        raise self._broken('the end of the file' if self._open else 'none')

    def _next(self, pattern: re.Pattern) -> int | None:
        """Moves past the next character of the pattern, and gives it; None at the file's end."""
        while (match := pattern.search(self._data, self._at)) is None:
            self._at = len(self._data)
            if not self._read():
                return None
        self._at = match.end()
        return self._data[match.start()]

    def _read(self) -> bool:
        # Kept is the object that is being read; in a list, what stands since the last object.
        keep = self._after if self._in_list() else self._at
        keep = keep if self._kept is None else self._kept
        if len(self._data) - keep > _LARGEST:
            raise self._broken(f'an object of more than {_LARGEST} bytes')
        chunk = self._file.read(_CHUNK)
        self._data = self._data[keep:] + chunk
        self._base += keep
        self._at -= keep
        self._after -= keep
        self._kept = None if self._kept is None else self._kept - keep
        return bool(chunk)

    def _string(self) -> None:
        """Moves past the end of a string; one right inside the outer object may be a key."""
        start = self._at - 1
        is_key = self._open == b'{'
        if is_key:
            self._kept = start
        while True:
            token = self._next(_INSIDE)
            if token is None:
                raise self._broken('a string without an end')
            if token == ord('"'):
                break
            # a backslash: the character after it, perhaps in the next chunk, ends nothing
            if self._at == len(self._data) and not self._read():
                raise self._broken('a string without an end')
            self._at += 1
        if is_key:
            self._name = json_values.parse(self._data[self._kept : self._at])
            self._kept = None

    def _in_list(self) -> bool:
        """Tells whether the scan is right inside a list that is wanted."""
        return self._open == b'[' or (self._open == b'{[' and self._name in self._keys)

    def _enter(self, token: int) -> None:
        if not self._open and token != ord('{' if self._keys else '['):
            raise self._broken(f'{chr(token)!r} at its start')
        if self._in_list():
            self._check_between(self._at - 1)
            if token != ord('{'):
                raise self._broken('a list inside the list')
            self._kept = self._at - 1
        self._open.append(token)
        self._after = self._at

    def _leave(self, token: int) -> Found | None:
        if not self._open or self._open[-1] != {ord(']'): ord('['), ord('}'): ord('{')}[token]:
            raise self._broken(f'{chr(token)!r} out of place')
        if self._in_list():
            self._check_between(self._at - 1)
        self._open.pop()
        found = None
        if self._in_list():
            text = self._data[self._kept : self._at]
            found = Found(self._name, self._base + self._kept, text)
            self._kept = None
        self._after = self._at
        return found

    def _check_between(self, stop: int) -> None:
        """Checks that nothing but commas and white space stands between the objects of a list."""
        if _BETWEEN.fullmatch(self._data, self._after, stop) is None:
            raise self._broken(f'{json_values.shorten(self._data[self._after : stop])} in the list')

    def _broken(self, got: str) -> drawn.Refused:
        layout = f'an object of the lists {", ".join(self._keys)}' if self._keys else 'a list'
        detail = f'expected JSON: {layout}, with nothing but objects; got {got}'
        return drawn.Refused('import_invalid', detail)
