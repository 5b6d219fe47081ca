"""The serialised examples of one part, from a place on, checked as in a build."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterator

from segment_anything_tfds.prepare.shards import serialize
from segment_anything_tfds.source import faults
from segment_anything_tfds.source.access import positioned
from segment_anything_tfds.source.archive import pair_stream
from segment_anything_tfds.source.record import annotations, examples
from segment_anything_tfds.streaming.ahead import Ahead
from segment_anything_tfds.streaming.cursors import Cursor
from segment_anything_tfds.streaming.parts import Part, Policy

AHEAD_BYTES = 8 << 20  # of examples of an archive that wait to be taken
SPOOL_BUDGET = 16 << 20  # bytes of halves of pairs that wait in memory, an archive
_DIGEST = 'archive_digest'

Items = Generator[tuple[bytes, Cursor]]


def open_part(part: Part, cursor: Cursor, policy: Policy) -> Ahead:
    """Reads a part in a thread of its own; see `Ahead`.

    Args:
      part: what to read.
      cursor: where to begin.
      policy: how to read archives.

    Returns:
      An iterator of serialised examples, each with the place after it.
    """
    reader = _ArchiveExamples(part, cursor, policy)
    return Ahead(iter(reader), size=_size, budget=AHEAD_BYTES, on_close=reader.stop)


def _size(item: tuple[bytes, Cursor]) -> int:
    return len(item[0])


class _ArchiveExamples:
    """The examples of an archive, and what became of its pairs."""

    def __init__(self, part: Part, cursor: Cursor, policy: Policy):
        self._part, self._cursor, self._policy = part, cursor, policy
        self._found: Counter[str] = Counter()
        self._raw = None
        self._waiting: list[int] = []  # numbers of the pairs since the last example
        self._reader = positioned.PositionedReader(
            part.source,
            on_fault=self._on_fault,
            start=cursor.pairs,
            open_raw=self._open_link if part.source.kind == 'link' else None,
            spool_budget=SPOOL_BUDGET,
            want_digest=part.name in policy.checksums,
        )

    def stop(self) -> None:
        """Ends a transfer that waits."""
        if self._raw is not None:
            self._raw.stop()

    def __iter__(self) -> Items:
        cursor = self._cursor
        try:
            with self._reader:
                for example in self._examples(cursor):
                    cursor = self._after(cursor, example)
                    yield b''.join(serialize.serialize(example)), cursor
            self._judge_digest()
        except faults.DataError as error:
            self._end(error, cursor)
        except OSError as error:
            raise _told(error, self._part.name, cursor.given) from error
        self._policy.report.tell(self._part.name, self._found)

    def _examples(self, cursor: Cursor) -> Iterator[annotations.Example]:
        seen: set[int] = set()
        checked = examples.check_pairs(
            self._pairs(cursor, seen),
            archive=self._part.name,
            on_fault=self._on_fault,
            decode_images=self._policy.decode_images,
            seen=seen,
        )
        for _, example in checked:
            yield example

    def _pairs(self, cursor: Cursor, seen: set[int]) -> Iterator[pair_stream.Pair]:
        for pair in self._reader:
            if self._reader.passed:
                others = dict(cursor.other_ids)
                passed = set(self._reader.passed).difference(cursor.left_out)
                seen.update(others.get(number, number) for number in passed)
                self._reader.passed.clear()
            self._waiting.append(int(pair.stem[3:]))
            yield pair

    def _after(self, cursor: Cursor, example: annotations.Example) -> Cursor:
        """The place after an example."""
        *left_out, number = self._waiting
        self._waiting.clear()
        image_id = example.image['image_id']
        other = () if image_id == number else ((number, image_id),)
        return Cursor(
            cursor.given + 1,
            self._reader.pairs,
            (*cursor.left_out, *left_out),
            (*cursor.other_ids, *other),
        )

    def _on_fault(self, fault: faults.Fault) -> None:
        if self._cursor.pairs and self._reader.pairs < self._cursor.pairs:
            return  # it was told when its place was passed the first time
        if self._policy.on_error == 'fail':
            raise faults.DataError([fault])
        self._policy.report.add(fault)
        self._found[fault.reason] += 1

    def _judge_digest(self) -> None:
        md5 = self._reader.md5
        verdict = None if md5 is None else self._policy.checksums.check(self._part.name, md5)
        if verdict is not None and verdict.level == 'error':
            self._on_fault(faults.Fault(self._part.name, _DIGEST, verdict.detail))

    def _end(self, error: faults.DataError, cursor: Cursor) -> None:
        """Ends an archive that cannot be read on."""
        if self._policy.on_error == 'fail':
            raise _told(error, self._part.name, cursor.given) from error
        for fault in error.faults:
            self._policy.report.add(fault)
            self._found[fault.reason] += 1

    def _open_link(self, source: pair_stream.Source):
        from segment_anything_tfds.streaming import renewal  # slow to import: only for links

        policy = self._policy
        self._raw = renewal.RenewedTransfer(source.number, policy.links_path, wait=policy.link_wait)
        return self._raw


def _told(error: Exception, name: str, given: int) -> Exception:
    """The error, with how far the stream came."""
    how = f'{given:,} examples of {name} were read before; a restored iterator goes on there.'
    if isinstance(error, faults.DataError):
        advice = "Pass `on_error='skip'` to leave out what has faults, each of it reported."
        return faults.DataError(error.faults, f'{error}\n{how} {advice}')
    if hasattr(error, 'reason') and hasattr(error, 'message'):
        return type(error)(f'{error.message} {how}', error.reason, error.status)
    return type(error)(*error.args[:1], f'{error.strerror or error} {how}', *error.args[2:])
