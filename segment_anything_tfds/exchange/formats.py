"""Writes exports: into a temporary folder first, which is renamed when all is written.

A writer is a context manager with `write(record)`; where an error leaves it, nothing is left.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import pathlib
import shutil
from collections.abc import Iterable, Iterator
from typing import Protocol

from segment_anything_tfds.exchange import records
from segment_anything_tfds.exchange.options import NAMES, Options

__all__ = ['NAMES', 'Numbered', 'Options', 'Writer', 'fill', 'published', 'write']


class Writer(Protocol):
    """Writes records into a folder of its own."""

    def write(self, record: records.Record) -> None:
        """Adds a record."""

    def close(self) -> None:
        """Completes the files."""


class Numbered:
    """A writer into numbered files; subclasses open one, and add to it."""

    def __init__(self, folder: pathlib.Path, options: Options):
        self.folder, self._options = folder, options
        self._images = 0
        self._open = contextlib.ExitStack()

    def opened(self, number: int) -> contextlib.AbstractContextManager:
        """Opens the file `number` for the time of the context."""
        raise NotImplementedError

    def add(self, record: records.Record) -> None:
        """Adds a record to the open file."""
        raise NotImplementedError

    def write(self, record: records.Record) -> None:
        if self._images % self._options.per_file == 0:
            self._open.close()
            number = self._options.first_number + self._images // self._options.per_file
            self._open.enter_context(self.opened(number))
        self._images += 1
        self.add(record)

    def close(self) -> None:
        self._open.close()


def write(
    found: Iterable[records.Record],
    name: str,
    out: str | os.PathLike,
    options: Options | None = None,
) -> int:
    """Exports records.

    Args:
      found: the records; they may be a stream that raises.
      name: a key of `NAMES`.
      out: the folder to make.
      options: how to lay it out.

    Returns:
      How many records there are.

    Raises:
      FileExistsError: the folder exists and is not empty.
      ValueError: there are no records, or two of the same image.
    """
    with published(out) as folder:
        return fill(found, name, folder, options)


@contextlib.contextmanager
def published(out: str | os.PathLike) -> Iterator[pathlib.Path]:
    """Opens a folder to write into, which becomes `out` when the context ends well.

    Raises:
      FileExistsError: `out` exists and is not empty.
    """
    out = pathlib.Path(os.path.abspath(out))
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise FileExistsError(
            f'`formats.write`: expected `out` to be a new or an empty folder; got {out}, which is '
            'not. Choose another.'
        )
    temporary = out.with_name(f'{out.name}.incomplete')
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        yield temporary
        if out.exists():
            out.rmdir()
        os.replace(temporary, out)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def fill(
    found: Iterable[records.Record],
    name: str,
    folder: pathlib.Path,
    options: Options | None = None,
) -> int:
    """Writes records into a folder that is there; the rest as `write`."""
    module = importlib.import_module(f'{__package__}.writers.{name}')
    seen: set[int] = set()
    with contextlib.closing(module.Writer(folder, options or Options())) as writer:
        for record in found:
            number = record.json['image']['image_id']
            if number in seen:
                raise ValueError(
                    f'`formats.write`: expected each image once; got {record.stem} twice. '
                    'Choose archives that do not overlap.'
                )
            seen.add(number)
            writer.write(record)
    if not seen:
        raise ValueError(
            '`formats.write`: expected `found` with at least one record; got none. '
            'Choose other archives, or a wider filter.'
        )
    return len(seen)
