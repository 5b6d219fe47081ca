"""Controls several downloads at once: stops them, and limits their common speed."""

from __future__ import annotations

import contextlib
import threading
import time

from segment_anything_tfds.source.remote import fetch


class Stop:
    """Makes downloads in other threads end soon; what they fetched is kept."""

    def __init__(self):
        self._event, self._lock = threading.Event(), threading.Lock()
        self._transfers: set[fetch.Transfer] = set()

    def set(self) -> None:
        """Asks all downloads that watch this to end."""
        with self._lock:
            self._event.set()
            for transfer in self._transfers:
                transfer.stop()

    def is_set(self) -> bool:
        """Tells whether `set` was called."""
        return self._event.is_set()

    def wait(self, seconds: float) -> None:
        """Sleeps, unless and until `set` is called."""
        self._event.wait(seconds)

    @contextlib.contextmanager
    def watch(self, transfer: fetch.Transfer):
        """Makes `set` stop a transfer too, even while it waits to try again."""
        with self._lock:
            self._transfers.add(transfer)
            if self._event.is_set():
                transfer.stop()
        try:
            yield transfer
        finally:
            with self._lock:
                self._transfers.discard(transfer)


class Pace:
    """Limits several threads together to a number of bytes a second."""

    def __init__(self, rate: float | None, stop: Stop):
        self._rate, self._stop = rate, stop
        self._lock, self._due = threading.Lock(), 0.0

    def take(self, size: int) -> None:
        """Waits until `size` more bytes are due."""
        if self._rate is None:
            return
        # `_due` is when all that was taken would have come at this rate. At 1 MB a second, three
        # threads that take 1 MB each at second 0 wait until seconds 1, 2 and 3. Time in which
        # nothing was taken is lost, not saved up.
        with self._lock:
            self._due = max(self._due, time.monotonic()) + size / self._rate
            wait = self._due - time.monotonic()
        self._stop.wait(max(0.0, wait))
