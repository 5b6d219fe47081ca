"""The licence of SA-1B: shown once for each folder, and asked for."""

from __future__ import annotations

import argparse
import datetime
import pathlib
import sys

from segment_anything_tfds.cli import terminal
from segment_anything_tfds.source.remote import links_file

NOTICE = f"""\
SA-1B is given out under the SA-1B Dataset Research License, for research purposes only. Its images
are licensed from a photo company; faces and licence plates in them are blurred. Who downloads the
data accepts that licence, whose full text is at
{links_file.HOMEPAGE}
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds `--accept-license`."""
    parser.add_argument(
        '--accept-license',
        '--accept_license',
        action='store_true',
        help='say that you accept the SA-1B Dataset Research License, without being asked',
    )


def ask(folder: pathlib.Path, accepted: bool) -> None:
    """Makes sure that the licence has been accepted for this folder.

    Raises:
      UsageError: it was not accepted, or nobody can be asked.
    """
    from segment_anything_tfds.source.remote import part

    note = folder / part.STATE_FOLDER / 'license_accepted.txt'
    if note.exists():
        return
    terminal.say(NOTICE)
    if not accepted:
        if not sys.stdin.isatty():
            raise terminal.UsageError(
                'expected the licence to be accepted; got no terminal to ask. '
                'Read it, then pass --accept-license.'
            )
        terminal.say('Do you accept the licence? [yes/no]')
        if sys.stdin.readline().strip().lower() not in ('y', 'yes'):
            raise terminal.UsageError('expected the licence to be accepted; got no "yes"')
    note.parent.mkdir(parents=True, exist_ok=True)
    now = datetime.datetime.now(datetime.timezone.utc)
    note.write_text(f'SA-1B Dataset Research License, accepted {now:%Y-%m-%d %H:%M} UTC\n')
