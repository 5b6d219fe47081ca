"""The `sa1b` command: finds the subcommand's module, and imports no more than that."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import types
from collections.abc import Sequence

from segment_anything_tfds import __version__
from segment_anything_tfds.cli import terminal

COMMANDS = ('links', 'download', 'verify', 'preview', 'stats', 'export', 'evaluate', 'demo')
DONE, BAD_DATA, BAD_USAGE, INTERRUPTED = 0, 1, 2, 130

_DESCRIPTION = """\
SA-1B, the Segment Anything dataset: get it, check it, look at it, hand it on.

Ask for the links file at https://ai.meta.com/datasets/segment-anything-downloads/, then:

  sa1b links links.txt                             what the file offers, and until when
  sa1b download links.txt --to archives --archives 20-29
  sa1b verify archives                             are they whole?
  sa1b preview archives --html page.html           look at them
"""
_EPILOG = """\
exit codes: 0 done, 1 something is wrong with the data, 2 wrong usage, 130 interrupted.
`sa1b COMMAND --help` explains a command. `--json` prints what a program can read.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs `sa1b`.

    Args:
      argv: the arguments after the program's name; those of the process where not given.

    Returns:
      The exit code: 0 done, 1 data, 2 usage, 130 interrupted.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    parser = make_parser(argv)
    try:
        args = parser.parse_args(argv)
    except SystemExit as end:
        return end.code or DONE
    try:
        return args.run(args)
    except KeyboardInterrupt:
        terminal.say('interrupted; the same command goes on from here')
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except (terminal.UsageError, FileNotFoundError, NotADirectoryError) as error:
        terminal.complain(f'sa1b {args.command}: {error}')
        return BAD_USAGE
    except (ValueError, OSError, RuntimeError) as error:
        terminal.complain(f'sa1b {args.command}: {error}')
        return BAD_DATA


def make_parser(argv: Sequence[str] = ()) -> argparse.ArgumentParser:
    """The parser: of the one command that `argv` starts with, or else of all commands."""
    parser = argparse.ArgumentParser(
        prog='sa1b',
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('--version', action='version', version=f'sa1b {__version__}')
    commands = parser.add_subparsers(dest='command', metavar='COMMAND', required=True)
    wanted = [argv[0]] if argv and argv[0] in COMMANDS else COMMANDS
    for name in wanted:
        module = _load(name)
        if module is not None:
            _add_command(commands, name, module)
    return parser


def _load(name: str) -> types.ModuleType | None:
    path = f'{__package__}.{name}'
    try:
        return importlib.import_module(path)
    except ModuleNotFoundError as error:
        if error.name != path:
            raise
        return None


def _add_command(commands, name: str, module: types.ModuleType) -> None:
    help_text = module.HELP.strip()
    command = commands.add_parser(
        name,
        help=help_text.splitlines()[0],
        description=help_text,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    module.add_arguments(command)
    command.set_defaults(run=module.run)
