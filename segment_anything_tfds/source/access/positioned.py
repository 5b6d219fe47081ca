"""Pairs of an archive from a given one on, and plain tars read by position.

A stream has to read everything before the place where it goes on. A plain tar on a local disk, or a
folder, need not: the headers say where each member lies, so its contents are read when they are
wanted, and nothing waits for its other half in memory or in a temporary file:

    header | sa_1.jpg | header | sa_2.json | header | sa_1.json | ...
             ^ noted             ^ noted               ^ now both halves of sa_1 are read
"""

from __future__ import annotations

import functools
import os
import pathlib
import threading
from collections.abc import Callable, Iterator

from segment_anything_tfds.source.archive import chunks, halves, pair_stream, paths, tar_stream

_PIECE = 1 << 20


class PositionalFile:
    """A local file that any thread reads at any offset; processes may share it after a fork."""

    def __init__(self, path: str | os.PathLike):
        self._file = open(path, 'rb', buffering=0)  # noqa: SIM115
        self._lock = threading.Lock()
        self.size = os.fstat(self._file.fileno()).st_size

    def read_at(self, offset: int, size: int) -> bytes:
        """Reads `size` bytes from `offset` on; fewer where the file ends."""
        data = self._read(offset, size)
        while len(data) < size and (more := self._read(offset + len(data), size - len(data))):
            data += more
        return data

    def _read(self, offset: int, size: int) -> bytes:
        if hasattr(os, 'pread'):  # reads without moving the offset that forked processes share
            return os.pread(self._file.fileno(), size, offset)
        with self._lock:
            self._file.seek(offset)
            return self._file.read(size)

    def close(self) -> None:
        self._file.close()


class FileCursor:
    """Does for a file what `tar_stream.Cursor` does for a stream; to skip costs nothing."""

    def __init__(self, file: PositionalFile):
        self._file = file
        self.position = 0

    def take(self, size: int) -> bytes:
        """Takes at most `size` bytes; fewer where the file ends."""
        data = self._file.read_at(self.position, size)
        self.position += len(data)
        return data

    def skip(self, size: int) -> int:
        """Passes over `size` bytes; gives how many there were."""
        size = min(size, self._file.size - self.position)
        self.position += size
        return size

    def peek(self, size: int) -> bytes:
        """Shows up to `size` bytes that come next; they stay where they are."""
        return self._file.read_at(self.position, size)

    def pieces(self, size: int) -> Iterator[memoryview]:
        """Takes at most `size` bytes, piece by piece."""
        while size and (piece := self.take(min(size, _PIECE))):
            size -= len(piece)
            yield memoryview(piece)


class _Later(dict):
    """Halves that wait for their other half: not their bytes, but how to read them."""

    put = dict.__setitem__

    def close(self) -> None:
        self.clear()


class PositionedReader(pair_stream.ArchiveReader):
    """An `ArchiveReader` that passes over the first pairs.

    Those of a plain tar on a local disk and of a folder are not read at all; a gzip archive or
    a link is read on to the place.

    Attributes:
      by_position: whether what is passed over is not read.
      passed: numbers of the images of the pairs that were passed over.
    """

    def __init__(
        self,
        source: pair_stream.Source,
        *,
        on_fault: Callable,
        start: int = 0,
        open_raw: Callable[[pair_stream.Source], object] | None = None,
        piece: int | None = None,
        spool_dir: str | None = None,
        spool_budget: int = pair_stream.SPOOL_BUDGET,
        want_digest: bool = False,
        on_bytes: Callable[[int], None] | None = None,
    ):
        """Prepares the reader.

        Args:
          source: where the archive is.
          on_fault: as in `pair_stream.open_archive`.
          start: pairs to pass over.
          open_raw: gives the stored bytes of the archive; `None` for the way of the base class.
          piece: bytes of a stream that are read and decompressed at a time; `None` for 8 MB.
          spool_dir: as in `pair_stream.open_archive`.
          spool_budget: likewise.
          want_digest: likewise; needs every byte, so nothing is passed over unread.
          on_bytes: likewise.
        """
        super().__init__(
            source,
            on_fault=on_fault,
            spool_dir=spool_dir,
            spool_budget=spool_budget,
            want_digest=want_digest,
            on_bytes=on_bytes,
        )
        self.passed: list[int] = []
        self._start = start
        self._open_raw = open_raw
        self._piece = piece
        self._is_cut = False  # whether the file ends within the member that reading stands at
        plain = not want_digest and open_raw is None and is_plain_file(source)
        self.by_position = plain or source.kind == 'folder'
        if self.by_position:
            self._waiting = _Later()

    def _open(self):
        return super()._open() if self._open_raw is None else self._open_raw(self._source)

    def _members(self) -> pair_stream.Members:
        is_tar = self.by_position and self._source.kind == 'file'
        return self._tar_by_position() if is_tar else super()._members()

    def _match(self, half, read) -> Iterator[pair_stream.Pair]:
        if self._is_cut:
            read()  # raises: the archive is truncated
        if (half.stem, half.other) not in self._waiting:
            self._waiting.put((half.stem, half.kind), read if self.by_position else read())
            return
        other = self._waiting.pop((half.stem, half.other))
        self.pairs += 1
        if self.pairs <= self._start:
            self.passed.append(int(half.stem[3:]))
        else:
            yield self._make_pair(half, read(), other() if self.by_position else other)

    def _tar_by_position(self) -> pair_stream.Members:
        file = PositionalFile(paths.open_path(self._source.location))
        try:
            yield from self._walk(FileCursor(file), file)
        finally:
            file.close()

    def _walk(self, cursor: FileCursor, file: PositionalFile) -> pair_stream.Members:
        self._stream = tar_stream.TarStream(cursor)
        halves.check_start(cursor.peek(tar_stream.BLOCK))
        for member in self._stream:
            half = self._half(member.name, member.kind, member.size)
            self._count_to(cursor.position + member.size)
            if half is None:
                continue
            self._is_cut = cursor.position + member.size > file.size
            if self._is_cut:
                yield half, functools.partial(self._stream.read, member)
            else:
                yield half, functools.partial(file.read_at, cursor.position, member.size)
        self._count_to(file.size)

    def _count_to(self, position: int) -> None:
        read, self.bytes_read = position - self.bytes_read, position
        if self._on_bytes is not None and read > 0:
            self._on_bytes(read)


def is_plain_file(source: pair_stream.Source) -> bool:
    """Tells whether a source is a local file that is not compressed, as its first bytes say."""
    if source.kind != 'file' or not isinstance(
        path := paths.open_path(source.location), pathlib.Path
    ):
        return False
    with path.open('rb') as file:
        return not file.read(len(chunks.GZIP_MAGIC)).startswith(chunks.GZIP_MAGIC)
