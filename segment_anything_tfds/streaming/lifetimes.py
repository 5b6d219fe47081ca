"""Readers that live as long as their `tf.data` iterator, which can be saved.

`tf.data` saves what an iterator holds in tensors, and knows nothing of Python. So the position is
a tensor, the state of a `scan`, and each step is a function of it: position in, examples and next
position out. A reader with threads and open files is kept between two steps only to be quick:
the step finds it by a token, or opens one anew at the position, after a restart as well.

    scan state    position 0, token 0    ->    position 4, token (7, 1)    ->   ...
                         | opens reader 7             | finds reader 7 at step 1

A token is a NumPy array whose memory the tensor shares (DLPack). When TensorFlow drops the last
tensor, since the iterator went on or is gone, the array is freed, and its finalizer closes
the reader, unless that has a newer token.
"""

from __future__ import annotations

import atexit
import contextlib
import dataclasses
import itertools
import time
import weakref
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from segment_anything_tfds.streaming.mixing import Mixer
from segment_anything_tfds.streaming.parts.cursors import Position

NO_TOKEN = (0, 0)
_QUIET_SECONDS, _PATIENCE_SECONDS = 0.05, 3.0
_ids = itertools.count(1)


class _Reader:
    def __init__(self, mixer: Mixer):
        self.mixer = mixer
        self.token = NO_TOKEN


class _Steps:
    """Knows whether threads of TensorFlow are in Python, and keeps them out once that ends.

    An iterator that lives to the end of the program is deleted after Python has stopped all other
    threads, and its destructor waits for its own. One that is in Python then never comes back.
    """

    def __init__(self):
        self._under_way = 0
        self._last = 0.0
        self._ended = False
        self._all: weakref.WeakSet[Readers] = weakref.WeakSet()
        atexit.register(self._end)

    def add(self, readers: Readers) -> None:
        self._all.add(readers)

    @contextlib.contextmanager
    def one(self) -> Iterator[None]:
        """Marks a block in which a thread of TensorFlow runs Python."""
        self._under_way += 1
        try:
            if self._ended:
                raise RuntimeError('`sa1b.stream`: the program is ending.')
            yield
        finally:
            self._under_way -= 1
            self._last = time.monotonic()

    def _end(self) -> None:
        self._ended = True
        for readers in list(self._all):
            readers.close()
        until = time.monotonic() + _PATIENCE_SECONDS
        while (now := time.monotonic()) < until:
            if not self._under_way and now - self._last > _QUIET_SECONDS:
                return
            time.sleep(_QUIET_SECONDS / 5)


@dataclasses.dataclass(frozen=True)
class Step:
    """What a step gave.

    Attributes:
      records: serialised examples; none at the end, and where none came soon enough. Then the next
        step waits: between two steps TensorFlow finds out that an iterator was dropped.
      position: the position after them.
      token: for the next step.
      is_last: whether all archives have ended.
    """

    records: list[bytes]
    position: Position
    token: tf.Tensor
    is_last: bool


class Readers:
    """The readers of the iterators of one dataset."""

    def __init__(self, open_mixer: Callable[[Position], Mixer]):
        self._open_mixer = open_mixer
        self._live: dict[int, _Reader] = {}
        _steps.add(self)

    def __len__(self) -> int:
        return len(self._live)

    def step(self, position: Position, token: tuple[int, int], count: int) -> Step:
        """Reads up to `count` examples from a position on.

        Args:
          position: where to go on.
          token: what the step before gave; `NO_TOKEN` for none.
          count: examples wanted.
        """
        with _steps.one():
            return self._step(position, token, count)

    def close(self) -> None:
        """Ends the threads of all readers."""
        for number in list(self._live):
            self._close(number)

    def _step(self, position: Position, token: tuple[int, int], count: int) -> Step:
        number, reader = self._find(position, token)
        try:
            records = reader.mixer.take(count)
        except BaseException:
            self._close(number)
            raise
        if reader.mixer.ended and not records:
            self._close(number)
            return Step([], position, tf.constant(NO_TOKEN, tf.int64), True)
        return Step(records, reader.mixer.position, self._renew_token(number, reader), False)

    def _find(self, position: Position, token: tuple[int, int]) -> tuple[int, _Reader]:
        number, _ = token
        reader = self._live.get(number)
        # Another token or position than the reader's last: the iterator was restored.
        if reader is None or reader.token != token or reader.mixer.position != position:
            number = next(_ids)
            reader = self._live[number] = _Reader(self._open_mixer(position))
        return number, reader

    def _renew_token(self, number: int, reader: _Reader) -> tf.Tensor:
        reader.token = number, reader.token[1] + 1
        array = np.array(reader.token, np.int64)
        weakref.finalize(array, self._release, reader.token).atexit = False
        return tf.experimental.dlpack.from_dlpack(array.__dlpack__())

    def _release(self, token: tuple[int, int]) -> None:
        reader = self._live.get(token[0])
        if reader is not None and reader.token == token:
            self._close(token[0])

    def _close(self, number: int) -> None:
        reader = self._live.pop(number, None)
        if reader is not None:
            reader.mixer.close()


_steps = _Steps()
