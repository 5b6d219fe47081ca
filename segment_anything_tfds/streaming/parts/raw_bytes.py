"""The stored bytes of an archive for a stream: links that are renewed, files in small pieces.

A build reads 8 MB at a time, since it reads one archive a process. A stream reads several at once,
and each has some pieces under way: read, decompressed, taken apart. So these are smaller here.
"""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from typing import Any

from segment_anything_tfds.source.access import positioned
from segment_anything_tfds.source.archive import paths
from segment_anything_tfds.source.archive.locations import Source

PIECE = 1 << 20  # bytes that are read at a time


class Opener:
    """Opens one archive, and ends what waits for it."""

    def __init__(self, links_path: str, link_wait: float):
        self._links_path, self._wait = links_path, link_wait
        self._transfer = None
        self._stopped = False

    def of(self, source: Source) -> Callable[[Source], Any] | None:
        """Gives what gives the bytes of a source; `None` where it is read by position."""
        is_by_position = source.kind == 'folder' or positioned.is_plain_file(source)
        return None if is_by_position else self._open

    def stop(self) -> None:
        """Ends a transfer that waits, also one that is opened later."""
        self._stopped = True
        if self._transfer is not None:
            self._transfer.stop()

    def _open(self, source: Source) -> Any:
        if source.kind != 'link':
            path = paths.open_path(source.location)
            is_local = isinstance(path, pathlib.Path)
            return open(path, 'rb', 0) if is_local else path.open('rb')
        from segment_anything_tfds.streaming.parts import renewal  # slow to import: only for links

        self._transfer = renewal.RenewedTransfer(source.number, self._links_path, wait=self._wait)
        if self._stopped:
            self._transfer.stop()
        return self._transfer
