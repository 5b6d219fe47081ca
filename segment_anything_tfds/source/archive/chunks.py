"""The bytes of an archive, decompressed beside whoever reads them.

Chunks are large on purpose: the thread that decompresses needs the interpreter's lock only between
two chunks, so a busy reader holds it up once in several megabytes.
"""

from __future__ import annotations

import collections
import hashlib
import itertools
import queue
import threading
import zlib
from collections.abc import Callable, Generator, Iterator

try:
    from isal import igzip_lib
except ImportError:  # a platform without a wheel: zlib gives the same bytes, more slowly
    igzip_lib = None

READ_SIZE = 8 << 20
CHUNK_SIZE = 8 << 20
GZIP_MAGIC = b'\x1f\x8b'
# A gzip stream that grows a hundredfold and past a gigabyte holds no photographs.
BOMB_RATIO = 100
BOMB_SIZE = 1 << 30


class StreamError(Exception):
    """Bytes that cannot be read on; `reason` and `detail` are those of the fault."""

    def __init__(self, reason: str, detail: str):
        super().__init__(reason, detail)
        self.reason, self.detail = reason, detail


class Background:
    """Runs a generator in a thread, at most `depth` items ahead of its reader; closes it there."""

    def __init__(self, items: Generator, depth: int = 2):
        self._items = items
        self._queue = queue.Queue(depth)
        self._stop = threading.Event()
        self._done = False
        self._thread = threading.Thread(target=self._run, name='sa1b-chunks', daemon=True)
        self._thread.start()

    def _run(self):
        try:
            for item in self._items:
                self._queue.put((item, None))
                del item  # or the chunk would live until the next one is made
                if self._stop.is_set():
                    return
            self._queue.put((None, StopIteration()))
        except BaseException as error:  # handed to the reader, whatever it is
            self._queue.put((None, error))
        finally:
            self._items.close()

    def __iter__(self):
        return self

    def __next__(self):
        if self._done:
            raise StopIteration
        item, error = self._queue.get()
        if error is not None:
            self._done = True
            raise error
        return item

    def close(self, timeout: float = 5.0):
        """Lets the thread end; one that waits for the network is given `timeout` seconds."""
        self._done = True
        self._stop.set()
        # The thread may wait for room in the queue, and sees `_stop` only after that.
        while self._thread.is_alive() and timeout > 0:
            try:
                while True:
                    self._queue.get_nowait()
            except queue.Empty:
                self._thread.join(0.02)
                timeout -= 0.02


class Digest:
    """MD5 in a thread of its own: it would otherwise take half as long as decompressing."""

    def __init__(self):
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._ended = False
        self._queue = queue.Queue(2)
        self._thread = threading.Thread(target=self._run, name='sa1b-md5', daemon=True)
        self._thread.start()

    def _run(self):
        while (data := self._queue.get()) is not None:
            self._md5.update(data)

    def update(self, data: bytes):
        if not self._ended:
            self._queue.put(data)

    def hexdigest(self) -> str:
        """Gives the digest of all that was given so far; ends the thread."""
        if not self._ended:
            self._ended = True
            self._queue.put(None)
            self._thread.join()
        return self._md5.hexdigest()


class Counted:
    """Raw bytes of an archive, counted and digested as they are read.

    Attributes:
      count: bytes read so far.
    """

    def __init__(self, raw, digest: Digest | None = None, piece: int | None = None):
        """Takes over an object with `read` and `close`.

        Args:
          raw: the object.
          digest: what the bytes are digested by.
          piece: bytes that are read, and decompressed, at a time; `None` for `READ_SIZE` and
            `CHUNK_SIZE`.
        """
        self.count = 0
        self._raw = raw
        self._digest = digest
        self._piece = piece

    def contents(self) -> Generator[bytes]:
        """Gives the contents in chunks, decompressed if the first bytes are those of gzip."""
        try:
            pieces = self._pieces()
            first = next(pieces, b'')
            # a connection may give a single byte at first
            while 0 < len(first) < len(GZIP_MAGIC) and (more := next(pieces, b'')):
                first += more
            pieces = itertools.chain([first], pieces)
            yield from gunzip(pieces, size=self._piece) if first.startswith(GZIP_MAGIC) else pieces
        except StreamError:
            if self._digest is not None:  # a damaged copy can be known by its digest
                collections.deque(self._pieces(), maxlen=0)
            raise
        finally:
            self._raw.close()

    def _pieces(self) -> Iterator[bytes]:
        while piece := self._raw.read(self._piece or READ_SIZE):
            self.count += len(piece)
            if self._digest is not None:
                self._digest.update(piece)
            yield piece

    @property
    def size(self) -> int | None:
        """Bytes in all, where a transfer knows it."""
        return self._raw.remote.size if hasattr(self._raw, 'remote') else None

    def stop(self):
        """Stops a transfer that waits for its server."""
        if hasattr(self._raw, 'stop'):
            self._raw.stop()

    def blame_line(self, fault: StreamError) -> None:
        """Raises where a link's archive is truncated, and the line may have cut it.

        Raises:
          fetch.FetchError: the server did not say where the archive ends.
        """
        doubt = self._raw.doubt() if hasattr(self._raw, 'doubt') else None
        if doubt is not None and fault.reason == 'archive_truncated':
            raise doubt from None

    def md5(self) -> str | None:
        """Gives the digest of what was read so far; nothing read later counts."""
        return None if self._digest is None else self._digest.hexdigest()


