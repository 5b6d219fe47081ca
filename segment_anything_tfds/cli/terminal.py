"""What every command says and how: tables, sizes and times for people, JSON for programs.

Results go to the standard output, everything else to the standard error; colour and bars appear
only where that is a terminal.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import os
import sys
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from segment_anything_tfds.actions.choosing import ArgumentError as UsageError
from segment_anything_tfds.source.wording import human_bytes, human_time

__all__ = [
    'UsageError',
    'accept_any_text',
    'add_archives',
    'add_json',
    'complain',
    'human_bytes',
    'human_time',
    'listing',
    'natural_int',
    'parse_bytes',
    'positive_int',
    'say',
    'show',
    'table',
]


def add_json(parser: argparse.ArgumentParser) -> None:
    """Adds `--json`."""
    parser.add_argument('--json', action='store_true', help='print JSON instead of text')


def add_archives(parser: argparse.ArgumentParser) -> None:
    """Adds `--archives`."""
    parser.add_argument(
        '--archives',
        metavar='LIST',
        help='numbers and ranges, both ends included: 20-29,130 (default: all)',
    )


def accept_any_text() -> None:
    """Makes the standard streams take what they cannot encode, such as a name that is no UTF-8.

    What is left out of the encoding is written as an escape of JSON's, so JSON stays JSON.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors='backslashreplace')


def say(text: str) -> None:
    """Says a line to the person, on the standard error, in one piece whatever threads say."""
    sys.stderr.write(f'{text}\n')
    sys.stderr.flush()


def complain(text: str) -> None:
    """Prints an error on the standard error; red on a terminal."""
    in_color = sys.stderr.isatty() and 'NO_COLOR' not in os.environ
    say(f'\x1b[31m{text}\x1b[0m' if in_color else text)


def show(value: Any, indent: int | None = 2) -> None:
    """Prints JSON on the standard output."""
    print(json.dumps(value, indent=indent, ensure_ascii=False), flush=True)


def listing(title: str, texts: Mapping[str, str]) -> str:
    """Lists names and what they mean under a title, for the end of a command's help.

    Example:
      >>> print(listing('formats', {'coco': 'COCO instances', 'tsv': 'a table'}))
      formats:
        coco  COCO instances
        tsv   a table
    """
    width = max(map(len, texts)) + 4
    rows = [
        textwrap.fill(
            text, 78, initial_indent=f'  {name}'.ljust(width), subsequent_indent=' ' * width
        )
        for name, text in texts.items()
    ]
    return '\n'.join([f'{title}:', *rows])


def table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Aligns columns; numbers to the right.

    Example:
      >>> print(table(['name', 'images'], [['sa_000020', 11186]]))
      name       images
      sa_000020   11186
    """
    cells = [[str(cell) for cell in row] for row in [header, *rows]]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    right = [
        bool(rows) and all(isinstance(row[i], (int, float)) for row in rows)
        for i in range(len(header))
    ]
    lines = (
        '  '.join(
            cell.rjust(width) if to_right else cell.ljust(width)
            for cell, width, to_right in zip(row, widths, right, strict=True)
        ).rstrip()
        for row in cells
    )
    return '\n'.join(lines)


def parse_bytes(text: str) -> int:
    """Reads a size as people write it: `50M`, `1.5 GB`, `1000`; units are powers of 1000.

    Raises:
      argparse.ArgumentTypeError: for anything else.

    Example:
      >>> parse_bytes('1.5 MB')
      1500000
    """
    units = {'': 1, 'K': 10**3, 'M': 10**6, 'G': 10**9, 'T': 10**12}
    number = text.strip().upper().removesuffix('B').strip()
    unit = number[-1:] if number[-1:] in units else ''
    try:
        value = float(number.removesuffix(unit)) * units[unit]
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f'expected a size such as 50M or 1.5GB; got {text!r}')
    return max(1, int(value))


def natural_int(text: str) -> int:
    """Reads a whole number from 0 to 999,999 (the numbers of archives), for `argparse`."""
    if not text.isdecimal() or int(text) > 999_999:
        raise argparse.ArgumentTypeError(f'expected a number from 0 to 999999; got {text!r}')
    return int(text)


def positive_int(text: str) -> int:
    """Reads a whole number, 1 or more, for `argparse`."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f'expected a whole number, 1 or more; got {text!r}')
    return int(text)
