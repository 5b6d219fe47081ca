"""`sa1b export`: the same records in other formats."""

from __future__ import annotations

import argparse
import dataclasses

from segment_anything_tfds.cli import reading, terminal
from segment_anything_tfds.exchange import options

HELP = """\
write records in another format: for annotation tools, for training, or SA-1B archives again

  sa1b export archives --format webdataset --out wds
  sa1b export sa_000020.tar --format cvat --out to_correct --limit 100
  sa1b export prepared --format coco --out coco --filter 'area>=1000, predicted_iou>=0.95'
  sa1b export sa_000020.tar --format archives --out small --limit 100

The output folder appears when it is whole. Masks are copied as they are, bit for bit; only
yolo loses some of them. What cvat, labelstudio and labelme are given, people correct there, and
`sa1b import` brings it back with the same ids.
"""
EPILOG = terminal.listing('formats', options.NAMES)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    reading.add_arguments(parser)
    parser.add_argument(
        '--format',
        choices=sorted(options.NAMES),
        required=True,
        metavar='FORMAT',
        help='one of those below',
    )
    parser.add_argument('--out', required=True, metavar='DIR', help='a folder to make')
    parser.add_argument(
        '--per_file',
        type=terminal.positive_int,
        default=options.Options.per_file,
        metavar='N',
        help='images in each file, where a format has several (default: %(default)s)',
    )
    parser.add_argument(
        '--first_number',
        type=terminal.natural_int,
        default=0,
        metavar='N',
        help='number of the first file, where they are numbered (default: %(default)s)',
    )
    parser.add_argument(
        '--min_region',
        type=terminal.natural_int,
        default=0,
        metavar='PIXELS',
        help='first fill holes and remove islands of fewer pixels (default: %(default)s)',
    )
    parser.add_argument(
        '--image_url',
        default=options.Options.image_url,
        metavar='PREFIX',
        help='labelstudio: what tasks put before the name of an image (default: %(default)s)',
    )
    terminal.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Exports; returns the exit code."""
    from segment_anything_tfds.actions import export_records

    reading.find_quietly(args)
    skipped = reading.Skipped(args.on_error)
    layout = {
        field.name: getattr(args, field.name) for field in dataclasses.fields(options.Options)
    }
    try:
        count = export_records.export(
            args.paths,
            format=args.format,
            out=args.out,
            archives=args.archives,
            filter=args.filter,
            limit=args.limit,
            labels=args.labels,
            min_region=args.min_region,
            on_error=args.on_error,
            on_fault=skipped,
            **layout,
        )
    except FileExistsError as error:
        raise terminal.UsageError(str(error)) from None
    skipped.report()
    if args.json:
        terminal.show({'images': count, 'out': args.out, 'left_out': dict(skipped.reasons)})
    else:
        terminal.say(f'{count} images: {args.out}')
    return 0
