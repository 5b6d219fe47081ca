"""SA-1B archives as streams of pairs: an image's bytes and its record's bytes.

An archive is a tar, plain or in gzip (told by its bytes), or a folder that holds the same files.
Members come in any order; a pair is given as soon as both its halves were seen, and halves that
wait are held in bounded memory. Every archive is read to its very end, so that a truncated or
damaged one is never taken for whole.
"""

from __future__ import annotations

import collections
import contextlib
import functools
import pathlib
from collections.abc import Callable, Iterator

from segment_anything_tfds.source.archive import chunks, halves, memory, paths, tar_stream, waiting
from segment_anything_tfds.source.archive.halves import Half, Pair
from segment_anything_tfds.source.archive.locations import Source, locate
from segment_anything_tfds.source.faults import DataError, Fault

__all__ = ['ArchiveReader', 'Pair', 'Source', 'locate', 'open_archive']

IMAGE_LIMIT = 64 << 20  # bytes; SA-1B's largest images are near 5 MB
RECORD_LIMIT = 16 << 20  # bytes; records are 63 KB on average
SPOOL_BUDGET = 64 << 20  # bytes of halves that wait in memory
# Halves of pairs in the order of the archive, each with a function that reads it.
Members = Iterator[tuple[Half, Callable[[], bytes]]]


class ArchiveReader:
    """Iterates over the pairs of one archive, once. Made by `open_archive`.

    Attributes:
      bytes_read: bytes of the archive read so far, as stored (compressed).
      md5: hexadecimal digest of the whole archive, damaged or not, after iteration, if wanted.
      ignored: how many members were passed over, by kind: `'link'`, `'hard_link'`, `'device'`,
        `'sparse'`, `'parent'`, `'resource_fork'`, `'other'`. Directories are not counted. One that
        is called like an image or a record is a fault besides.
      size: bytes of an archive behind a link, as its server says; `None` before it has said so.
      pairs: pairs given so far.
      faults: faults reported so far.
    """

    def __init__(self, source, *, on_fault, spool_dir, spool_budget, want_digest, on_bytes):
        self.bytes_read = 0
        self.md5: str | None = None
        self.ignored: collections.Counter = collections.Counter()
        self.pairs = 0
        self.faults = 0
        self._source = source
        self._on_fault = on_fault
        self._on_bytes = on_bytes
        self._want_digest = want_digest and source.kind != 'folder'
        self._piece: int | None = None
        self._waiting = waiting.Waiting(spool_budget, spool_dir)
        self._names: dict[tuple[str, str], str] = {}  # every half seen: its member's name
        self._refused: set[tuple[str, str]] = set()  # halves that cannot be read
        self._raw: chunks.Counted | None = None
        self._background: chunks.Background | None = None
        self._stream: tar_stream.TarStream | None = None
        self._begun = False

    @property
    def size(self) -> int | None:
        return None if self._raw is None else self._raw.size

    def __enter__(self) -> ArchiveReader:
        return self

    def __exit__(self, *exc_info):
        if self._background is not None:
            self._raw.stop()
            self._background.close()
            self._raw.md5()  # ends its thread
        self._waiting.close()

    def __iter__(self) -> Iterator[Pair]:
        if self._begun:
            raise ValueError(
                '`pair_stream.ArchiveReader`: expected one iteration; got a second one over '
                f'{self._source!r}. Open the archive again.'
            )
        self._begun = True
        memory.keep()
        error = None
        try:
            for half, read in self._members():
                yield from self._pair(half, read)
        except chunks.StreamError as fault:
            if self._raw is not None:  # plain tars that are read by position have no stream
                self._raw.blame_line(fault)
            at = self._stream and self._stream.current
            member = None if at is None else halves.base_name(at)
            error = Fault(self._source.name, fault.reason, fault.detail, member)
            if self._want_digest:
                self._read_rest()
        try:
            self._report_unpaired()
        finally:  # `on_fault` may raise; what broke the archive is why their other halves lack
            if error is None and not self._names:
                error = self._empty()
            if error is not None:
                raise DataError([error])

    def _members(self) -> Members:
        return self._folder() if self._source.kind == 'folder' else self._tar()

    def _pair(self, half: Half, read: Callable[[], bytes]) -> Iterator[Pair]:
        """Takes one half, if it is fit to be read; gives the pair, if that makes it whole."""
        key = (half.stem, half.kind)
        if key in self._names:
            return self._fault(
                'member_duplicate',
                f'expected one {half.kind} of {half.stem}; got a second one, after '
                f'{self._names[key]}. The first one counts.',
                half.name,
            )
        self._names[key] = half.name
        limit = IMAGE_LIMIT if half.kind == 'image' else RECORD_LIMIT
        if half.size > limit:
            self._refused.add(key)
            return self._fault(
                'member_too_large',
                f'expected {half.kind}s of at most {limit:,} bytes; got {half.size:,}. '
                'It was not read.',
                half.name,
            )
        yield from self._match(half, read)

    def _match(self, half: Half, read: Callable[[], bytes]) -> Iterator[Pair]:
        """Keeps a half until its other half comes; then gives the pair."""
        data = read()
        if (half.stem, half.other) not in self._waiting:
            self._waiting.put((half.stem, half.kind), data)
            return
        self.pairs += 1
        yield self._make_pair(half, data, self._waiting.pop((half.stem, half.other)))

    def _make_pair(self, half: Half, data: bytes, other: bytes) -> Pair:
        image, record = (data, other) if half.kind == 'image' else (other, data)
        names = [self._names[half.stem, kind] for kind in ('image', 'record')]
        return Pair(half.stem, names[0], image, names[1], record)

    def _fault(self, reason: str, detail: str, member: str | None = None):
        self.faults += 1
        self._on_fault(Fault(self._source.name, reason, detail, member))

    def _report_unpaired(self):
        for stem, kind in list(self._waiting):
            missing = 'record' if kind == 'image' else 'image'
            if (stem, missing) in self._refused:
                continue  # it was there, and its own fault is reported
            self._fault(
                f'{missing}_missing',
                f'expected the {missing} of {stem} in the archive; got only its {kind}.',
                self._names[stem, kind],
            )

    def _empty(self) -> Fault:
        passed = ', '.join(f'{count} {kind}' for kind, count in sorted(self.ignored.items()))
        return Fault(
            self._source.name,
            'archive_empty',
            'expected members sa_<id>.jpg and sa_<id>.json; got none'
            f'{f" (passed over: {passed})" if passed else ""}. Download the archive again.',
        )

    def _open(self):
        """Opens the bytes of the archive as it is stored, as an object with `read` and `close`."""
        if self._source.kind != 'link':
            path = paths.open_path(self._source.location)
            return open(path, 'rb', 0) if isinstance(path, pathlib.Path) else path.open('rb')
        from segment_anything_tfds.source.remote import fetch  # slow to import: only for links

        return fetch.Transfer(self._source.location, name=self._source.name)

    def _half(self, name: str, kind: str, size: int) -> Half | None:
        """Gives the half of a pair that a member is; `None` for what is passed over and counted."""
        found = halves.classify(name, kind, size)
        if isinstance(found, Half):
            return found
        if found == 'directory':
            return None
        self.ignored[found] += 1
        base = halves.base_name(name)
        lost = halves.parse_name(base)
        if lost is not None:
            self._refused.add((lost.stem, lost.kind))
        in_folder = found == 'link' and self._source.kind == 'folder'  # may be a folder of halves
        if lost is not None or in_folder:
            self._fault(*halves.why_lost(found), base)
        return None

    def _count(self):
        read, self.bytes_read = self._raw.count - self.bytes_read, self._raw.count
        if self._on_bytes is not None and read:
            self._on_bytes(read)

    def _tar(self) -> Members:
        digest = chunks.Digest() if self._want_digest else None
        self._raw = chunks.Counted(self._open(), digest, self._piece)
        depth = 2 if self._piece is None else 1  # small pieces are for those who have little room
        self._background = chunks.Background(self._raw.contents(), depth)
        self._stream = tar_stream.TarStream(tar_stream.Cursor(self._counted()))
        try:
            halves.check_start(self._stream.cursor.peek(tar_stream.BLOCK))
            for member in self._stream:
                half = self._half(member.name, member.kind, member.size)
                if half is not None:
                    yield half, functools.partial(self._stream.read, member)
        finally:
            self._count()
        self.md5 = self._raw.md5()

    def _read_rest(self):
        """Goes on to the end of a damaged archive, for its digest alone."""
        with contextlib.suppress(chunks.StreamError):
            collections.deque(self._counted(), maxlen=0)
        self._count()
        self.md5 = self._raw.md5()

    def _counted(self) -> Iterator[bytes]:
        for chunk in self._background:
            self._count()
            yield chunk

    def _folder(self) -> Members:
        found = []
        for name, kind, size, _, path in paths.walk(self._source.location):
            half = self._half(name, kind, size)
            if half is not None:
                found.append((half, path))
        for half, path in sorted(found, key=lambda item: item[0].order):
            yield half, functools.partial(self._read_file, path)

    def _read_file(self, path) -> bytes:
        data = path.read_bytes()
        self.bytes_read += len(data)
        if self._on_bytes is not None:
            self._on_bytes(len(data))
        return data


