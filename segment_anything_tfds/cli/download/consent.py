"""The licence of SA-1B: shown once for each folder, and asked for."""

from __future__ import annotations

import argparse
import pathlib
import sys

from segment_anything_tfds.cli import terminal


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds `--accept-license`."""
    parser.add_argument(
        '--accept-license',
        '--accept_license',
        action='store_true',
        help='say that you accept the SA-1B Dataset Research License, without being asked',
    )


def ask(folder: pathlib.Path, accepted: bool) -> bool:
    """Makes sure that the licence has been accepted for this folder; `True` then.

    Raises:
      UsageError: it was not accepted, or nobody can be asked.
    """
    from segment_anything_tfds.actions import licence

    if licence.is_accepted(folder):
        return True
    terminal.say(licence.NOTICE)
    if not accepted:
        if sys.stdin is None or not sys.stdin.isatty():  # it may be closed
            raise terminal.UsageError(
                'expected the licence to be accepted; got no terminal to ask. '
                'Read it, then pass --accept-license.'
            )
        terminal.say('Do you accept the licence? [yes/no]')
        if sys.stdin.readline().strip().lower() not in ('y', 'yes'):
            raise terminal.UsageError('expected the licence to be accepted; got no "yes"')
    return True
