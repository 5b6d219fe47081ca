"""Progress of several downloads: bars on a terminal, a line for each archive elsewhere."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator

from segment_anything_tfds.cli import terminal


@contextlib.contextmanager
def show(total: int | None, done: int, title: str) -> Iterator[_Bars | _Lines]:
    """A total bar, and one for each archive that is under way; none where there is no terminal.

    Args:
      total: bytes of everything; `None` where nobody knows.
      done: bytes that were there before.
      title: what the total bar is called.
    """
    if not sys.stderr.isatty():
        yield _Lines()
        return
    from rich import console, progress

    columns = [
        progress.TextColumn('{task.description}'),
        progress.BarColumn(),
        progress.DownloadColumn(),
        progress.TransferSpeedColumn(),
        progress.TimeRemainingColumn(),
    ]
    with progress.Progress(*columns, console=console.Console(stderr=True)) as bars:
        overall = bars.add_task(title, total=total, completed=done)
        yield _Bars(bars, overall)


class _Bars:
    def __init__(self, bars, overall):
        self._bars, self._overall = bars, overall

    @contextlib.contextmanager
    def archive(self, name: str, size: int | None, done: int) -> Iterator[Callable[[int], None]]:
        """A bar for one archive; gives what to call with bytes that came."""
        task = self._bars.add_task(name, total=size, completed=0)
        left = done  # counted in the total already

        def advance(count: int) -> None:
            nonlocal left
            self._bars.advance(task, count)
            counted = min(left, count) if count > 0 else 0
            left -= counted
            self._bars.advance(self._overall, count - counted)

        try:
            yield advance
        finally:
            self._bars.remove_task(task)

    def say(self, text: str) -> None:
        self._bars.console.print(text, markup=False, highlight=False)


class _Lines:
    @contextlib.contextmanager
    def archive(self, name: str, size: int | None, done: int) -> Iterator[Callable[[int], None]]:
        known = f' of {terminal.human_bytes(size)}' if size else ''
        terminal.say(f'{name}: from {terminal.human_bytes(done)}{known}')
        yield lambda count: None

    def say(self, text: str) -> None:
        terminal.say(text)
