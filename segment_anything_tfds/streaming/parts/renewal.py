"""The bytes of an archive behind a link that may expire meanwhile: waits for a renewed link."""

from __future__ import annotations

import logging
import threading
import time

from segment_anything_tfds.source import selection
from segment_anything_tfds.source.remote import fetch, links_file

_RENEWABLE = ('link_expired', 'refused')
_POLL_SECONDS = 2.0
_OVERLAP = 4 << 10  # bytes that are compared where a renewed link goes on


class RenewedTransfer:
    """A `fetch.Transfer` that goes on with the link of a replaced links file.

    Attributes:
      position: offset of the next byte that `read` gives.
    """

    def __init__(self, number: int, links_path: str, *, wait: float):
        """Prepares the transfer; the first `read` connects.

        Args:
          number: number of the archive.
          links_path: the links file, which may be replaced at any time.
          wait: seconds to wait for a replaced file, once the server refuses the link.
        """
        self.position = 0
        self._number, self._links_path, self._wait = number, links_path, wait
        self._name = selection.archive_name(number)
        self._stop = threading.Event()
        self._tail = b''
        self._url = self._current_url()
        if self._url is None:
            raise ValueError(
                f'`sa1b.stream`: expected a link to {self._name} in {links_path}; got none. Was '
                'the links file replaced by another one?'
            )
        self._transfer = fetch.Transfer(self._url, name=self._name)

    def read(self, size: int) -> bytes:
        """Reads the next `size` bytes; fewer, and in the end none, at the end.

        Raises:
          fetch.FetchError: what was tried did not help, and no renewed link came in time.
        """
        while True:
            try:
                data = self._transfer.read(size)
            except fetch.FetchError as error:
                if error.reason not in _RENEWABLE or not self._renew(error):
                    raise
                continue
            self.position += len(data)
            self._tail = (self._tail + data[-_OVERLAP:])[-_OVERLAP:]
            return data

    def stop(self) -> None:
        """Makes a `read` in another thread end soon, with an error."""
        self._stop.set()
        self._transfer.stop()

    def close(self) -> None:
        """Ends the connection."""
        self._transfer.close()

    def doubt(self) -> Exception | None:
        """Gives the error to raise, as `fetch.Transfer.doubt`."""
        return self._transfer.doubt() if hasattr(self._transfer, 'doubt') else None

    def _renew(self, error: fetch.FetchError) -> bool:
        """Waits for another link to the archive, and goes on with it; False if none came."""
        logging.warning(
            'The link of %s is refused after %s bytes. Replace %s by a renewed one within %.0f s.',
            self._name,
            f'{self.position:,}',
            self._links_path,
            self._wait,
        )
        until = time.monotonic() + self._wait
        while not self._stop.is_set():
            url = self._current_url()
            if url not in (None, self._url):
                self._url = url
                self._go_on(error)
                return True
            left = until - time.monotonic()
            if left <= 0:
                return False
            self._stop.wait(min(_POLL_SECONDS, left))
        return False

    def _go_on(self, error: fetch.FetchError) -> None:
        size = self._transfer.remote.size
        self._transfer.close()
        self._transfer = fetch.Transfer(
            self._url,
            name=self._name,
            start=self.position - len(self._tail),
            remote=fetch.Remote(size),
        )
        if self._stop.is_set():
            self._transfer.stop()
        try:
            theirs = b''
            while len(theirs) < len(self._tail) and (
                piece := self._transfer.read(len(self._tail) - len(theirs))
            ):
                theirs += piece
        except fetch.FetchError as again:
            if again.reason in _RENEWABLE:
                return  # the next `read` finds the same, and waits again
            raise
        if theirs != self._tail:
            raise fetch.FetchError(
                f'`sa1b.stream`: expected the renewed link of {self._name} to lead to the same '
                f'bytes; got others before byte {self.position:,}. Start that archive again.',
                'changed',
            ) from error

    def _current_url(self) -> str | None:
        """Gives the link as the file says now; `None` while the file is being replaced."""
        try:
            link = links_file.read(self._links_path).archives.get(self._number)
        except (OSError, ValueError):
            return None
        return None if link is None else link.url
