"""Reads an object over HTTP from servers that cut, stall, refuse or change it.

A `Transfer` goes on where a connection broke, checks that the object is still the same one, waits
as servers ask, and explains what cannot be helped. Signed URLs are secrets: none of its errors
holds one, not even in the chain of exceptions, and what `urllib3` logs is redacted.
"""

from __future__ import annotations

import contextlib
import threading

import requests

from segment_anything_tfds.source.remote import answers, requesting
from segment_anything_tfds.source.remote.answers import Failure, FetchError, Remote
from segment_anything_tfds.source.remote.patience import Patience

__all__ = ['FetchError', 'Patience', 'Remote', 'Transfer']

# How a transfer goes on, for an object of 1,000 bytes whose connection broke after 700:
#
#   GET                                           200, size 1000, ETag "a"; breaks after 700
#   GET  Range: bytes=700-   If-Range: "a"        206 from 700: goes on there
#                                                 200 from 0: the server starts anew; 700 bytes are
#                                                   passed over, and the last of them compared
#                                                 206 or 200 with ETag "b": another object, an error
#                                                 416: the object ends at 700
#                                                 503, 429: waits as long as the server asks
PIECE = 1 << 20  # bytes asked of the socket at once
PROGRESS = 64 << 10  # bytes after which a transfer counts as going on again
OVERLAP = 4 << 10  # bytes compared where a server starts anew instead of going on


