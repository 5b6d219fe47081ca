"""Several archives at once: examples taken in turn, shuffled window by window, from any place on.

Shuffling has to be cheap to save and to resume, and a buffer whose contents come from anywhere is
neither. So the examples, taken from the archives in turn, are cut into windows, and each window
is shuffled by a seed of its own. While one is given out, the next one fills, so about one window is
in memory. A place is where the window began in each archive, and how many of it were given:

    archives      a1 a2 a3 ...   b1 b2 b3 ...
    in turn       a1 b1 a2 b2 | a3 b3 a4 b4 | ...       windows of four
    shuffled      b1 a2 a1 b2 | b4 a3 b3 a4 | ...

The first windows are small, so that the first example comes soon; they double up to full size.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from segment_anything_tfds.streaming.parts import interrupts
from segment_anything_tfds.streaming.parts.ahead import Ahead
from segment_anything_tfds.streaming.parts.cursors import Cursor, Position

FIRST_WINDOW = 1
_WAIT_SECONDS = 0.25


class Mixer:
    """Gives the serialised examples of several archives, from a position on."""

    def __init__(self, position: Position, open_archive: Callable[[int, Cursor], Ahead]):
        """Opens the archives that have not ended.

        Args:
          position: where to begin.
          open_archive: gives the examples of an archive from a place on, each with the place after
            it; what it gives has the methods of `ahead.Ahead`.
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
        self._interrupts = interrupts.count()

    @property
    def ended(self) -> bool:
        """Whether all examples were given."""
        done = self._given == len(self._window) and not self._filling
        return done and self._error is None and not any(self._streams)

    @property
    def position(self) -> Position:
        """Where the next example is."""
        # until the first window is filled, what a restored position had given counts
        return dataclasses.replace(self._at, given=self._skip or self._given)

    def take(self, count: int) -> list[bytes]:
        """Takes up to `count` examples, as many as there are at once.

        Where there is none, one is waited for, but not long: whoever wants more asks again, or
        finds meanwhile that nobody wants any. What goes wrong is raised once the windows before it
        have been given.

        Raises:
          KeyboardInterrupt: while waiting, where Ctrl-C was pressed.
        """
        taken: list[bytes] = []
        while len(taken) < count:
            record = self._next(wait=0.0 if taken else _WAIT_SECONDS)
            if record is None:
                break
            taken.append(record)
        if not taken:
            interrupts.check(self._interrupts)
        return taken

    def _next(self, *, wait: float) -> bytes | None:
        """Gives the next example; `None` at the end, or if there is none within `wait` seconds."""
        if self._window:  # with half of this one given, half of the next one is wanted
            wanted = self._given * self._length(self._at.window + 1) // len(self._window)
            self._fill(wanted, wait=0.0)
        while self._given == len(self._window):
            length = self._length(self._begun.window)
            self._fill(length, wait=wait)
            if self._error is not None:
                if not wait:
                    return None
                raise self._error
            if (len(self._filling) < length and any(self._streams)) or not self._filling:
                return None
            self._next_window()
        record, self._window[self._given] = self._window[self._given], None
        self._given += 1
        return record

    def close(self) -> None:
        """Ends the threads of all archives."""
        for stream in self._streams:
            if stream is not None:
                stream.close()

    def _length(self, window: int) -> int:
        # 1 2 4 8 ... up to `size`; 2^30 is past any size, and numbers of windows go on and on
        return 1 if self._at.seed is None else min(FIRST_WINDOW << min(window, 30), self._at.size)

    def _next_window(self) -> None:
        """Shuffles the window that was filled, and begins with it."""
        self._at, self._window, self._given = self._begun, self._filling, 0
        self._filling = []
        # The next window begins where the archives are read on.
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
        # Restored within a window: all of it was read again, and shuffled alike; what had been
        # given is dropped.
        self._given, self._skip = self._skip, 0
        self._window[: self._given] = [None] * self._given

    def _fill(self, count: int, *, wait: float) -> None:
        try:
            while len(self._filling) < count and (record := self._pull(wait=wait)) is not None:
                self._filling.append(record)
        except Exception as error:  # it waits until what came before has been given
            self._error = error

    def _pull(self, *, wait: float) -> bytes | None:
        """Takes the next example, archives in turn; `None` at the end of all, or after `wait`."""
        while self._error is None and any(self._streams):
            stream = self._streams[self._turn]
            if stream is not None and self._left:
                if not stream.wait(wait):
                    return None
                item = next(stream, None)
                if item is not None:
                    record, self._cursors[self._turn] = item
                    self._left -= 1
                    return record
                self._streams[self._turn] = self._cursors[self._turn] = None
            self._turn = (self._turn + 1) % len(self._streams)
            self._left = self._at.block
        return None
