"""Items that a thread produces, some bytes ahead of whoever takes them."""

from __future__ import annotations

import collections
import threading
from collections.abc import Callable
from typing import Any

Put = Callable[[Any], bool]  # hands over an item; tells whether more are wanted


class Ahead:
    """Iterates over what a function produces in a thread of its own.

    The thread ends with the function, or soon after `close`, which never waits for it.
    """

    def __init__(
        self,
        produce: Callable[[Put], None],
        *,
        size: Callable[[Any], int],
        budget: int,
        on_close: Callable[[], None] = lambda: None,
    ):
        """Starts the thread.

        Args:
          produce: calls what it is given with each item, until that returns False.
          size: bytes of an item.
          budget: bytes of items that may wait; one item always may.
          on_close: called by `close`, to end what the function waits for.
        """
        self._produce, self._size, self._budget, self._on_close = produce, size, budget, on_close
        self._ready: collections.deque = collections.deque()
        self._held = 0
        self._changed = threading.Condition()
        self._closed = self._ended = False
        self._error: BaseException | None = None
        threading.Thread(target=self._run, name='sa1b-stream', daemon=True).start()

    def _run(self) -> None:
        try:
            self._produce(self._put)
        except BaseException as error:  # handed to the reader, whatever it is
            self._error = error
        finally:
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
        with self._changed:
            while not self._is_ready():
                self._changed.wait()
            if not self._ready or self._closed:  # an error comes after what was made before it
                if self._error is not None and not self._closed:
                    raise self._error
                raise StopIteration
            item = self._ready.popleft()
            self._held -= self._size(item)
            self._changed.notify_all()
            return item

    def wait(self, seconds: float) -> bool:
        """Waits at most so long for the next item, or the end; tells whether it is there."""
        with self._changed:
            return self._changed.wait_for(self._is_ready, seconds)

    def _is_ready(self) -> bool:
        return bool(self._ready) or self._ended or self._closed

    def close(self) -> None:
        """Lets the thread end, and forgets what is ready."""
        with self._changed:
            self._closed = True
            self._ready.clear()
            self._changed.notify_all()
        self._on_close()
