"""A generator that runs in a thread, some bytes ahead of whoever takes its items."""

from __future__ import annotations

import collections
import threading
from collections.abc import Callable, Generator
from typing import Any

from segment_anything_tfds.streaming import interrupts

_POLL_SECONDS = 0.25


class Ahead:
    """Iterates over the items of a generator that runs in a thread of its own.

    The thread ends with the generator, or soon after `close`, which never waits for it.
    """

    def __init__(
        self,
        items: Generator[Any],
        *,
        size: Callable[[Any], int],
        budget: int,
        on_close: Callable[[], None] = lambda: None,
    ):
        """Starts the thread.

        Args:
          items: the generator; it is closed in the thread.
          size: bytes of an item.
          budget: bytes of items that may wait; one item always may.
          on_close: called by `close`, to end what the generator waits for.
        """
        self._items, self._size, self._budget, self._on_close = items, size, budget, on_close
        self._ready: collections.deque = collections.deque()
        self._held = 0
        self._changed = threading.Condition()
        self._closed = self._ended = False
        self._error: BaseException | None = None
        threading.Thread(target=self._run, name='sa1b-stream', daemon=True).start()

    def _run(self) -> None:
        try:
            for item in self._items:
                if not self._put(item):
                    break
        except BaseException as error:  # handed to the reader, whatever it is
            self._error = error
        finally:
            self._items.close()
            with self._changed:
                self._ended = True
                self._changed.notify_all()

    def _put(self, item: Any) -> bool:
        """Adds an item when there is room; tells whether more are wanted."""
        with self._changed:
            while self._held >= self._budget and not self._closed:
                self._changed.wait()
            if not self._closed:
                self._ready.append(item)
                self._held += self._size(item)
                self._changed.notify_all()
            return not self._closed

    def __iter__(self) -> Ahead:
        return self

    def __next__(self) -> Any:
        earlier = interrupts.count()
        with self._changed:
            while not self._ready:
                if self._error is not None and not self._closed:
                    raise self._error
                if self._ended or self._closed:
                    raise StopIteration
                self._changed.wait(_POLL_SECONDS)
                interrupts.check(earlier)
            item = self._ready.popleft()
            self._held -= self._size(item)
            self._changed.notify_all()
            return item

    def close(self) -> None:
        """Lets the thread end, and forgets what is ready."""
        with self._changed:
            self._closed = True
            self._ready.clear()
            self._changed.notify_all()
        self._on_close()
