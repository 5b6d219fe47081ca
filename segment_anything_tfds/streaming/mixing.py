"""Several archives at once: examples taken in turn, shuffled window by window, from any place on.

Shuffling has to be cheap to save and to resume, and a buffer whose contents come from anywhere is
neither. So the examples, taken from the archives in turn, are cut into windows, and each window
is shuffled by a seed of its own. While one is given out, the next one fills, so about one window is
in memory. A place is where the window began in each archive, and how many of it were given:

    archives      a1 a2 a3 ...   b1 b2 b3 ...
    in turn       a1 a2 b1 b2 | a3 a4 b3 b4 | ...       two from each, windows of four
    shuffled      b1 a2 a1 b2 | b4 a3 b3 a4 | ...

The first windows are small, so that the first example comes soon; they double up to full size.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import numpy as np

from segment_anything_tfds.streaming.cursors import BLOCK, Cursor, Position

FIRST_WINDOW = 16

Items = Iterator[tuple[bytes, Cursor]]


class Mixer:
    """Gives the serialised examples of several archives, from a position on."""

    def __init__(self, position: Position, open_archive: Callable[[int, Cursor], Items]):
        """Opens the archives that have not ended.

        Args:
          position: where to begin.
          open_archive: gives the examples of an archive from a place on, each with the place after
            it; what it gives has a method `close`.
        """
        self._at, self._given = position, 0
        self._skip = position.given  # of the first window, examples that were given before
        self._streams = [
            None if cursor is None else open_archive(number, cursor)
            for number, cursor in zip(position.archives, position.cursors, strict=True)
        ]
        self._cursors = list(position.cursors)
        self._turn, self._left = position.turn, position.left
        self._window: list[bytes | None] = []
        self._filling: list[bytes] = []
        self._begun = dataclasses.replace(position, given=0)
        self._error: Exception | None = None

    @property
    def position(self) -> Position:
        """Where the next example is."""
        return dataclasses.replace(self._at, given=self._skip or self._given)

    def take(self, count: int) -> list[bytes]:
        """Up to `count` examples; fewer, and in the end none, where all archives have ended.

        What goes wrong is raised once the windows before it have been given.
        """
        taken: list[bytes] = []
        while len(taken) < count and (record := self._next(wait=not taken)) is not None:
            taken.append(record)
        return taken

    def _next(self, *, wait: bool) -> bytes | None:
        """The next example; `None` at the end, and at an error that is to `wait`."""
        if self._window:
            self._fill(self._given * self._length(self._at.window + 1) // len(self._window))
        while self._given == len(self._window):
            if self._error is not None and not wait:
                return None
            self._next_window()
            if not self._window:
                return None
        record, self._window[self._given] = self._window[self._given], None
        self._given += 1
        return record

    def close(self) -> None:
        """Ends the threads of all archives."""
        for stream in self._streams:
            if stream is not None:
                stream.close()

    def _length(self, window: int) -> int:
        return 1 if self._at.seed is None else min(FIRST_WINDOW << min(window, 30), self._at.size)

    def _next_window(self) -> None:
        """Completes the window that fills, shuffles it and begins with it."""
        self._fill(self._length(self._begun.window))
        if self._error is not None:
            raise self._error
        self._at, self._window, self._given = self._begun, self._filling, 0
        self._filling = []
        self._begun = dataclasses.replace(
            self._at,
            cursors=tuple(self._cursors),
            turn=self._turn,
            left=self._left,
            window=self._at.window + 1,
        )
        if self._at.seed is not None:
            rng = np.random.default_rng([self._at.seed, self._at.window])
            self._window = [self._window[i] for i in rng.permutation(len(self._window))]
        self._given, self._skip = self._skip, 0
        self._window[: self._given] = [None] * self._given

    def _fill(self, count: int) -> None:
        try:
            while len(self._filling) < count and (record := self._pull()) is not None:
                self._filling.append(record)
        except Exception as error:  # it waits until what came before has been given
            self._error = error

    def _pull(self) -> bytes | None:
        """The next example of the archives in turn; `None` where all have ended."""
        while self._error is None and any(self._streams):
            stream = self._streams[self._turn]
            if stream is not None and self._left:
                item = next(stream, None)
                if item is not None:
                    record, self._cursors[self._turn] = item
                    self._left -= 1
                    return record
                self._streams[self._turn] = self._cursors[self._turn] = None
            self._turn = (self._turn + 1) % len(self._streams)
            self._left = BLOCK
        return None
