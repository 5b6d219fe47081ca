"""Places in the stream: in one archive, and in several that are mixed. Small, and JSON."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable

BLOCK = 16  # examples from an archive before it is the next one's turn, in order, as in TFDS


@dataclasses.dataclass(frozen=True)
class Cursor:
    """A place in the examples of one archive.

    Attributes:
      given: examples before it.
      pairs: pairs of the archive before it, those with faults included; `None` where the examples
        came from a prepared shard, which does not say.
      left_out: numbers of the images among those pairs that have no example.
      other_ids: of those pairs whose `image_id` is not the number in their files' names, both:
        [number, `image_id`].
    """

    given: int = 0
    pairs: int | None = 0
    left_out: tuple[int, ...] = ()
    other_ids: tuple[tuple[int, int], ...] = ()

    def as_list(self) -> list:
        """Gives the fields, for JSON."""
        return list(vars(self).values())

    @classmethod
    def from_list(cls, fields: list) -> Cursor:
        """Undoes `as_list`."""
        given, pairs, left_out, other_ids = fields
        return cls(given, pairs, tuple(left_out), tuple(map(tuple, other_ids)))


@dataclasses.dataclass(frozen=True)
class Position:
    """A place in a mixture of archives: where its last window began, and what it gave since.

    Attributes:
      archives: numbers of the archives that are mixed, in order.
      seed: what the windows are shuffled by; `None` for no shuffling.
      size: examples in a window.
      cursors: a place in each archive; `None` for one that has ended.
      turn: which archive is next.
      left: examples that it gives before it is the next one's turn.
      window: number of the window.
      given: examples of the window that were given.
    """

    archives: tuple[int, ...]
    seed: int | None
    size: int
    cursors: tuple[Cursor | None, ...]
    turn: int = 0
    left: int = 1
    window: int = 0
    given: int = 0

    @classmethod
    def start(cls, archives: Iterable[int], seed: int | None, size: int) -> Position:
        """Tells where a mixture begins."""
        archives = tuple(archives)
        at = cls(archives, seed, size, (Cursor(),) * len(archives))
        return dataclasses.replace(at, left=at.block)

    @property
    def block(self) -> int:
        """Examples from an archive before it is the next one's turn."""
        return BLOCK if self.seed is None else 1

    def to_json(self) -> str:
        """Gives the position as a short text."""
        cursors = [cursor and cursor.as_list() for cursor in self.cursors]
        fields = {**vars(self), 'cursors': cursors}
        return json.dumps(fields, separators=(',', ':'))

    @classmethod
    def from_json(cls, text: str | bytes) -> Position:
        """Reads what `to_json` wrote.

        Raises:
          ValueError: the text is no position.
        """
        try:
            fields = json.loads(text)
            cursors = tuple(cursor and Cursor.from_list(cursor) for cursor in fields['cursors'])
            return cls(**{**fields, 'archives': tuple(fields['archives']), 'cursors': cursors})
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(
                f'`cursors.Position`: expected `text` that `to_json` wrote; got {text[:80]!r}. '
                'Save the iterator again.'
            ) from error
