"""`sa1b annotate`: masks for pictures of one's own, as archives in the format of SA-1B."""

from __future__ import annotations

import argparse
import dataclasses
import os
import re

from segment_anything_tfds.actions import places
from segment_anything_tfds.cli import quiet, terminal

HELP = """\
find the masks of your pictures with a SAM, and write both as SA-1B archives

  sa1b annotate photographs --model sam_vit_b.pth --out archives
  sa1b annotate a.jpg b.png --model tiny --out archives --settings default --preview
  sa1b annotate sa_000020.tar --model fine_tuned.keras --out again

Reads picture files and folders of them, or the pictures of archives and prepared datasets, which
keep their ids. Pictures are turned as their EXIF says and brought to 8-bit RGB; those whose short
side is longer than 1500 pixels are made smaller, as SA-1B's are. JPEGs that are fit as they are
stay as they are, with their EXIF. sources.csv beside the archives says which picture each
sa_<id>.jpg was.

A run that was stopped goes on when the same command is given again. The archives are read by
everything here: sa1b verify, tfds build, sa1b preview, sa1b export, sa1b evaluate.
"""
_NOT_OPTIONS = ('point_grids', 'output_mode')  # arrays, and what archives leave no choice in


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        'paths', nargs='+', metavar='PATH', help='pictures, folders, archives or a dataset'
    )
    parser.add_argument(
        '--model',
        required=True,
        metavar='NAME',
        help="a .keras file, Meta's .pth or .safetensors, a KerasHub preset, or 'tiny'",
    )
    parser.add_argument('--out', required=True, metavar='DIR', help='folder of the archives')
    parser.add_argument(
        '--settings',
        default='sa1b',
        metavar='NAME',
        help='default, sa1b or proposals (default: %(default)s)',
    )
    _add_layout(parser)
    _add_settings(parser)
    parser.add_argument(
        '--on_error',
        choices=['fail', 'skip'],
        default='fail',
        help='what to do with a picture that cannot be annotated: stop its archive, or leave it out'
        ' and name it (default: %(default)s)',
    )
    parser.add_argument(
        '--precision',
        choices=['auto', 'float32', 'mixed_bfloat16', 'mixed_float16'],
        default='auto',
        help='of the image encoder; auto: mixed_bfloat16 on accelerators (default: %(default)s)',
    )
    parser.add_argument(
        '--preview', action='store_true', help='write preview.html beside the archives'
    )
    parser.add_argument(
        '--beam_options',
        metavar='OPTIONS',
        help="run on Beam, with options joined by commas: 'runner=DataflowRunner,project=...'",
    )
    terminal.add_json(parser)


def _add_layout(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '--archive_size',
        type=terminal.positive_int,
        default=11186,
        metavar='N',
        help='picture files an archive (default: %(default)s, as in SA-1B)',
    )
    parser.add_argument(
        '--first_id', type=_natural, metavar='N', help='id of the first picture file (default: 1)'
    )
    parser.add_argument(
        '--first_number',
        type=terminal.natural_int,
        default=0,
        metavar='N',
        help='number of the first archive (default: %(default)s)',
    )
    parser.add_argument(
        '--short_side',
        type=_natural,
        default=1500,
        metavar='PIXELS',
        help='make pictures smaller down to this short side; 0 for never (default: %(default)s)',
    )
    parser.add_argument(
        '--max_side', type=terminal.positive_int, metavar='PIXELS', help='and to this long side'
    )


def _add_settings(parser: argparse.ArgumentParser) -> None:
    """Adds an option for each field of `Settings` that is a number or a switch."""
    from segment_anything_tfds.annotate import settings

    group = parser.add_argument_group("changes to the settings, under Meta's names")
    for field in dataclasses.fields(settings.Settings):
        if field.name in _NOT_OPTIONS:
            continue
        kind, shown = _KINDS[field.type.partition(' ')[0]]  # of 'int | None', int
        group.add_argument(
            f'--{field.name}',
            type=kind,
            metavar=shown,
            help=_explain(field.name, settings.Settings.__doc__),
            default=argparse.SUPPRESS,
        )


def _switch(text: str) -> bool:
    if text.lower() not in ('true', 'false'):
        raise argparse.ArgumentTypeError(f'expected true or false; got {text!r}')
    return text.lower() == 'true'


_KINDS = {'int': (int, 'N'), 'float': (float, 'X'), 'bool': (_switch, 'true|false')}


def _explain(name: str, docstring: str) -> str:
    """Gives what the docstring says of an attribute, up to its first full stop or semicolon."""
    text = re.search(
        rf'^ +{name}: (.*?)(?=^ +[a-z_0-9]+: |\n\n)', docstring, re.DOTALL | re.MULTILINE
    )
    return re.split(r'[.;] ', ' '.join(text[1].split()))[0].rstrip('.').replace('%', '%%')


def run(args: argparse.Namespace) -> int:
    """Annotates; returns the exit code."""
    settings = _settings(args)
    places.check_folder('out', args.out)
    quiet.import_tensorflow()
    from segment_anything_tfds.annotate import write_archives

    try:
        summary = write_archives(
            args.paths,
            args.model,
            args.out,
            settings=settings,
            archive_size=args.archive_size,
            first_id=args.first_id,
            first_number=args.first_number,
            short_side=args.short_side or None,
            max_side=args.max_side,
            on_error=args.on_error,
            precision=args.precision,
            beam_options=args.beam_options,
        )
    except FileExistsError as error:
        raise terminal.UsageError(str(error)) from None
    if args.preview:
        _preview(args.out)
    if args.json:
        terminal.show(dataclasses.asdict(summary))
    else:
        _say(summary, args.out)
    return 0


def _settings(args: argparse.Namespace):
    from segment_anything_tfds.annotate import settings

    names = {field.name for field in dataclasses.fields(settings.Settings)}
    changes = {name: value for name, value in vars(args).items() if name in names}
    try:
        return settings.get(args.settings, **changes)
    except ValueError as error:
        raise terminal.UsageError(str(error)) from None


def _preview(out: str) -> None:
    from segment_anything_tfds.cli import preview

    parser = argparse.ArgumentParser()
    preview.add_arguments(parser)
    folder = os.path.expanduser(out)
    preview.run(parser.parse_args([folder, '--html', f'{folder}/preview.html']))


def _say(summary, out: str) -> None:
    from segment_anything_tfds.annotate.archives import annotation_run

    for what, counts in (('left out', summary.left_out), ('no pictures', summary.passed_over)):
        if counts:
            parts = ', '.join(f'{count} {name}' for name, count in counts.items())
            terminal.say(f'{what}: {parts}')
    for fault in summary.skipped:
        terminal.say(f'  {fault}')
    if len(summary.skipped) < sum(summary.left_out.values()):
        terminal.say(f'  and more: see *.faults.jsonl in {out}/{annotation_run.STAGING}')
    terminal.say(
        f'{summary.images:,} images with {summary.masks:,} masks in {len(summary.archives)} '
        f'archives: {out}'
    )


def _natural(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f'expected a whole number, 0 or more; got {text!r}')
    return int(text)
