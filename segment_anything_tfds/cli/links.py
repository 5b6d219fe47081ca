"""`sa1b links`: what a links file offers, and until when."""

from __future__ import annotations

import argparse
import datetime

from segment_anything_tfds.cli import terminal
from segment_anything_tfds.source import selection
from segment_anything_tfds.source.remote import links_file, sizes

HELP = """\
say what a links file offers: which archives, until when, how many bytes

  sa1b links segment_anything_links.txt
  sa1b links segment_anything_links.txt --sizes --archives 20-29

Signed links live for some weeks. Whoever has one can download, so none is ever printed.
The exit code is 1 where links have expired.
"""
ALL_ARCHIVES = range(1000)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('file', metavar='FILE', help='the links file, or the folder that has it')
    parser.add_argument(
        '--sizes', action='store_true', help='ask the server for the size of each archive'
    )
    terminal.add_archives(parser)
    terminal.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Prints what the file offers; returns the exit code."""
    listed = read(args.file)
    numbers = terminal.chosen(args.archives, listed.archives, listed.path)
    report = _describe(listed, numbers)
    if args.sizes:
        report['sizes'] = _describe_sizes(sizes.ask([listed.archives[n] for n in numbers]))
    if args.json:
        terminal.show(report)
    else:
        _print(report)
    return 1 if report['expired'] else 0


def read(path: str) -> links_file.Links:
    """The links file; what is wrong with it is the user's to mend, so exit code 2."""
    try:
        return links_file.read(path)
    except ValueError as error:
        raise terminal.UsageError(str(error)) from None


def _describe(listed: links_file.Links, numbers: tuple[int, ...]) -> dict:
    now = datetime.datetime.now(datetime.timezone.utc)
    expiries = [listed.archives[number].expires for number in numbers]
    expiries = sorted(filter(None, expiries))
    return {
        'archives': len(numbers),
        'listed': selection.format(numbers),
        'missing': selection.format(set(ALL_ARCHIVES) - set(listed.archives)),
        'other_rows': [{'line': line, 'name': name} for line, name in listed.ignored],
        'expires': expiries[0].isoformat() if expiries else None,
        'last_expires': expiries[-1].isoformat() if expiries else None,
        'expired': sum(expiry <= now for expiry in expiries),
        'seconds_left': (expiries[0] - now).total_seconds() if expiries else None,
    }


def _describe_sizes(answers: dict[int, int | str]) -> dict:
    """Sizes by archive; those that the server does not tell, with the reason."""
    by_name = {selection.archive_name(number): answer for number, answer in answers.items()}
    known = {name: size for name, size in by_name.items() if isinstance(size, int)}
    return {
        'total': sum(known.values()),
        'by_archive': known,
        'unknown': {name: why for name, why in by_name.items() if name not in known},
    }


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
