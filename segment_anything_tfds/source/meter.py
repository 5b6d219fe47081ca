"""How far long work has come, in one form everywhere.

A bar on a terminal and in a notebook; a line a minute where standard error is a file or a pipe, as
in the log of a cluster; a call to a function of the user's; or nothing.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:  # some 20 ms, which a command that shows nothing does without
    import tqdm

LINE_SECONDS = 60.0  # between two lines in a log
_KNOWN = '{desc}: {percentage:.0f}%, {n_fmt} of {total_fmt}{unit}, {rate_fmt}, {remaining} left'
_UNKNOWN = '{desc}: {n_fmt}{unit}, {rate_fmt}, {elapsed} so far'

Item = TypeVar('Item')


@dataclasses.dataclass(frozen=True)
class Progress:
    """How far some work has come.

    Attributes:
      title: what is being done.
      done: how much is done.
      total: how much there is to do; `None` where nobody knows.
      unit: what is counted: `'B'` for bytes, or a noun such as `' images'`.
      note: what else is worth showing, such as `'21 images'`; empty where nothing is.
    """

    title: str
    done: int
    total: int | None
    unit: str
    note: str = ''


Show = bool | Callable[[Progress], None] | None
"""Whether and how to show progress: `True` for a bar or lines, `None` or `False` for nothing, or a
function that is called with a `Progress` whenever something was done."""


class Meter:
    """Counts what is done, and shows nothing; may be used from several threads."""

    def __init__(self, progress: Progress):
        self.progress = progress
        self._lock = threading.Lock()

    def add(self, count: int) -> None:
        """Counts more that is done; a negative number where something has to be done again."""
        with self._lock:
            self._set(dataclasses.replace(self.progress, done=self.progress.done + count))

    def update(self, **changes) -> None:
        """Sets attributes of `progress`."""
        with self._lock:
            self._set(dataclasses.replace(self.progress, **changes))

    @contextlib.contextmanager
    def part(
        self, title: str, total: int | None = None, done: int = 0
    ) -> Iterator[Callable[[int], None]]:
        """Begins one of several things that are under way; gives what to call with a count.

        Args:
          title: what it is.
          total: how much of it there is to do.
          done: how much of it the meter has counted before; this much is not counted again.
        """
        left = done

        def add(count: int) -> None:
            nonlocal left
            before = min(left, count) if count > 0 else 0
            left -= before
            self.add(count - before)

        yield add

    def say(self, text: str) -> None:
        """Shows a line of text, where anything is shown."""

    def close(self) -> None:
        """Ends the showing."""

    def _set(self, progress: Progress) -> None:
        self.progress = progress


class _Caller(Meter):
    """Calls a function."""

    def __init__(self, progress: Progress, call: Callable[[Progress], None]):
        super().__init__(progress)
        self._call = call

    def _set(self, progress: Progress) -> None:
        self.progress = progress
        self._call(progress)


class _Bar(Meter):
    """Draws a bar, and one below it for each part."""

    def __init__(self, progress: Progress):
        super().__init__(progress)
        self._bar = _draw(progress)

    @contextlib.contextmanager
    def part(
        self, title: str, total: int | None = None, done: int = 0
    ) -> Iterator[Callable[[int], None]]:
        with super().part(title, total, done) as add:
            bar = _draw(Progress(title, 0, total, self.progress.unit))

            def add_both(count: int) -> None:
                bar.update(count)
                add(count)

            try:
                yield add_both
            finally:
                bar.close()

    def say(self, text: str) -> None:
        self._bar.write(text, file=sys.stderr)

    def close(self) -> None:
        self._bar.refresh()
        self._bar.close()

    def _set(self, progress: Progress) -> None:
        words = (progress.title, progress.note) != (self.progress.title, self.progress.note)
        self._bar.total = progress.total
        self._bar.set_description_str(progress.title, refresh=False)
        self._bar.set_postfix_str(progress.note, refresh=False)
        self._bar.update(progress.done - self.progress.done)
        self.progress = progress
        if words:
            self._bar.refresh()


class _Lines(Meter):
    """Writes a line now and then, and a last one if there were any."""

    def __init__(self, progress: Progress):
        super().__init__(progress)
        self._start, self._from = time.monotonic(), progress.done
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def say(self, text: str) -> None:
        sys.stderr.write(f'{text}\n')
        sys.stderr.flush()

    def close(self) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        said = False
        while not self._ended.wait(LINE_SECONDS):
            self.say(self._line())
            said = True
        if said:
            self.say(self._line())

    def _line(self) -> str:
        import tqdm

        with self._lock:
            now = self.progress
        in_bytes = now.unit == 'B'
        line = tqdm.tqdm.format_meter(
            now.done,
            now.total,
            time.monotonic() - self._start,
            prefix=now.title,
            unit=now.unit,
            unit_scale=in_bytes,
            postfix=now.note,
            initial=self._from,
            bar_format=(_KNOWN if now.total else _UNKNOWN) + '{postfix}',
        )
        return line.replace('s/ ', 's/')  # a slow rate is turned around: '7.50s/ images'


def _draw(progress: Progress) -> tqdm.tqdm:
    if _in_notebook():
        from tqdm.auto import tqdm
    else:
        from tqdm import tqdm
    return tqdm(
        desc=progress.title,
        total=progress.total,
        initial=progress.done,
        unit=progress.unit,
        unit_scale=progress.unit == 'B',
        postfix=None,
        leave=False,
        ncols=_columns(),
    )


def _columns() -> int | None:
    """Gives 80 where a terminal does not know its width, since nothing is drawn on 0 columns."""
    try:
        return None if os.get_terminal_size(sys.stderr.fileno()).columns else 80
    except (OSError, ValueError):
        return None


def _in_notebook() -> bool:
    ipython = sys.modules.get('IPython')
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and 'IPKernelApp' in shell.config


def _on_terminal() -> bool:
    return sys.stderr is not None and sys.stderr.isatty()


@contextlib.contextmanager
def show(
    title: str,
    *,
    total: int | None = None,
    unit: str = 'B',
    done: int = 0,
    progress: Show = True,
) -> Iterator[Meter]:
    """Shows how far the block has come while it runs.

    Args:
      title: what is being done.
      total: how much there is to do; `None` where nobody knows.
      unit: what is counted: `'B'` for bytes, or a noun with a space before it.
      done: what an earlier run did.
      progress: `True` for a bar on a terminal and in a notebook, a line a minute elsewhere;
        `None` or `False` for nothing; or a function that is called with each `Progress`.

    Yields:
      The meter to count with.

    Example:
      >>> seen = []
      >>> with show('images', total=3, unit=' images', progress=seen.append) as meter:
      ...     meter.add(2)
      >>> seen[-1].done, seen[-1].total
      (2, 3)
    """
    start = Progress(title, done, total, unit)
    if callable(progress):
        meter: Meter = _Caller(start, progress)
    elif not progress or sys.stderr is None:
        meter = Meter(start)
    else:
        meter = _Bar(start) if _on_terminal() or _in_notebook() else _Lines(start)
    try:
        yield meter
    finally:
        meter.close()


def track(
    items: Iterable[Item],
    title: str,
    *,
    total: int | None = None,
    unit: str = ' images',
    progress: Show = True,
) -> Iterator[Item]:
    """Iterates over items, and shows how many came; see `show`.

    Example:
      >>> list(track('ab', 'letters', total=2, unit=' letters', progress=None))
      ['a', 'b']
    """
    with show(title, total=total, unit=unit, progress=progress) as meter:
        for item in items:
            yield item
            meter.add(1)
