"""Where the halves of each pair of an archive lie: found in one walk, kept in a small file."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import logging
import os
import pathlib
from collections.abc import Callable, Iterator

import numpy as np

from segment_anything_tfds.source import faults
from segment_anything_tfds.source.access import positioned, restart_points
from segment_anything_tfds.source.archive import halves, pair_stream, tar_stream
from segment_anything_tfds.source.archive.locations import Source

_VERSION = 1
_FOLDER = '.sa1b'
_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Places:
    """The pairs of an archive, in the order in which a stream gives them.

    Attributes:
      ids: int64 [N], the number in each pair's file names.
      offsets: int64 [N, 2], where image and record begin in the contents of a tar; of a folder -1.
      sizes: int64 [N, 2], their bytes; of a folder -1.
      names: str [N, 2], their names in the archive; of a folder their paths below it.
    """

    ids: np.ndarray
    offsets: np.ndarray
    sizes: np.ndarray
    names: np.ndarray

    def __len__(self) -> int:
        return len(self.ids)


class _Held(dict):
    """Places of halves that wait for their other half."""

    def close(self) -> None:
        self.clear()


class _Walk(positioned.PositionedReader):
    """Goes through an archive, and gives where its pairs lie instead of what they are."""

    def __init__(self, source: Source, gzip: restart_points.GzipFile | None, **options):
        super().__init__(source, **options)
        self._gzip = gzip
        self._waiting = _Held()

    def _members(self) -> pair_stream.Members:
        return super()._members() if self._gzip is None else self._unzipped()

    def _unzipped(self) -> pair_stream.Members:
        cursor = tar_stream.Cursor(self._gzip.chunks())
        self._stream = tar_stream.TarStream(cursor)
        halves.check_start(cursor.peek(tar_stream.BLOCK))
        for member in self._stream:
            half = self._half(member.name, member.kind, member.size)
            self._count_to(cursor.position + member.size)
            if half is not None:
                yield half, functools.partial(self._stream.read, member)

    def _match(self, half, read) -> Iterator[tuple]:
        if self._is_cut:
            read()  # raises: the archive is truncated
        place = self._place(half, read)
        other = self._waiting.pop((half.stem, half.other), None)
        if other is None:
            self._waiting[half.stem, half.kind] = place
            return
        self.pairs += 1
        image, record = (place, other) if half.kind == 'image' else (other, place)
        yield int(half.stem[3:]), *zip(image, record, strict=True)

    def _place(self, half, read) -> tuple[int, int, str]:
        if self._source.kind == 'folder':
            (path,) = read.args
            return -1, -1, os.path.relpath(path, self._source.location)
        return self._stream.cursor.position, half.size, half.name


def find(
    source: Source,
    gzip: restart_points.GzipFile | None,
    on_fault: Callable[[faults.Fault], object],
) -> Places:
    """Walks through an archive: over the headers of a plain tar, the contents of a gzip archive.

    Args:
      source: a local tar or folder.
      gzip: the opened archive, if it is compressed.
      on_fault: called with each half that is alone, doubled or cannot be read.

    Returns:
      Where its pairs are.

    Raises:
      DataError: the archive is damaged, truncated or empty.
    """
    with _Walk(source, gzip, on_fault=on_fault) as walk:
        rows = list(walk)
    ids, offsets, sizes, names = zip(*rows, strict=True) if rows else ((), (), (), ())
    shape = (len(ids), 2)
    return Places(
        np.array(ids, np.int64),
        np.array(offsets, np.int64).reshape(shape),
        np.array(sizes, np.int64).reshape(shape),
        np.array(names, np.str_).reshape(shape),
    )


def index_path(source: Source, folder: str | os.PathLike | None) -> pathlib.Path:
    """Gives the file that keeps the places of an archive: beside it, or in another folder."""
    path = pathlib.Path(os.path.abspath(source.location))
    return pathlib.Path(folder or path.parent / _FOLDER) / f'{path.name}.index.npz'


def load(path: pathlib.Path, source: Source) -> Places | None:
    """Loads the places that `save` kept; `None` where there are none, or of another archive."""
    try:
        with np.load(path, allow_pickle=False) as kept:
            if kept['about'].tolist() != _about(source):
                return None
            return Places(*(kept[field.name] for field in dataclasses.fields(Places)))
    except (OSError, ValueError, KeyError, EOFError):
        return None


def save(path: pathlib.Path, source: Source, places: Places) -> bool:
    """Keeps the places of an archive; tells whether the folder could be written to."""
    temporary = path.with_name(f'{path.stem}.{os.getpid()}.tmp.npz')
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(temporary, about=np.array(_about(source)), **vars(places))
        os.replace(temporary, path)
    except OSError as error:
        _log.info('The index of %s is not kept: %s.', source.name, error.strerror)
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        return False
    return True


def _about(source: Source) -> list[str]:
    return [str(_VERSION), source.identity()]
