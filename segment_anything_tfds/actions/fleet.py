"""Runs several downloads at a time, and decides what a failure of one means for the rest."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Sequence
from concurrent import futures

from segment_anything_tfds.source import meter, wording
from segment_anything_tfds.source.remote import downloader, links_file, redaction

_DENIED = (401, 403, 410)  # the other links are as old as this one


@dataclasses.dataclass
class Outcome:
    """What became of one archive.

    Attributes:
      archive: its name.
      status: `'downloaded'`, `'present'` (it was there), `'failed'` or `'stopped'`.
      bytes: its size; 0 where it failed.
      fetched: bytes received, those received twice included.
      retries: attempts that failed and were made again.
      seconds: from the first request to the end.
      md5: its digest; `None` where it was not downloaded now.
      digest: `'match'`, `'mismatch'`, `'corrupt'` or `'unknown'`; see `checksums.Verdict`.
      extracted: pairs extracted; `None` where that was not asked for.
      faults: what was wrong with members, by reason.
      message: what a person should know; empty where all is well.
    """

    archive: str
    status: str
    bytes: int = 0
    fetched: int = 0
    retries: int = 0
    seconds: float = 0.0
    md5: str | None = None
    digest: str = 'unknown'
    extracted: int | None = None
    faults: dict[str, int] = dataclasses.field(default_factory=dict)
    message: str = ''

    @property
    def good(self) -> bool:
        """Whether the archive is there."""
        return self.status in ('downloaded', 'present')


Work = Callable[[links_file.Link, Callable[[int], None]], Outcome]


class Fleet:
    """Runs downloads, `jobs` at a time, until all are done, or until the rest would fail too."""

    def __init__(self, work: Work, jobs: int, stop: downloader.Stop, progress: meter.Show = True):
        self._work, self._jobs, self._stop, self._progress = work, jobs, stop, progress
        self._hopeless = threading.Event()
        self._unreachable = 0  # archives in a row
        self._shown = None

    def run(
        self, todo: Sequence[links_file.Link], sizes: dict[int, int], done: dict[int, int]
    ) -> list[Outcome]:
        """Downloads.

        Args:
          todo: what to download.
          sizes: bytes of an archive, by number, as far as known.
          done: bytes that an earlier run left, by number.

        Returns:
          One outcome for each link, in order.

        Raises:
          KeyboardInterrupt: after all downloads have ended.
        """
        total = sum(sizes.values()) if len(sizes) == len(todo) else None
        with (
            meter.show(
                f'{len(todo)} archives',
                total=total,
                done=sum(done.values()),
                progress=self._progress,
            ) as self._shown,
            futures.ThreadPoolExecutor(self._jobs) as pool,
        ):
            running = [
                pool.submit(self._one, link, sizes.get(link.number), done[link.number])
                for link in todo
            ]
            try:
                while futures.wait(running, timeout=0.2).not_done:
                    pass
            except KeyboardInterrupt:
                self._stop.set()
                pool.shutdown(cancel_futures=True)
                raise
        return [future.result() for future in running]

    def _one(self, link: links_file.Link, size: int | None, done: int) -> Outcome:
        if self._hopeless.is_set() or self._stop.is_set():
            return Outcome(link.name, 'stopped')
        start = time.monotonic()
        with self._shown.part(link.name, size, done) as on_bytes:
            try:
                outcome = self._work(link, on_bytes)
            except (OSError, ValueError) as error:
                outcome = Outcome(link.name, 'failed', message=redaction.redact(str(error)))
                self._note(error, outcome)
            else:
                self._unreachable = 0
        outcome.seconds = round(time.monotonic() - start, 3)
        self._shown.say(_describe(outcome))
        return outcome

    def _note(self, error: Exception, outcome: Outcome) -> None:
        """Stops the other downloads if they would fail for the same reason."""
        reason = getattr(error, 'reason', '')
        if reason == 'stopped':
            outcome.status = 'stopped'
        if reason == 'unreachable':
            self._unreachable += 1
        denied = reason == 'link_expired' or getattr(error, 'status', None) in _DENIED
        if denied or self._unreachable >= max(2, self._jobs):
            self._hopeless.set()


def _describe(outcome: Outcome) -> str:
    if outcome.status in ('failed', 'stopped'):
        return f'{outcome.archive}: {outcome.status}. {outcome.message}'.strip()
    rate = outcome.fetched / outcome.seconds if outcome.seconds else 0
    parts = [f'{outcome.archive}: {outcome.status}, {wording.human_bytes(outcome.bytes)}']
    if outcome.fetched:
        parts.append(f'{wording.human_bytes(rate)}/s')
    if outcome.retries:
        parts.append(f'{outcome.retries} retr{"y" if outcome.retries == 1 else "ies"}')
    if outcome.digest != 'unknown':
        parts.append(f'digest: {outcome.digest}')
    if outcome.extracted is not None:
        parts.append(f'{outcome.extracted} pairs extracted')
    text = ', '.join(parts)
    return f'{text}. {outcome.message}' if outcome.message else text
