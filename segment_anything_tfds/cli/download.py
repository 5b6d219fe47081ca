"""`sa1b download`: archives into a folder; run it again and it does what is missing."""

from __future__ import annotations

import argparse
import dataclasses
import pathlib
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent import futures

from segment_anything_tfds.cli import consent, fleet, terminal
from segment_anything_tfds.cli import links as links_command
from segment_anything_tfds.source import download, extract, fetch, links, locations, selection

HELP = """\
download archives: in parallel, going on where an earlier run or a broken connection stopped

  sa1b download segment_anything_links.txt --to archives --archives 20-29,130
  sa1b download renewed_links.txt --to archives              links expired? get new ones, go on
  sa1b download links.txt --to data --archives 20 --extract  images/ and annotations/ as well

Run the same command again and it does what is missing: archives are known by their names, so a
renewed links file goes on where the old one stopped. An archive has its name only when it is whole;
until then it is `sa_000020.tar.part`. Digests are checked on the way where they are known.
"""
_HEADROOM = 1 << 30  # bytes of the disk that stay free


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('file', metavar='LINKS', help='the links file, or the folder that has it')
    parser.add_argument(
        '--to',
        type=pathlib.Path,
        default=pathlib.Path(),
        metavar='DIR',
        help='where archives go (default: here)',
    )
    terminal.add_archives(parser)
    parser.add_argument(
        '--jobs',
        type=terminal.positive_int,
        default=4,
        metavar='N',
        help='archives at a time (default: %(default)s)',
    )
    parser.add_argument(
        '--limit_rate',
        type=terminal.parse_bytes,
        metavar='SIZE',
        help='bytes a second, of all jobs together, such as 50M',
    )
    parser.add_argument(
        '--digests', metavar='FILE', help='MD5 digests to check against, as `md5sum` writes them'
    )
    parser.add_argument(
        '--extract',
        nargs='?',
        const='together',
        choices=['together', 'apart'],
        help='also extract into images/ and annotations/: of all archives together, or of each'
        ' archive in a folder of its own, sa_000020/images/',
    )
    parser.add_argument(
        '--delete_archives', action='store_true', help='delete an archive once it is extracted'
    )
    consent.add_arguments(parser)
    terminal.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Downloads; returns the exit code."""
    from segment_anything_tfds.source import checksums

    listed = links_command.read(args.file)
    numbers = terminal.chosen(args.archives, listed.archives, listed.path)
    if args.delete_archives and not args.extract:
        raise terminal.UsageError('--delete_archives: expected --extract beside it; got none')
    known = checksums.load([args.digests] if args.digests else [])
    args.to.mkdir(parents=True, exist_ok=True)
    consent.ask(args.to, args.accept_license)
    job = _Job(args, known)
    todo = [listed.archives[n] for n in numbers if not job.is_done(listed.archives[n].name)]
    links.check_expiry(listed, [link.number for link in todo])
    sizes = _ask_sizes(todo)
    done = {link.number: download.part_size(args.to, link.name) for link in todo}
    needed = sum(sizes.values()) - sum(done.values())
    _check_room(args.to, 2 * needed if args.extract else needed)
    outcomes = fleet.Fleet(job.work, args.jobs, job.stop).run(todo, sizes, done)
    names = {link.name for link in todo}
    present = [listed.archives[n].name for n in numbers if listed.archives[n].name not in names]
    outcomes += [job.present(name) for name in present]
    return _report(outcomes, args.json)


class _Job:
    """What is done with one archive: downloaded, checked, extracted."""

    def __init__(self, args: argparse.Namespace, known):
        self._args, self._known = args, known
        self.stop = download.Stop()
        self._pace = download.Pace(args.limit_rate, self.stop)

    def is_done(self, name: str) -> bool:
        """Whether nothing is left to do."""
        there = download.final_path(self._args.to, name).exists()
        if not self._args.extract:
            return there
        extracted = extract.is_extracted(self._args.to, name)
        return extracted and (there or self._args.delete_archives)

    def present(self, name: str) -> fleet.Outcome:
        """The outcome of an archive that was done before."""
        path = download.final_path(self._args.to, name)
        return fleet.Outcome(name, 'present', path.stat().st_size if path.exists() else 0)

    def work(self, link: links.Link, on_bytes: Callable[[int], None]) -> fleet.Outcome:
        """Does all that is to be done with an archive."""
        done = download.download(
            link, self._args.to, stop=self.stop, pace=self._pace, on_bytes=on_bytes
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
        if outcome.status != 'failed' and self._args.extract:
            self._extract(link, done.path, outcome)
        return outcome

    def _judge(self, done: download.Done, outcome: fleet.Outcome) -> None:
        verdict = self._known.check(outcome.archive, done.md5)
        outcome.digest = verdict.status
        if verdict.level == 'ok':
            return
        outcome.message = verdict.detail
        if verdict.level == 'error':
            aside = done.path.with_suffix('.tar.corrupt')
            done.path.replace(aside)
            outcome.status = 'failed'
            outcome.message += f' It was set aside as {aside.name}.'

    def _extract(self, link: links.Link, path: pathlib.Path, outcome: fleet.Outcome) -> None:
        if extract.is_extracted(self._args.to, link.name):
            return
        found: Counter = Counter()
        outcome.extracted = extract.extract(
            locations.Source(link.number, 'file', str(path)),
            self._args.to,
            apart=self._args.extract == 'apart',
            on_fault=lambda fault: found.update([fault.reason]),
            on_bytes=self._heed_stop,
        )
        outcome.faults = dict(found)
        if self._args.delete_archives:
            path.unlink()

    def _heed_stop(self, size: int) -> None:
        if self.stop.is_set():
            raise fetch.FetchError('The archive is whole, but not extracted.', 'stopped')


def _ask_sizes(todo: Sequence[links.Link]) -> dict[int, int]:
    """Sizes of archives by number, as far as the server tells them."""
    patience = fetch.Patience(attempts=2)

    def ask(link: links.Link) -> int | None:
        try:
            return fetch.head(link.url, name=link.name, patience=patience).size
        except fetch.FetchError:
            return None  # the download itself will say what is wrong

    with futures.ThreadPoolExecutor(16) as pool:
        sizes = list(pool.map(ask, todo))
    return {link.number: size for link, size in zip(todo, sizes, strict=True) if size is not None}


def _check_room(folder: pathlib.Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > 0 and needed + _HEADROOM > free:
        raise OSError(
            f'expected room for {terminal.human_bytes(needed)} and '
            f'{terminal.human_bytes(_HEADROOM)} to spare in {folder}; got '
            f'{terminal.human_bytes(free)}. Choose fewer with --archives, or another --to.'
        )


def _report(outcomes: Sequence[fleet.Outcome], as_json: bool) -> int:
    """Prints what became of all archives; returns the exit code."""
    if as_json:
        terminal.show([dataclasses.asdict(outcome) for outcome in outcomes])
    statuses = Counter(outcome.status for outcome in outcomes)
    fetched = sum(outcome.fetched for outcome in outcomes)
    parts = [f'{count} {status}' for status, count in statuses.items()]
    terminal.say(f'{", ".join(parts)}; {terminal.human_bytes(fetched)} received')
    left = [outcome.archive for outcome in outcomes if not outcome.good]
    if left:
        terminal.say(f'left: {selection.format(int(name[3:]) for name in left)}; run this again')
    return 1 if left else 0
