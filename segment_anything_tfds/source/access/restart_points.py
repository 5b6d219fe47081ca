"""Gzip archives by position: `indexed_gzip` decompresses from the restart point before a place.

A point is where a gzip stream can be taken up again: an offset in the file and the 32 KB of
contents before it, which the stream refers back to. Points come into being while an archive is
read from its start, so the first walk through it decompresses all of it.
"""

from __future__ import annotations

import os
import pathlib
import threading
from collections.abc import Iterator

from segment_anything_tfds.source.archive.chunks import StreamError

SPACING = 8 << 20  # bytes of contents between two points
_PIECE = 1 << 20


class GzipFile:
    """The contents of a local gzip archive; does what `positioned.PositionalFile` does."""

    def __init__(self, path: str | os.PathLike, points: pathlib.Path | None = None):
        """Opens the archive.

        Args:
          path: the archive.
          points: where `save` has kept the restart points; `None` to find them while reading.
        """
        try:
            import indexed_gzip
        except ImportError as error:
            raise ImportError(
                '`sa1b.archive_index`: expected the package indexed_gzip, since this archive is '
                f'compressed: {os.fspath(path)}; got none. Install it with: '
                "pip install 'segment-anything-tfds[index]'"
            ) from error
        self._file = indexed_gzip.IndexedGzipFile(
            os.fspath(path), spacing=SPACING, index_file=points and str(points), drop_handles=False
        )
        self._lock = threading.Lock()

    def chunks(self) -> Iterator[bytes]:
        """Reads the contents from the start; finds the restart points on the way."""
        import indexed_gzip

        try:
            while piece := self._file.read(_PIECE):
                yield piece
        except (indexed_gzip.ZranError, OSError, EOFError) as error:
            raise StreamError(
                'archive_corrupt',
                f'expected an intact gzip stream; got "{error}". Download the archive again.',
            ) from error

    def read_at(self, offset: int, size: int) -> bytes:
        """Reads `size` bytes of the contents from `offset` on."""
        with self._lock:
            self._file.seek(offset)
            return self._file.read(size)

    def save(self, points: pathlib.Path) -> None:
        """Keeps the restart points found so far: 33 KB each."""
        self._file.export_index(str(points))

    def close(self) -> None:
        self._file.close()
