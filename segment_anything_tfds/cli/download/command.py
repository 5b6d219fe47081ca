"""`sa1b download`: archives into a folder; run it again and it does what is missing."""

from __future__ import annotations

import argparse
import dataclasses
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from segment_anything_tfds.cli import terminal
from segment_anything_tfds.cli.download import consent
from segment_anything_tfds.source import selection

if TYPE_CHECKING:  # slow to import
    from segment_anything_tfds.actions import fleet

HELP = """\
download archives: in parallel, going on where an earlier run or a broken connection stopped

  sa1b download segment_anything_links.txt --to archives --archives 20-29,130
  sa1b download renewed_links.txt --to archives              links expired? get new ones, go on
  sa1b download links.txt --to data --archives 20 --extract apart      images/ and annotations/ too

Run the same command again and it does what is missing: archives are known by their names, so a
renewed links file goes on where the old one stopped. An archive has its name only when it is whole;
until then it is `sa_000020.tar.part`. Digests are checked on the way where they are known.
Builds read archives, and folders of one archive each (--extract apart); what is extracted together
is for other tools, so keep the archives beside it if you mean to build.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('file', metavar='LINKS', help='the links file, or the folder that has it')
    parser.add_argument(
        '--to', default='.', metavar='DIR', help='where archives go (default: here)'
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
        help='also extract into images/ and annotations/: of all archives together, which no build'
        ' reads, or of each archive in a folder of its own, sa_000020/images/, which builds read',
    )
    parser.add_argument(
        '--delete_archives',
        action='store_true',
        help='delete an archive once all of it is extracted; one with faults stays',
    )
    consent.add_arguments(parser)
    terminal.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Downloads; returns the exit code."""
    from segment_anything_tfds.actions import download_archives, link_report, places

    link_report.read(args.file)  # what is wrong with it is said before anything is asked
    accepted = consent.ask(places.local_folder('to', args.to), args.accept_license)
    outcomes = download_archives.download(
        args.file,
        to=args.to,
        archives=args.archives,
        jobs=args.jobs,
        limit_rate=args.limit_rate,
        digests=args.digests,
        extract=args.extract,
        delete_archives=args.delete_archives,
        accept_license=accepted,
    )
    return _report(outcomes, args.json)


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
