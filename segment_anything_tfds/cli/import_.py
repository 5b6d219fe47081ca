"""`sa1b import`: what people have corrected in an annotation tool, and other data, as archives."""

from __future__ import annotations

import argparse

from segment_anything_tfds.cli import reading, terminal
from segment_anything_tfds.exchange import options

HELP = """\
bring corrections back from an annotation tool, or other data in, as archives of SA-1B

  sa1b import annotations.xml --format cvat --images to_correct/images --out corrected
  sa1b import project-1.json --format labelstudio --images to_correct/images --out corrected
  sa1b evaluate sa_000020.tar --against corrected                     how much was corrected
  sa1b import coco/annotations/instances_val2017.json --format coco --out coco_as_sa1b

Masks that `sa1b export` wrote keep their ids, whether they were corrected or not; new ones get new
ids, deleted ones are gone. Masks with other pixels than a model gave them have -1 for
predicted_iou and stability_score. Filters and recipes let them pass every limit on scores, and take
them before others; `scored==0` finds them.
Names, licences, sources, labels and ids that archives cannot hold are in images.csv and labels.csv
beside them. The output folder appears when it is whole.
"""
EPILOG = terminal.listing('formats', options.READABLE)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('path', metavar='PATH', help='a file of the format, or the folder of them')
    parser.add_argument(
        '--format',
        choices=sorted(options.READABLE),
        required=True,
        metavar='FORMAT',
        help='one of those below',
    )
    parser.add_argument('--out', required=True, metavar='DIR', help='a folder to make')
    parser.add_argument(
        '--images',
        metavar='DIR',
        help='where the images are (default: beside PATH, and in images/ and data/ there)',
    )
    parser.add_argument(
        '--per_file',
        type=terminal.positive_int,
        default=options.Options.per_file,
        metavar='N',
        help='images in each archive (default: %(default)s)',
    )
    parser.add_argument(
        '--first_number',
        type=terminal.natural_int,
        default=0,
        metavar='N',
        help='number of the first archive (default: %(default)s)',
    )
    parser.add_argument(
        '--on_error',
        choices=['fail', 'skip'],
        default='fail',
        help='what to do with an image or a mask that cannot be taken: stop, or leave it out and'
        ' count it (default: %(default)s)',
    )
    terminal.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Imports; returns the exit code."""
    from segment_anything_tfds.actions import import_data

    skipped = reading.Skipped(args.on_error)
    try:
        counts = import_data.import_data(
            args.path,
            format=args.format,
            out=args.out,
            images=args.images,
            per_file=args.per_file,
            first_number=args.first_number,
            on_error=args.on_error,
            on_fault=skipped,
        )
    except FileExistsError as error:
        raise terminal.UsageError(str(error)) from None
    skipped.report()
    names = ('images', 'masks', 'unchanged', 'changed', 'new')
    if args.json:
        numbers = {name: counts[name] for name in names}
        terminal.show({**numbers, 'out': args.out, 'left_out': dict(skipped.reasons)})
    else:
        masks = ', '.join(f'{counts[name]} {name}' for name in names[2:])
        terminal.say(f'{counts["images"]} images, {counts["masks"]} masks ({masks}): {args.out}')
    return 0