def open_archive(
    source: Source,
    *,
    on_fault: Callable[[Fault], None],
    spool_dir: str | None = None,
    spool_budget: int = SPOOL_BUDGET,
    want_digest: bool = False,
    on_bytes: Callable[[int], None] | None = None,
) -> ArchiveReader:
    """Opens an archive as a context manager that iterates over its pairs.

    Nothing is read before iteration begins. While it goes on, one thread reads and decompresses
    ahead by a few chunks of at most 8 MiB.

    Args:
      source: where the archive is.
      on_fault: called, in the thread that iterates, with each fault of one member: a half without
        its other half (at the end), the same half twice, a member too large or no plain file. The
        rest is read on.
      spool_dir: folder of the one temporary file, which is made only when halves that wait exceed
        the budget and has no name there; `None` for the system's.
      spool_budget: bytes of waiting halves that are held in memory.
      want_digest: whether to compute the MD5 of the archive on the way; see `ArchiveReader.md5`.
      on_bytes: called, in the thread that iterates, with the number of bytes read since.

    Returns:
      An `ArchiveReader`.

    Raises:
      DataError: while iterating, for an archive that is no tar, truncated, damaged or empty; by
        then all pairs that could be read have been given, and all halves left over reported.
      fetch.FetchError: while iterating, for a link that cannot be read to its end.
      OSError: while iterating, for a file that cannot be read or a full disk.

    Example:
      >>> with open_archive(source, on_fault=print) as reader:  # doctest: +SKIP
      ...   for pair in reader:
      ...     print(pair.stem, len(pair.image), len(pair.record))
    """
    return ArchiveReader(
        source,
        on_fault=on_fault,
        spool_dir=spool_dir,
        spool_budget=spool_budget,
        want_digest=want_digest,
        on_bytes=on_bytes,
    )