class Transfer:
    """Bytes of one object, from `start` to its end, across as many connections as it takes.

    For one thread, except `stop`.

    Attributes:
      position: offset in the object of the next byte that `read` gives.
      remote: what identifies the object, as far as known.
      fetched: bytes received, those received twice included.
      retries: attempts that failed and were made again.
    """

    def __init__(
        self,
        url: str,
        *,
        name: str,
        start: int = 0,
        remote: Remote | None = None,
        patience: Patience | None = None,
    ):
        """Prepares a transfer; the first `read` connects.

        Args:
          url: URL, which may be signed.
          name: what to call the object in errors.
          start: offset of the first byte wanted.
          remote: the object that the bytes before `start` came from; a different one is an error.
          patience: how long to go on trying.
        """
        self.position, self.fetched, self.retries = start, 0, 0
        self.remote = remote or Remote()
        self._url, self._name = url, name
        self._patience = patience or Patience()
        self._session = requests.Session()
        self._response = None
        self._failures, self._failed_at = 0, start
        self._tail = b''  # the last bytes given, to compare with
        self._ended = False
        self._closed_at: int | None = None  # where a body of unknown size ended
        self._confirmed = False
        self._error: FetchError | None = None
        self._stop = threading.Event()

    def __enter__(self) -> Transfer:
        return self

    def __exit__(self, *exc_info):
        self.close()

    def __repr__(self) -> str:
        return f'Transfer({self._name!r}, position={self.position})'

    def stop(self):
        """Makes a `read` in another thread end soon, with an error."""
        self._stop.set()
        response = self._response
        if response is not None and hasattr(response.raw, 'shutdown'):  # urllib3 2.3
            with contextlib.suppress(OSError, ValueError):
                response.raw.shutdown()  # else it would wait for a dead line to its time limit

    def close(self):
        """Ends the connection."""
        self._disconnect()
        self._session.close()

    def read(self, size: int = 1 << 20) -> bytes:
        """Reads the next `size` bytes, fewer only at the end; empty at the end.

        Raises:
          FetchError: what was tried did not help. Bytes received before are given first.
        """
        pieces, left = [], size
        while left > 0 and not self._complete and self._error is None:
            outcome = self._attempt(min(left, PIECE))
            if isinstance(outcome, Failure):
                self._error = self._after(outcome)
            elif outcome:
                pieces.append(outcome)
                left -= len(outcome)
        if self._error is not None and not pieces:
            raise self._error
        return b''.join(pieces)

    @property
    def _complete(self) -> bool:
        return self._ended or self.position == self.remote.size

    def _attempt(self, size: int) -> bytes | Failure:
        """Receives some bytes, or tells why not. Exceptions end here, since they hold the URL."""
        if self._stop.is_set():
            return Failure('stopped', 'a request to stop', '')
        try:
            if self._response is None and (failure := self._connect()):
                self._disconnect()
                return failure
            if self._complete:
                return b''
            data = self._receive(size)
        except answers.NETWORK_ERRORS as error:
            self._disconnect()
            return answers.network_failure(error, self._patience.read_timeout)
        if not data:
            return self._end()
        if self.position == 0 and (failure := answers.check_page(data)):
            self._disconnect()
            return failure
        self.position += len(data)
        self._tail = (self._tail + data)[-OVERLAP:] if len(data) < OVERLAP else data[-OVERLAP:]
        return data

    def _end(self) -> bytes | Failure:
        """Decides whether the end of a body is the end of the object or only of the connection.

        Where the server gives no size, both look the same. What would come next is asked for then:
        a server that has more sends it, and one that has not refuses or ends at the same byte.
        """
        chunked = self._response.raw.chunked  # `urllib3` knows the last chunk
        # First end at 700: nothing is known, so bytes from 700 on are asked for. Second end:
        #   416, or a 200 that ends at 700 again    the object has 700 bytes
        #   206 without a byte                      the server has bytes from 700 on: it was cut
        again, self._closed_at = self._closed_at == self.position, self.position
        more = (
            again and not chunked and self._response.status_code == 206
        )  # at the end it would be a 416
        self._disconnect()
        if more or self.remote.size is not None:
            return answers.cut()
        self._ended = chunked or again
        self._confirmed = chunked
        return b''

    def doubt(self) -> FetchError | None:
        """Gives the error to raise where what was read to its end turns out to be cut.

        `None` where the server said where the object ends: then it is the object that is cut.
        Else all that speaks for its end is that connections closed there.
        """
        if self._confirmed or self.position == self.remote.size:
            return None
        return answers.error(
            'fetch.Transfer.read', self._name, self.position, answers.cut(), self.retries + 1
        )

    def _receive(self, size: int) -> bytes:
        # `read1` gives what has arrived; `read` would lose it if the connection broke meanwhile.
        data = self._response.raw.read1(size, decode_content=False)
        self.fetched += len(data)
        return data

    def _connect(self) -> Failure | None:
        headers = {'Accept-Encoding': 'identity'}
        if self.position:
            headers['Range'] = f'bytes={self.position}-'
            if self.remote.condition:
                headers['If-Range'] = self.remote.condition
        self._response = requesting.send(self._session, 'GET', self._url, headers, self._patience)
        if failure := answers.check(self._response, self._url):
            if failure.status == 416 and self._is_at_end():
                self._ended = self._confirmed = True
                return None
            return failure
        remote, start = answers.describe(self._response)
        if not self.remote.same(remote):
            return answers.changed(self.remote, remote)
        self.remote = self.remote.completed(remote)
        if start is None or start > self.position:
            return Failure('range', f'bytes from {start}', 'The server answers wrongly.')
        return self._pass_over(self.position - start)

    def _is_at_end(self) -> bool:
        size = answers.describe(self._response)[0].size
        if size is None:  # not in the answer: compare with where the last body ended
            return self._closed_at == self.position
        return self.remote.size in (None, size) and size == self.position

    def _pass_over(self, size: int) -> Failure | None:
        """Skips bytes given before, where a server starts anew; compares the last of them."""
        tail = b''
        while size:
            if self._stop.is_set():
                return Failure('stopped', 'a request to stop', '')
            data = self._receive(min(size, PIECE))
            if not data:
                return answers.cut()
            size -= len(data)
            tail = (tail + data)[-OVERLAP:]
        common = min(len(tail), len(self._tail))
        if common and tail[-common:] != self._tail[-common:]:
            return answers.changed(self.remote, self.remote)
        return None

    def _after(self, failure: Failure) -> FetchError | None:
        """Waits before the next attempt, or gives the error after which there is none."""
        if self.position - self._failed_at >= PROGRESS:
            self._failures = 0
        self._failures += 1
        self._failed_at = self.position
        if failure.transient and self._failures < self._patience.attempts:
            self.retries += 1
            self._stop.wait(self._patience.delay(self._failures, failure.wait))
            return None
        return answers.error(
            'fetch.Transfer.read', self._name, self.position, failure, self._failures
        )

    def _disconnect(self):
        if self._response is not None:
            self._response.close()
            self._response = None
