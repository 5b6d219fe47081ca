"""Halves of pairs that wait for their other half: some in memory, the rest in one file."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator

BLOCK = 64 << 10


class Spool:
    """Byte strings in one temporary file without a name; freed room is used again."""

    def __init__(self, folder: str | None = None):
        self._folder = folder
        self._file = None
        self._free: list[int] = []
        self._blocks = 0

    def put(self, data: bytes) -> tuple[list[int], int]:
        """Stores `data`; gives the ticket by which `pop` finds it."""
        if self._file is None:
            self._file = tempfile.TemporaryFile(  # noqa: SIM115
                dir=self._folder, prefix='sa1b-', buffering=0
            )
        blocks = []
        for _ in range(0, len(data), BLOCK):
            if not self._free:
                self._free.append(self._blocks)
                self._blocks += 1
            blocks.append(self._free.pop())
        view = memoryview(data)
        for offset, start, end in _pieces(blocks, len(data)):
            self._file.seek(offset)
            self._write(view[start:end])
        return blocks, len(data)

    def _write(self, piece: memoryview):
        try:
            while piece:
                piece = piece[self._file.write(piece) :]
        except OSError as error:
            folder = self._folder or tempfile.gettempdir()
            raise OSError(
                error.errno,
                '`pair_stream.open_archive`: expected room for images that wait for their records, '
                f'up to 3 GB an archive; got "{error.strerror}" in {folder}. Set the environment '
                'variable TMPDIR to a folder on a disk with room; /tmp may lie in memory.',
            ) from error

    def pop(self, ticket: tuple[list[int], int]) -> bytes:
        """Gives back what `put` stored, and frees its room."""
        blocks, size = ticket
        found = []
        for offset, start, end in _pieces(blocks, size):
            self._file.seek(offset)
            found.append(self._file.read(end - start))
            if len(found[-1]) != end - start:
                raise OSError('`waiting.Spool`: expected the temporary file whole; it was cut')
        self._free.extend(reversed(blocks))  # so that `put` takes them in rising order
        return found[0] if len(found) == 1 else b''.join(found)

    def close(self):
        if self._file is not None:
            self._file.close()


def _pieces(blocks: list[int], size: int) -> Iterator[tuple[int, int, int]]:
    """Tells where the pieces of a byte string lie: offset in the file, start and end in the string.

    Blocks that follow each other are one piece, and most do: what is freed last is used first.
    Blocks 5, 6, 9 are two pieces, of two blocks and of what is left.
    """
    first = 0
    for n in range(1, len(blocks) + 1):
        if n == len(blocks) or blocks[n] != blocks[n - 1] + 1:
            yield blocks[first] * BLOCK, first * BLOCK, min(n * BLOCK, size)
            first = n


class Waiting:
    """A mapping of byte strings that holds at most `budget` bytes in memory, the rest in a file."""

    def __init__(self, budget: int, folder: str | None = None):
        self._budget = budget
        self._held = 0
        self._items: dict = {}
        self._spool = Spool(folder)

    def __iter__(self):
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __contains__(self, key) -> bool:
        return key in self._items

    def put(self, key, data: bytes):
        """Keeps `data` until `pop(key)`."""
        if self._held + len(data) > self._budget:
            self._items[key] = self._spool.put(data)
        else:
            self._items[key] = data
            self._held += len(data)

    def pop(self, key) -> bytes:
        """Gives `data` back and forgets it."""
        item = self._items.pop(key)
        if isinstance(item, bytes):
            self._held -= len(item)
            return item
        return self._spool.pop(item)

    def close(self):
        self._spool.close()
