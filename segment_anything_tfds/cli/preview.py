"""`sa1b preview`: pictures of images with their masks, and a page to browse them."""

from __future__ import annotations

import argparse

from segment_anything_tfds.cli import reading, terminal

HELP = """\
draw masks over images: a PNG, a contact sheet, or an HTML page to browse

Reads an archive, a folder, an extracted archive or a prepared dataset. Images inside an archive
lie in random order, so its first images are a fair sample.

  sa1b preview sa_000020.tar --png sheet.png                      twelve images on one sheet
  sa1b preview sa_000020.tar --image 226381 --png one.png         one image in full size
  sa1b preview archives --limit 40 --html page.html               a page: hover, filter, go on

The page is one file. It needs no network, and opens from where it lies.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    reading.add_arguments(parser, on_error='skip', limit=12)
    parser.add_argument('--png', metavar='FILE', help='write a picture')
    parser.add_argument('--html', metavar='FILE', help='write a page')
    parser.add_argument(
        '--image',
        action='append',
        metavar='ID',
        help='this image: its id or its file name; may be given several times',
    )
    parser.add_argument('--boxes', action='store_true', help='draw boxes into the picture')
    parser.add_argument('--points', action='store_true', help='draw prompts into the picture')
    parser.add_argument('--scores', action='store_true', help='write predicted_iou at each mask')
    parser.add_argument(
        '--cell',
        type=terminal.positive_int,
        default=512,
        metavar='PIXELS',
        help='side of an image on a sheet (default: %(default)s)',
    )


def run(args: argparse.Namespace) -> int:
    """Writes the pictures; returns the exit code."""
    from segment_anything_tfds.actions import draw_preview

    if args.png is None and args.html is None:
        raise terminal.UsageError('expected --png FILE, --html FILE or both; got none of them')
    reading.find_quietly(args)
    skipped = reading.Skipped(args.on_error)
    draw_preview.preview(
        args.paths,
        png=args.png,
        html=args.html,
        image=args.image or (),
        boxes=args.boxes,
        points=args.points,
        scores=args.scores,
        cell=args.cell,
        archives=args.archives,
        filter=args.filter,
        limit=args.limit,
        labels=args.labels,
        on_error=args.on_error,
        on_fault=skipped,
    )
    skipped.report()
    for path in filter(None, (args.png, args.html)):
        terminal.say(f'written: {path}')
    return 0
