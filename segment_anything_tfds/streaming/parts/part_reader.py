"""The serialised examples of one part, from a place on, in a thread of its own."""

from __future__ import annotations

import contextlib
import threading

from segment_anything_tfds.streaming.parts import archive_examples, keeping, shard_files
from segment_anything_tfds.streaming.parts.ahead import Ahead, Put
from segment_anything_tfds.streaming.parts.cursors import Cursor
from segment_anything_tfds.streaming.parts.parts import Part, Policy

AHEAD_BYTES = 1 << 20  # of examples of an archive that wait to be taken


def open_part(
    part: Part,
    cursor: Cursor,
    policy: Policy,
    turn: threading.Lock,
    keeper: keeping.Keeper | None = None,
) -> Ahead:
    """Reads a part in a thread of its own; see `Ahead`.

    Args:
      part: what to read.
      cursor: where to begin.
      policy: how to read archives.
      turn: held by each of the archives that are read at once while it checks a pair.
      keeper: keeps the shards of archives that are read; `None` for no keeping.

    Returns:
      An iterator of serialised examples, each with the place after it.
    """
    part = part if keeper is None else keeper.current(part)
    if part.source is None:
        return Ahead(lambda put: _give(_read_shards(part, cursor), put), **_LIMITS)
    if keeper is not None:
        kept = keeper.reader(part, cursor, turn)
        return Ahead(kept.produce, on_close=kept.stop, **_LIMITS)
    reader = archive_examples.ArchiveExamples(part, cursor, policy, turn)
    return Ahead(lambda put: _give(reader.items(), put), on_close=reader.stop, **_LIMITS)


def _size(item: tuple[bytes, Cursor]) -> int:
    return len(item[0])


_LIMITS = {'size': _size, 'budget': AHEAD_BYTES}


def _give(items: archive_examples.Items, put: Put) -> None:
    with contextlib.closing(items):
        for item in items:
            if not put(item):
                return


def _read_shards(part: Part, cursor: Cursor) -> archive_examples.Items:
    count = len(part.shards)
    given = cursor.given
    readers = [
        # Of examples 0, 1, 2, ... shard i has i, i + count, ... After 3 examples of 2 shards,
        # shard 0 has given 2 of them and shard 1 has given 1.
        shard_files.read(path, part.file_format, examples, (given - index + count - 1) // count)
        for index, (path, examples) in enumerate(zip(part.shards, part.examples, strict=True))
    ]
    try:
        while (record := next(readers[given % count], None)) is not None:
            given += 1
            yield record, Cursor(given, None)
    except OSError as error:
        raise archive_examples.told(error, part.name, given) from error
