"""Files in which workers say how far they have come."""

from __future__ import annotations

import contextlib
import json
import time

from segment_anything_tfds.prepare.staging import object_store, place
from segment_anything_tfds.source.archive import pair_stream

_LOCAL_SECONDS = 1.0
_REMOTE_SECONDS = 20.0


def interval(folder: str) -> float:
    """Gives the seconds between a worker's reports; more in a bucket, where each is a request."""
    return _REMOTE_SECONDS if object_store.is_remote(folder) else _LOCAL_SECONDS


class Reporter:
    """Tells the driver how far a worker has come with its archive, at most every second or so."""

    def __init__(self, staging: place.Staging, archive: str):
        self._path = staging.path(archive, 'progress.json')
        self._interval = interval(staging.folder)
        self._next = time.monotonic() + self._interval

    def update(self, images: int, reader: pair_stream.ArchiveReader) -> bool:
        """Tells it, if it is time to; returns whether it was."""
        if time.monotonic() < self._next:
            return False
        self._next = time.monotonic() + self._interval
        told = {'images': images, 'bytes_read': reader.bytes_read, 'size': reader.size}
        with contextlib.suppress(Exception):  # stores have errors of their own kinds
            place.write_text(self._path, json.dumps(told))
        return True
