"""`sa1b verify`: are archives whole, and is what they hold sound?"""

from __future__ import annotations

import argparse
import dataclasses
import os
from collections.abc import Sequence

from segment_anything_tfds.cli import terminal

HELP = """\
read archives or extracted folders to their end, and check all there is to check

Checked: gzip's checksums, the tar, pairs, the structure of each JPEG (--decode: its pixels), each
record's keys and values, run lengths, areas, boxes; digests where any are known.

  sa1b verify archives
  sa1b verify sa_000020.tar sa_000021.tar --digests my_archives.md5
  sa1b verify archives --record my_archives.md5        keep the digests of what is good

An archive is good, doubtful (another number of pairs than SA-1B's 11,186; a digest that differs
from one that others published) or bad. The exit code is 1 where any is bad.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        'paths', nargs='+', metavar='PATH', help='an archive, a folder of archives, or extracted'
    )
    terminal.add_archives(parser)
    parser.add_argument(
        '--jobs',
        type=terminal.positive_int,
        default=os.cpu_count() or 1,
        metavar='N',
        help='archives at a time (default: one for each processor)',
    )
    parser.add_argument('--decode', action='store_true', help='decode the pixels too (slow)')
    parser.add_argument(
        '--digests', metavar='FILE', help='MD5 digests to check against, as `md5sum` writes them'
    )
    parser.add_argument(
        '--record', metavar='FILE', help='add the digests of archives that are not bad'
    )
    parser.add_argument(
        '--expected',
        type=terminal.natural_int,
        metavar='N',
        help='pairs that each archive should have; 0 for any number (default: 11186)',
    )
    parser.add_argument('--strict', action='store_true', help='take doubtful for bad')
    parser.add_argument('--report', metavar='FILE', help='write all as JSON')
    terminal.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Verifies; returns the exit code."""
    from segment_anything_tfds.actions import verify_archives

    reports = []
    found = verify_archives.iterate(
        args.paths,
        archives=args.archives,
        jobs=args.jobs,
        decode=args.decode,
        digests=args.digests,
        record=args.record,
        expected=args.expected,
        report=args.report,
        progress=True,
        here=False,
    )
    for report in found:
        reports.append(report)
        if not args.json:
            _say_problems(report)
    _output(reports, args)
    verify_archives.keep(reports, record=args.record, report=args.report, strict=args.strict)
    bad = verify_archives.bad_states(args.strict)
    return 1 if any(report.state in bad for report in reports) else 0


def _say_problems(report) -> None:
    for text in [*report.errors, *report.warnings]:
        terminal.say(text)
    for text in report.first_faults:
        if text not in report.errors:
            terminal.say(text)
    left = sum(report.faults.values()) - len(report.first_faults)
    if left > 0:
        terminal.say(f'{report.archive}: and {left} more faults')


def _output(reports: Sequence, args: argparse.Namespace) -> None:
    if args.json:
        terminal.show([dataclasses.asdict(report) for report in reports])
        return
    rows = [
        [
            report.archive,
            report.state,
            report.pairs,
            report.masks,
            sum(report.faults.values()),
            report.digest,
            terminal.human_bytes(report.bytes),
            f'{terminal.human_bytes(report.bytes / max(report.seconds, 1e-3))}/s',
        ]
        for report in reports
    ]
    header = ['archive', 'state', 'pairs', 'masks', 'faults', 'digest', 'bytes', 'rate']
    print(terminal.table(header, rows))
