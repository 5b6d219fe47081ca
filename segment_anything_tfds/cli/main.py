"""The `sa1b` command: finds the subcommand's module, and imports no more than that."""

from __future__ import annotations

import argparse
import importlib
import os
import pathlib
import sys
import traceback
import types
from collections.abc import Sequence

from segment_anything_tfds import __version__
from segment_anything_tfds.cli import terminal

COMMANDS = (
    'links',
    'download',
    'verify',
    'preview',
    'stats',
    'export',
    'import',
    'evaluate',
    'predict',
    'annotate',
    'demo',
)
_RESUMED = ('download', 'annotate')
_PACKAGE = pathlib.Path(__file__).resolve().parent.parent
DONE, BAD_DATA, BAD_USAGE, INTERRUPTED = 0, 1, 2, 130
# Optional packages, and the extra that installs each.
_EXTRAS = {'cv2': 'export', 'keras_hub': 'training', 'matplotlib': 'report'}

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
Options may be spelled with - or _ between words.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs `sa1b`.

    Args:
      argv: the arguments after the program's name; those of the process where not given.

    Returns:
      The exit code: 0 done, 1 data, 2 usage, 130 interrupted.
    """
    argv = [_spelled(arg) for arg in (sys.argv[1:] if argv is None else argv)]
    parser = make_parser(argv)
    try:
        args = parser.parse_args(argv)
    except SystemExit as end:
        return end.code or DONE
    terminal.accept_any_text()
    try:
        code = args.run(args)
        print(end='', flush=True)  # a pipe that was closed shows here, not after the end
    except KeyboardInterrupt:
        goes_on = '; the same command goes on from here' if args.command in _RESUMED else ''
        terminal.say(f'interrupted{goes_on}')
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except Exception as error:
        code = _exit_code(error)
        if code is None or args.traceback:
            raise
        terminal.complain(f'sa1b {args.command}: {_explain(error)}')
    return code


def _spelled(arg: str) -> str:
    """Spells `--limit-rate` as `--limit_rate`; the values of options stay as they are."""
    name, equals, value = arg.partition('=')
    return (
        name.replace('-', '_').replace('__', '--', 1) + equals + value if arg[:2] == '--' else arg
    )


def _exit_code(error: Exception) -> int | None:
    """Gives the exit code for an error; `None` for a mistake in the program."""
    if isinstance(error, (terminal.UsageError, FileNotFoundError, NotADirectoryError)):
        return BAD_USAGE
    if isinstance(error, ModuleNotFoundError) and error.name in _EXTRAS:
        return BAD_USAGE
    if type(error) in (ValueError, RuntimeError) and _is_ours(error):
        return None
    tensorflow = sys.modules.get('tensorflow')
    in_graph = (tensorflow.errors.OpError,) if tensorflow else ()
    return BAD_DATA if isinstance(error, (ValueError, OSError, RuntimeError, *in_graph)) else None


def _is_ours(error: Exception) -> bool:
    """Tells whether an error was raised in the program without the words that its own errors have.

    Such as NumPy's where shapes do not fit: a mistake in the program, not in the data.
    """
    frames = traceback.extract_tb(error.__traceback__)
    inside = pathlib.Path(frames[-1].filename).is_relative_to(_PACKAGE)
    return inside and 'expected' not in str(error)


def _explain(error: Exception) -> str:
    if isinstance(error, ModuleNotFoundError):
        extra = _EXTRAS[error.name]
        return (
            f'expected the package {error.name}; got none. '
            f"Install it with: pip install 'segment-anything-tfds[{extra}]'"
        )
    return getattr(error, 'message', None) or str(error)


def make_parser(argv: Sequence[str] = ()) -> argparse.ArgumentParser:
    """Makes the parser: of the one command that `argv` starts with, or else of all commands."""
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
        _add_command(commands, name, _load(name))
    return parser


def _load(name: str) -> types.ModuleType:
    module = 'import_' if name == 'import' else name  # a keyword of Python
    return importlib.import_module(f'{__package__}.{module}')


def _add_command(commands, name: str, module: types.ModuleType) -> None:
    help_text = module.HELP.strip()
    command = commands.add_parser(
        name,
        help=help_text.splitlines()[0],
        description=help_text,
        epilog=getattr(module, 'EPILOG', None),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    module.add_arguments(command)
    command.add_argument(
        '--traceback',
        action='store_true',
        help='where an error came from in the program, for a report of it',
    )
    command.set_defaults(run=module.run)
