"""Members of a tar that arrives as a stream of chunks: nothing is sought, little is copied.

Reads what tar programs write: v7, ustar, GNU (long names, base-256 sizes, sparse) and pax.
`tarfile` does so too, but trusts sizes, and stops before what follows the end marker.

Everything comes in blocks of 512 bytes. A tar that holds one member of 700 bytes:

    block 0       header: name, size in octal digits (0001274), sum of the header's bytes, type '0'
    blocks 1, 2   700 bytes of contents, then 324 zeros up to the end of the block
    blocks 3, 4   the end marker, zeros; zeros may follow, for tapes
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator

from segment_anything_tfds.source.archive.chunks import StreamError

BLOCK = 512
META_LIMIT = 1 << 20  # bytes of a long name or a pax header
ZERO = bytes(BLOCK)

KINDS = {
    b'0': 'file',
    b'\0': 'file',
    b'7': 'file',
    b'1': 'hard_link',
    b'2': 'link',
    b'3': 'device',
    b'4': 'device',
    b'5': 'directory',
    b'6': 'device',
    b'S': 'sparse',
}
# Members of these kinds have no contents, whatever their size field claims.
EMPTY = frozenset({'link', 'hard_link', 'device', 'directory'})


@dataclasses.dataclass
class Member:
    """One member: its whole name, its kind (a value of `KINDS` or `'other'`), its size in bytes."""

    name: str
    kind: str
    size: int


class Cursor:
    """Takes and skips bytes across the borders of chunks."""

    def __init__(self, chunks: Iterator[bytes]):
        self._chunks = iter(chunks)
        self._view = memoryview(b'')
        self.position = 0

    def _fill(self) -> bool:
        while not self._view:
            chunk = next(self._chunks, None)
            if chunk is None:
                return False
            self._view = memoryview(chunk)
        return True

    def pieces(self, size: int) -> Iterator[memoryview]:
        """Takes at most `size` bytes, as views of their chunks; fewer where the data ends."""
        while size and self._fill():
            piece = self._view[:size]
            self._view = self._view[len(piece) :]
            self.position += len(piece)
            size -= len(piece)
            yield piece

    def take(self, size: int) -> bytes:
        """Takes at most `size` bytes, copied once; fewer where the data ends."""
        return b''.join(self.pieces(size))

    def skip(self, size: int) -> int:
        """Passes over `size` bytes; gives how many there were."""
        return sum(map(len, self.pieces(size)))

    def peek(self, size: int) -> bytes:
        """Shows up to `size` bytes that come next; they stay where they are."""
        data = self.take(size)
        self.position -= len(data)
        # what is left of the chunk goes before the later ones, and what was shown before that
        self._chunks = itertools.chain([self._view], self._chunks)
        self._view = memoryview(data)
        return data


class TarStream:
    """Iterates over members; `read` gives the contents of the one it stands at."""

    def __init__(self, cursor: Cursor):
        self.cursor = cursor
        self.current: str | None = None  # name of the member where reading stands
        self._left = 0  # bytes of contents and padding before the next header

    def __iter__(self) -> Iterator[Member]:
        while (member := self._next()) is not None:
            self.current = member.name
            yield member
        self._finish()

    def read(self, member: Member) -> bytes:
        """Reads the contents of the member that iteration just gave."""
        data = self.cursor.take(member.size)
        if len(data) < member.size:
            raise self._truncated(f'{member.size:,} bytes', len(data))
        self._left -= len(data)
        return data

    def _next(self) -> Member | None:
        """Gives the next member, with what extended headers say of it; `None` at the end marker."""
        self._skip_rest()
        extended: dict[str, bytes] = {}
        while True:
            block = self._block()
            if block == ZERO:
                return None
            size, typeflag = _check(block, self.cursor.position - BLOCK), block[156:157]
            if typeflag in b'LKxXg':
                self._extend(extended, typeflag, size)
                continue
            return self._member(block, typeflag, size, extended)

    def _member(self, block, typeflag, size, extended) -> Member:
        kind = KINDS.get(typeflag, 'other')
        if 'sparse' in extended:
            kind = 'sparse'
        if typeflag == b'S':
            # the map of what is there goes on in more blocks: byte 482 of the header says whether,
            # and byte 504 of each such block
            more = block[482]
            while more:
                more = self._block()[504]
        if 'size' in extended:
            size = _pax_size(extended['size'])
        if kind in EMPTY:
            size = 0
        name = extended.get('name') or _name(block)
        name = name.decode('utf-8', 'replace')
        if kind == 'file' and name.endswith('/'):
            kind = 'directory'
        self._left = size + -size % BLOCK
        return Member(name, kind, size)

    def _extend(self, extended: dict, typeflag: bytes, size: int):
        if size > META_LIMIT:
            raise StreamError(
                'archive_header',
                f'expected an extended header of at most {META_LIMIT:,} bytes; got {size:,}. '
                'Download the archive again.',
            )
        data = self.cursor.take(size)
        self._left = -size % BLOCK
        if len(data) < size:
            raise self._truncated(f'an extended header of {size:,} bytes', len(data))
        self._skip_rest()
        # L is a long name of the next member, x are pax records about it (X: the same of Solaris).
        # K, where a link leads, and g, records about all members, say nothing that counts here.
        if typeflag == b'L':
            extended['name'] = data.split(b'\0', 1)[0]
        elif typeflag in b'xX':
            extended.update(_pax(data))

    def _block(self) -> bytes:
        block = self.cursor.take(BLOCK)
        if len(block) < BLOCK:
            raise self._truncated('a header or the end marker', len(block))
        return block

    def _skip_rest(self):
        skipped = self.cursor.skip(self._left)
        if skipped < self._left:
            raise self._truncated(f'{self._left:,} more bytes', skipped)
        self._left = 0

    def _finish(self):
        """Reads to the very end: gzip's checksum lies there, and anything but zeros is a fault."""
        self.current = None
        while piece := next(self.cursor.pieces(len(ZERO) << 10), None):
            if any_byte(piece):
                raise StreamError(
                    'archive_trailing_data',
                    'expected nothing but zeros after the end marker; got other bytes before '
                    f'byte {self.cursor.position:,} of the contents. Download the archive again.',
                )

    def _truncated(self, expected: str, got: int) -> StreamError:
        return StreamError(
            'archive_truncated',
            f'expected {expected}; got the end of the data after {got:,} bytes. '
            'Download the archive again.',
        )