class ZlibDecompressor:
    """`zlib` with the interface of `igzip_lib.IgzipDecompressor`, for one gzip member."""

    def __init__(self):
        self._zlib = zlib.decompressobj(wbits=31)  # 15, the largest window, + 16: gzip and no other
        self._tail = b''

    eof = property(lambda self: self._zlib.eof)
    unused_data = property(lambda self: self._zlib.unused_data)
    needs_input = property(lambda self: not self._tail and not self.eof)

    def decompress(self, data: bytes, max_length: int) -> bytes:
        out = self._zlib.decompress(self._tail + data, max_length)
        self._tail = self._zlib.unconsumed_tail
        # A full output buffer may hide a rest inside zlib: ask again with no input.
        if not self._tail and len(out) == max_length and not self.eof:
            out += self._zlib.decompress(b'', max_length)
            self._tail = self._zlib.unconsumed_tail
        return out


def decompressor():
    """Makes a fresh decompressor of one gzip member: `isal`'s, or else `zlib`'s."""
    if igzip_lib is None:
        return ZlibDecompressor()
    return igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)


ERRORS = (zlib.error, EOFError) + ((igzip_lib.IsalError,) if igzip_lib else ())


def gunzip(
    pieces: Iterator[bytes], make: Callable = decompressor, size: int | None = None
) -> Iterator[bytes]:
    """Decompresses gzip members that follow each other; checks every CRC and length.

    Args:
      pieces: the compressed bytes, in pieces of any size.
      make: gives a decompressor for one gzip member.
      size: of the chunks at most, in bytes; `None` for `CHUNK_SIZE`.

    Yields:
      Chunks of at most `size` bytes.

    Raises:
      StreamError: bad bytes, an end in the middle, garbage after the end, a gzip bomb.
    """
    # `started` tells the inside of a member from the room between two, where data may end:
    #   member | zeros | member | zeros
    state, taken, given, started = make(), 0, 0, False
    for piece in pieces:
        taken += len(piece)
        # goes round without input too, while the decompressor holds more than one chunk of output
        while piece or not (state.needs_input or state.eof):
            if not started:
                piece = _member_start(piece, taken)
                if not piece:
                    break
                started = True
            chunk = _decompress(state, piece, size or CHUNK_SIZE, given)
            piece = b''
            given += len(chunk)
            if given > BOMB_SIZE and given > BOMB_RATIO * taken:
                raise StreamError(
                    'archive_bomb',
                    f'expected at most {BOMB_RATIO} times as many bytes as were compressed; '
                    f'got {given:,} from {taken:,}. Do not use this archive.',
                )
            if chunk:
                yield chunk
            if state.eof:
                piece, state, started = state.unused_data, make(), False
    if started:
        raise StreamError(
            'archive_truncated',
            f'expected the end of the gzip stream; got the end of the data after {taken:,} '
            'bytes. Download the archive again.',
        )


def _decompress(state, piece: bytes, size: int, given: int) -> bytes:
    try:
        return state.decompress(piece, size)
    except ERRORS as error:
        raise StreamError(
            'archive_corrupt',
            f'expected an intact gzip stream; got "{error}" after {given:,} bytes of contents. '
            'Download the archive again.',
        ) from None


def _member_start(piece: bytes, taken: int) -> bytes:
    """Passes over the zero padding that may stand between and after gzip members."""
    piece = bytes(piece).lstrip(b'\0') if piece[:1] == b'\0' else piece
    if piece and piece[:1] != GZIP_MAGIC[:1]:
        raise StreamError(
            'archive_trailing_data',
            f'expected nothing after the end of the gzip stream; got {bytes(piece[:16])!r} within '
            f'the first {taken:,} bytes. Download the archive again.',
        )
    return piece
