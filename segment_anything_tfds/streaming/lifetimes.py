"""Readers that live as long as their `tf.data` iterator, which can be saved.

`tf.data` saves what an iterator holds in tensors, and knows nothing of Python. So the position is
a tensor, the state of a `scan`, and each step is a function of it: position in, examples and next
position out. A reader with threads and open files is kept between two steps only to be quick:
the step finds it by a token, or opens one anew at the position, after a restart as well.

    scan state    position 0, token 0    ->    position 8, token (7, 1)    ->   ...
                         | opens reader 7             | finds reader 7 at step 1

A token is a NumPy array whose memory the tensor shares (DLPack). When TensorFlow drops the last
tensor, since the iterator went on or is gone, the array is freed, and its finalizer closes
the reader, unless that has a newer token.
"""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from segment_anything_tfds.streaming.cursors import Position
from segment_anything_tfds.streaming.mixing import Mixer

NO_TOKEN = (0, 0)
_ids = itertools.count(1)


class _Reader:
    def __init__(self, mixer: Mixer):
        self.mixer = mixer
        self.token = NO_TOKEN


class Readers:
    """The readers of the iterators of one dataset."""

    def __init__(self, open_mixer: Callable[[Position], Mixer]):
        self._open_mixer = open_mixer
        self._live: dict[int, _Reader] = {}

    def __len__(self) -> int:
        return len(self._live)

    def step(
        self, position: Position, token: tuple[int, int], count: int
    ) -> tuple[list[bytes], Position, tf.Tensor]:
        """Up to `count` examples from a position on; none at the end.

        Args:
          position: where to go on.
          token: what the step before gave; `NO_TOKEN` for none.
          count: examples wanted.

        Returns:
          Serialised examples, the position after them, and the token for the next step.
        """
        number, reader = self._find(position, token)
        try:
            records = reader.mixer.take(count)
        except BaseException:
            self._close(number)
            raise
        if not records:
            self._close(number)
            return [], position, tf.constant(NO_TOKEN, tf.int64)
        return records, reader.mixer.position, self._renew_token(number, reader)

    def _find(self, position: Position, token: tuple[int, int]) -> tuple[int, _Reader]:
        number, _ = token
        reader = self._live.get(number)
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
