"""The serialised examples of an archive, from a place on, checked as in a build."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Generator, Iterator

from segment_anything_tfds.prepare.shards import serialize
from segment_anything_tfds.source import faults
from segment_anything_tfds.source.access import positioned
from segment_anything_tfds.source.archive import pair_stream
from segment_anything_tfds.source.record import annotations, examples
from segment_anything_tfds.streaming.parts import raw_bytes
from segment_anything_tfds.streaming.parts.cursors import Cursor
from segment_anything_tfds.streaming.parts.parts import Part, Policy

SPOOL_BUDGET = 1 << 20  # bytes of halves of pairs that wait in memory, an archive
_DIGEST = 'archive_digest'

Items = Generator[tuple[bytes, Cursor]]


class ArchiveExamples:
    """The examples of an archive, and what became of its pairs."""

    def __init__(self, part: Part, cursor: Cursor, policy: Policy, turn: threading.Lock):
        self._part, self._cursor, self._policy, self._turn = part, cursor, policy, turn
        self._found: Counter[str] = Counter()
        self._raw = raw_bytes.Opener(policy.links_path, policy.link_wait)
        self._waiting: list[int] = []  # numbers of the pairs since the last example
        self._reader = positioned.PositionedReader(
            part.source,
            on_fault=self._on_fault,
            start=cursor.pairs or 0,
            open_raw=self._raw.of(part.source),
            piece=raw_bytes.PIECE,
            spool_budget=SPOOL_BUDGET,
            want_digest=part.name in policy.checksums,
        )

    def stop(self) -> None:
        """Ends a transfer that waits."""
        self._raw.stop()

    def items(self) -> Items:
        """Gives the examples, each with the place after it."""
        cursor = self._cursor
        skip = cursor.given if cursor.pairs is None else 0  # which pairs these were is not known
        cursor = Cursor() if skip else cursor
        try:
            with self._reader:
                for example in self._examples(cursor):
                    cursor = self._after(cursor, example)
                    if cursor.given > skip:
                        yield b''.join(serialize.serialize(example)), cursor
            self._judge_digest()
        except faults.DataError as error:
            self._end(error, cursor)
        except OSError as error:
            raise told(error, self._part.name, cursor.given) from error
        self._policy.report.tell(self._part.name, self._found)

    def _examples(self, cursor: Cursor) -> Iterator[annotations.Example]:
        seen: set[int] = set()
        checked = examples.check_pairs(
            self._pairs(cursor, seen),
            archive=self._part.name,
            on_fault=self._on_fault,
            decode_images=self._policy.decode_images,
            seen=seen,
            turn=self._turn,
        )
        for _, example in checked:
            yield example

    def _pairs(self, cursor: Cursor, seen: set[int]) -> Iterator[pair_stream.Pair]:
        for pair in self._reader:
            if self._reader.passed:  # their ids count as seen, though nobody reads them again
                others = dict(cursor.other_ids)
                passed = set(self._reader.passed).difference(cursor.left_out)
                seen.update(others.get(number, number) for number in passed)
                self._reader.passed.clear()
            self._waiting.append(int(pair.stem[3:]))
            yield pair

    def _after(self, cursor: Cursor, example: annotations.Example) -> Cursor:
        """Gives the place after an example."""
        # Of pairs 7, 8 and 9 since the last example, only 9 has one: 7 and 8 were left out.
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
            raise told(error, self._part.name, cursor.given) from error
        for fault in error.faults:
            self._policy.report.add(fault)
            self._found[fault.reason] += 1


def told(error: Exception, name: str, given: int) -> Exception:
    """Gives the error, with how far the stream came.

    Args:
      error: what ended the reading of an archive.
      name: name of the archive.
      given: examples of it that were read before.
    """
    how = f'{given:,} examples of {name} were read before; a restored iterator goes on there.'
    if isinstance(error, faults.DataError):
        advice = "Pass `on_error='skip'` to leave out what has faults, each of it reported."
        return faults.DataError(error.faults, f'{error}\n{how} {advice}')
    if hasattr(error, 'reason') and hasattr(error, 'message'):
        return type(error)(f'{error.message} {how}', error.reason, error.status)
    if isinstance(error, OSError) and error.strerror:
        return type(error)(error.errno, f'{error.strerror} {how}', *error.args[2:])
    return type(error)(f'{error} {how}')
