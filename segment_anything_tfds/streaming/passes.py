"""One pass over archives without TensorFlow: for PyTorch and Grain; can be saved at any example.

archives      in order, or shuffled by the seed and the number of the pass
groups        of `interleave` archives, each mixed as `mixing` says, one after another
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

import numpy as np

from segment_anything_tfds.streaming import mixing, planning
from segment_anything_tfds.streaming.parts.cursors import Position


class Pass:
    """Iterates over the serialised examples of some archives of a plan, once."""

    def __init__(self, plan: planning.Plan, numbers: Sequence[int], index: int = 0):
        """Opens nothing yet.

        Args:
          plan: what a stream reads, and how.
          numbers: archives of the plan.
          index: number of the pass; each has an order of its own where the plan has a seed.
        """
        self._plan = plan
        self._key = None if plan.seed is None else _draw(plan.seed, index)
        if self._key is not None:
            order = np.random.default_rng(self._key).permutation(len(numbers))
            numbers = [numbers[i] for i in order]
        size = plan.interleave
        self._groups = [list(numbers[i : i + size]) for i in range(0, len(numbers), size)]
        self._group = 0
        self._position: Position | None = None
        self._mixer: mixing.Mixer | None = None

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        while self._group < len(self._groups):
            if self._mixer is None:
                self._mixer = self._plan.open_mixer(self._position or self._start())
                self._position = None
            if records := self._mixer.take(1):
                return records[0]
            if self._mixer.ended:
                self.close()
                self._group += 1
        raise StopIteration

    def state(self) -> str:
        """Tells where the next example is, as a short text."""
        position = self._mixer.position if self._mixer is not None else self._position
        fields = {'group': self._group, 'position': position and position.to_json()}
        return json.dumps(fields)

    def restore(self, state: str) -> None:
        """Goes on where `state` was taken from an equal pass."""
        self.close()
        fields = json.loads(state)
        self._group = fields['group']
        self._position = fields['position'] and Position.from_json(fields['position'])

    def close(self) -> None:
        """Ends the threads that read."""
        if self._mixer is not None:
            self._mixer.close()
            self._mixer = None

    def __del__(self):
        self.close()

    def _start(self) -> Position:
        key = self._key
        seed = None if key is None else _draw(key, self._group)
        return Position.start(self._groups[self._group], seed, self._plan.shuffle_buffer)


def _draw(seed: int, key: int) -> int:
    """Draws a seed that follows from another one."""
    return int(np.random.default_rng([seed, key]).integers(2**31))
