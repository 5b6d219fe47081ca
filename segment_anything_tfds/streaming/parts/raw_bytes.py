"""The stored bytes of an archive for a stream: links that are renewed, files in small pieces.

A build reads 8 MB at a time, since it reads one archive a process. A stream reads several at once,
and each has some pieces under way: read, decompressed, taken apart. So these are smaller here.
"""

from __future__ import annotations

import pathlib
from collections.abc import Callable

from segment_anything_tfds.source.access import positioned
from segment_anything_tfds.source.archive import paths
from segment_anything_tfds.source.archive.locations import Source

PIECE = 1 << 20  # bytes that are read at a time
_LARGE_BLOCK = 31 << 20  # just below the largest that malloc learns from


class InPieces:
    """Bytes of another object with `read`, at most `PIECE` at a time; its other names are there."""

    def __init__(self, raw):
        self._raw = raw

    def read(self, size: int) -> bytes:
        """At most `size` bytes; none at the end."""
        return self._raw.read(min(size, PIECE))

    def __getattr__(self, name: str):
        return getattr(self._raw, name)


class Opener:
    """Opens one archive, and ends what waits for it."""

    def __init__(self, links_path: str, link_wait: float):
        self._links_path, self._wait = links_path, link_wait
        self._transfer = None
        self._stopped = False

    def of(self, source: Source) -> Callable[[Source], InPieces] | None:
        """What gives the bytes of a source; `None` where it is read by position."""
        is_by_position = source.kind == 'folder' or positioned.is_plain_file(source)
        return None if is_by_position else self._open

    def stop(self) -> None:
        """Ends a transfer that waits, also one that is opened later."""
        self._stopped = True
        if self._transfer is not None:
            self._transfer.stop()

    def _open(self, source: Source) -> InPieces:
        if source.kind != 'link':
            path = paths.open_path(source.location)
            is_local = isinstance(path, pathlib.Path)
            return InPieces(open(path, 'rb', 0) if is_local else path.open('rb'))
        from segment_anything_tfds.streaming.parts import renewal  # slow to import: only for links

        self._transfer = renewal.RenewedTransfer(source.number, self._links_path, wait=self._wait)
        if self._stopped:
            self._transfer.stop()
        return InPieces(self._transfer)


def keep_memory() -> None:
    """Has glibc's malloc use memory of the size of images again, instead of asking for it anew.

    From the first block that is freed malloc learns which sizes come and go, and keeps blocks up to
    that size (mallopt(3), M_MMAP_THRESHOLD). Until then each image, at each of the steps from the
    archive to the batch, is in pages that the kernel has to clear first, which takes longer than to
    copy the image. Other implementations of malloc take no notice.
    """
    bytearray(_LARGE_BLOCK)
