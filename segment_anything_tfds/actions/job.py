"""What is done with each archive that is downloaded: fetch it, check it, extract it."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import shutil
from collections import Counter
from collections.abc import Callable, Sequence

from segment_anything_tfds.actions import fleet
from segment_anything_tfds.source import meter, wording
from segment_anything_tfds.source.archive import extract, locations
from segment_anything_tfds.source.remote import downloader, fetch, links_file, part, sizes

_HEADROOM = 1 << 30  # bytes of the disk that stay free


@dataclasses.dataclass(frozen=True)
class Plan:
    """How to download; see `download_archives.download`."""

    to: pathlib.Path
    jobs: int = 4
    limit_rate: int | None = None
    extract: str | None = None
    delete_archives: bool = False
    progress: meter.Show = True


class Job:
    """What is done with one archive: downloaded, checked, extracted."""

    def __init__(self, plan: Plan, known):
        self._plan, self._known = plan, known
        self.stop = downloader.Stop()
        self._pace = downloader.Pace(plan.limit_rate, self.stop)

    def run(self, listed: links_file.Links, numbers: Sequence[int]) -> list[fleet.Outcome]:
        """Does what is missing of all archives, several at a time."""
        chosen = [listed.archives[number] for number in numbers]
        todo = [link for link in chosen if not self.is_done(link.name)]
        there = {link.number: size for link in todo if (size := self.present(link.name).bytes)}
        absent = [link for link in todo if link.number not in there]
        links_file.check_expiry(listed, [link.number for link in absent])
        known = there | _ask_sizes(absent, self._plan.progress)
        parts = {link.number: part.size(self._plan.to, link.name) for link in absent}
        done = there | parts
        needed = sum(known.values()) - sum(done.values())
        _check_room(self._plan.to, needed + sum(known.values()) * bool(self._plan.extract))
        ships = fleet.Fleet(self.work, self._plan.jobs, self.stop, self._plan.progress)
        outcomes = ships.run(todo, known, done)
        return outcomes + [self.present(link.name) for link in chosen if link not in todo]

    def is_done(self, name: str) -> bool:
        """Tells whether nothing is left to do."""
        there = downloader.is_there(self._plan.to, name)
        if not self._plan.extract:
            return there
        extracted = extract.is_extracted(self._plan.to, name)
        return extracted and (there or self._plan.delete_archives)

    def present(self, name: str) -> fleet.Outcome:
        """Gives the outcome of an archive that was done before."""
        path = downloader.final_path(self._plan.to, name)
        return fleet.Outcome(name, 'present', path.stat().st_size if path.exists() else 0)

    def work(self, link: links_file.Link, on_bytes: Callable[[int], None]) -> fleet.Outcome:
        """Does all that is to be done with an archive."""
        done = downloader.download(
            link,
            self._plan.to,
            stop=self.stop,
            pace=self._pace,
            on_bytes=on_bytes,
            is_wrong=lambda md5: self._known.check(link.name, md5).level == 'error',
        )
        outcome = fleet.Outcome(
            link.name,
            'downloaded' if done.md5 else 'present',
            done.size,
            done.fetched,
            done.retries,
            md5=done.md5,
            message=f'Started again: {done.restarted}.' if done.restarted else '',
        )
        if done.md5:
            self._judge(done, outcome)
        if outcome.status != 'failed' and self._plan.extract:
            self._extract(link, done.path, outcome)
        return outcome

    def _judge(self, done: downloader.Done, outcome: fleet.Outcome) -> None:
        verdict = self._known.check(outcome.archive, done.md5)
        outcome.digest = verdict.status
        if verdict.level == 'ok':
            return
        outcome.message = verdict.detail
        if verdict.level == 'error':
            outcome.status = 'failed'
            outcome.message += f' It was set aside as {done.path.name}.'

    def _extract(self, link: links_file.Link, path: pathlib.Path, outcome: fleet.Outcome) -> None:
        with part.alone(self._plan.to, link.name):
            if not extract.is_extracted(self._plan.to, link.name):
                self._extract_alone(link, path, outcome)

    def _extract_alone(self, link, path: pathlib.Path, outcome: fleet.Outcome) -> None:
        found: Counter = Counter()
        outcome.extracted = extract.extract(
            locations.Source(link.number, 'file', str(path)),
            self._plan.to,
            apart=self._plan.extract == 'apart',
            on_fault=lambda fault: found.update([fault.reason]),
            on_bytes=self._heed_stop,
        )
        outcome.faults = dict(found)
        if self._plan.delete_archives and found:
            outcome.message = f'{outcome.message} Kept: not all of it could be extracted.'.strip()
        elif self._plan.delete_archives:
            if hasattr(os, 'sync'):  # what was extracted is on the disk before the archive goes
                os.sync()
            path.unlink()

    def _heed_stop(self, size: int) -> None:
        if self.stop.is_set():
            raise fetch.FetchError('The archive is whole, but not extracted.', 'stopped')


def _ask_sizes(absent: Sequence[links_file.Link], progress: meter.Show) -> dict[int, int]:
    """Asks for sizes, by number, as far as the server tells them; an error if there is none."""
    answers = sizes.ask(absent, progress=progress)
    if answers and all(isinstance(answer, sizes.Unreachable) for answer in answers.values()):
        raise OSError(next(iter(answers.values())))
    return {number: size for number, size in answers.items() if isinstance(size, int)}


def _check_room(folder: pathlib.Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > 0 and needed + _HEADROOM > free:
        raise OSError(
            f'expected room for {wording.human_bytes(needed)} and '
            f'{wording.human_bytes(_HEADROOM)} to spare in {folder}; got '
            f'{wording.human_bytes(free)}. Choose fewer with --archives, or another --to.'
        )
