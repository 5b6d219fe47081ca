"""`sa1b links`: what a links file offers, and until when."""

from __future__ import annotations

import argparse
import datetime
from concurrent import futures

from segment_anything_tfds.cli import terminal
from segment_anything_tfds.source import links, selection

HELP = """\
say what a links file offers: which archives, until when, how many bytes

  sa1b links segment_anything_links.txt
  sa1b links segment_anything_links.txt --sizes --archives 20-29

Signed links live for some weeks. Whoever has one can download, so none is ever printed.
The exit code is 1 where links have expired.
"""
ALL_ARCHIVES = range(1000)
_CONNECTIONS = 16


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
        report['sizes'] = _ask_sizes(listed, numbers)
    if args.json:
        terminal.show(report)
    else:
        _print(report)
    return 1 if report['expired'] else 0


def read(path: str) -> links.Links:
    """The links file; what is wrong with it is the user's to mend, so exit code 2."""
    try:
        return links.read(path)
    except ValueError as error:
        raise terminal.UsageError(str(error)) from None


def _describe(listed: links.Links, numbers: tuple[int, ...]) -> dict:
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


def _ask_sizes(listed: links.Links, numbers: tuple[int, ...]) -> dict:
    """Sizes by archive; those that the server does not tell, with the reason."""
    from segment_anything_tfds.source import fetch

    def ask(number: int):
        link = listed.archives[number]
        try:
            return link.name, fetch.head(link.url, name=link.name).size, 'the server does not say'
        except fetch.FetchError as error:
            return link.name, None, str(error)

    with futures.ThreadPoolExecutor(_CONNECTIONS) as pool:
        answers = list(pool.map(ask, numbers))
    return {
        'total': sum(size or 0 for _, size, _ in answers),
        'by_archive': {name: size for name, size, _ in answers if size is not None},
        'unknown': {name: why for name, size, why in answers if size is None},
    }


def _print(report: dict) -> None:
    rows = [
        ['archives', f'{report["archives"]}: {report["listed"]}'],
        ['missing', report['missing'] or 'none'],
        ['other rows', ', '.join(row['name'] for row in report['other_rows']) or 'none'],
        ['expiry', _expiry(report)],
    ]
    if sizes := report.get('sizes'):
        known = len(sizes['by_archive'])
        rows.append(['size', f'{terminal.human_bytes(sizes["total"])} in {known} archives'])
        if sizes['unknown']:
            name, why = next(iter(sizes['unknown'].items()))
            rows.append(
                ['', f'{len(sizes["unknown"])} of unknown size, the first is {name}: {why}']
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
            f'({when:%Y-%m-%d %H:%M} UTC). {links.HOW_TO_GET}'
        )
    return f'in {span} ({when:%Y-%m-%d %H:%M} UTC)'