def any_byte(piece: memoryview) -> bool:
    """Tells whether any byte is not zero."""
    return bytes(piece).count(0) != len(piece)  # `any` would make an int of each byte


def _check(block: bytes, position: int) -> int:
    """Checks a header's sum; gives the member's size in bytes."""
    try:
        stored = _number(block[148:156])
        size = _number(block[124:136])
    except ValueError:
        stored = size = -1
    if size < 0 or stored not in _sums(block):
        raise StreamError(
            'archive_header',
            f'expected a tar header at byte {position:,} of the contents; got '
            f'{block[:16]!r}. Download the archive again.',
        )
    return size


def _sums(block: bytes) -> tuple[int, int]:
    """Sums up a header's bytes, its own field taken as spaces: unsigned, and signed."""
    rest = block[:148] + block[156:]
    # Some programs took characters as signed: a byte of 200 counts 200, or 200 - 256 = -56.
    unsigned = sum(rest) + 8 * 32
    signed = unsigned - 256 * sum(byte > 127 for byte in rest) if max(rest) > 127 else unsigned
    return unsigned, signed


def is_header(block: bytes) -> bool:
    """Tells whether a tar can begin so: a header whose sum is right, or the end marker."""
    if len(block) < BLOCK:
        return False
    try:
        return block == ZERO or _number(block[148:156]) in _sums(block)
    except ValueError:
        return False


def _number(field: bytes) -> int:
    """Reads octal digits, or GNU's base 256 where the first bit is set.

    700 is written `00000001274` and a zero, or as bytes 80 00 … 00 02 bc: 2 x 256 + 188.
    """
    if field[0] & 0x80:
        return int.from_bytes(bytes([field[0] & 0x7F]) + field[1:], 'big')
    text = field.split(b'\0', 1)[0].strip()
    if text and not text.isdigit():
        raise ValueError(text)
    return int(text or b'0', 8)


def _name(block: bytes) -> bytes:
    name = block[:100].split(b'\0', 1)[0]
    # GNU's magic is `ustar` and two blanks; it has times where POSIX has the prefix.
    prefix = block[345:500].split(b'\0', 1)[0] if block[257:263] == b'ustar\0' else b''
    return prefix + b'/' + name if prefix else name


def _pax(data: bytes) -> dict[str, bytes]:
    """Reads the records of a pax header that matter here: `path` as `name`, `size`, `sparse`.

    A record begins with its own length, digits and newline included: `19 path=./sa_1.jpg` is 18
    characters and a newline.
    """
    found: dict[str, bytes] = {}
    start, last = 0, len(data.rstrip(b'\0'))
    while start < last:
        length = data[start : start + 20].partition(b' ')[0]
        end = start + int(length) if length.isdigit() else 0
        key, equals, value = data[start + len(length) + 1 : max(end - 1, 0)].partition(b'=')
        if not equals or end > len(data):
            raise StreamError(
                'archive_header',
                'expected pax records "<length> <key>=<value>"; got '
                f'{data[start : start + 32]!r}. Download the archive again.',
            )
        if key == b'path':
            found['name'] = value
        elif key == b'size':
            found['size'] = value
        elif key.startswith(b'GNU.sparse'):
            found['sparse'] = value
        start = end
    return found


def _pax_size(value: bytes) -> int:
    if not value.isdigit() or len(value) > 20:
        raise StreamError(
            'archive_header',
            f'expected a pax size in decimal digits; got {value[:32]!r}. '
            'Download the archive again.',
        )
    return int(value)
