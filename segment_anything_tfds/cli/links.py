"""`sa1b links`: what a links file offers, and until when."""

from __future__ import annotations

import argparse
import datetime

from segment_anything_tfds.cli import terminal
from segment_anything_tfds.source.remote import links_file

HELP = """\
say what a links file offers: which archives, until when, how many bytes

  sa1b links segment_anything_links.txt
  sa1b links segment_anything_links.txt --sizes --archives 20-29

Signed links live for some weeks. Whoever has one can download, so none is ever printed.
The exit code is 1 where links have expired.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('file', metavar='FILE', help='the links file, or the folder that has it')
    parser.add_argument(
        '--sizes', action='store_true', help='ask the server for the size of each archive'
    )
    terminal.add_archives(parser)
    terminal.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Prints what the file offers; returns the exit code."""
    from segment_anything_tfds.actions import link_report

    report = link_report.links(args.file, sizes=args.sizes, archives=args.archives)
    if args.json:
        terminal.show(report)
    else:
        _print(report)
    return 1 if report['expired'] else 0


def _print(report: dict) -> None:
    rows = [
        ['archives', f'{report["archives"]}: {report["listed"]}'],
        ['missing', report['missing'] or 'none'],
        ['other rows', ', '.join(row['name'] for row in report['other_rows']) or 'none'],
        ['expiry', _expiry(report)],
    ]
    if found := report.get('sizes'):
        known = len(found['by_archive'])
        rows.append(['size', f'{terminal.human_bytes(found["total"])} in {known} archives'])
        if found['unknown']:
            name, why = next(iter(found['unknown'].items()))
            rows.append(
                ['', f'{len(found["unknown"])} of unknown size, the first is {name}: {why}']
            )
    width = max(len(name) for name, _ in rows)
    for name, text in rows:
        print(f'{name:<{width}}  {text}')


def _expiry(report: dict) -> str:
    if report['expires'] is None:
        return 'the links do not say'
    when = datetime.datetime.fromisoformat(report['expires'])
    span = terminal.human_time(report['seconds_left'])
    if report['expired']:
        return (
            f'{report["expired"]} of {report["archives"]} expired, the first {span} ago '
            f'({when:%Y-%m-%d %H:%M} UTC). {links_file.HOW_TO_GET}'
        )
    return f'in {span} ({when:%Y-%m-%d %H:%M} UTC)'
