"""`sa1b predict`: masks for clicks and boxes on one image."""

from __future__ import annotations

import argparse

from segment_anything_tfds.cli import quiet, terminal

HELP = """\
segment what is clicked or boxed on an image

All clicks together ask for one object, each box for one of its own.

  sa1b predict photo.jpg --model sam_vit_b_01ec64.pth --points 500,375 --png out.png
  sa1b predict photo.jpg --model sam_base_sa1b --boxes 425,600,700,875 --background 575,700 --json
  sa1b predict sa_1.jpg --boxes 10,20,90,80 --boxes 100,40,160,120 --png out.png

`--json` prints a record as in SA-1B's archives, with the masks as RLE.
"""
_TINY = (
    "The default model 'tiny' knows the painted scenes of `dummy_data` only; for photographs name "
    'another with --model.'
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('image', metavar='IMAGE', help='a JPEG, PNG or other picture file')
    parser.add_argument(
        '--model',
        metavar='FILE',
        help="a .keras file, Meta's .pth or .safetensors, a KerasHub preset, or 'tiny', which comes"
        ' with the package and knows painted scenes only (default: tiny)',
    )
    for name, meaning in (('points', 'a click on the object'), ('background', 'a click beside it')):
        parser.add_argument(
            f'--{name}',
            type=_numbers(2, 'x,y'),
            action='append',
            default=[],
            metavar='X,Y',
            help=f'{meaning}, in pixels; may be given several times',
        )
    parser.add_argument(
        '--boxes',
        type=_numbers(4, 'x0,y0,x1,y1'),
        action='append',
        default=[],
        metavar='X0,Y0,X1,Y1',
        help='a box around the object, in pixels; may be given several times',
    )
    parser.add_argument('--png', metavar='FILE', help='write a picture')
    terminal.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Predicts; returns the exit code."""
    from segment_anything_tfds.actions.learning import predict_masks

    quiet.import_tensorflow()
    if args.model is None:
        terminal.say(_TINY)
    found = predict_masks.predict(
        args.image,
        model=args.model or predict_masks.DEFAULT_MODEL,
        points=args.points,
        background=args.background,
        boxes=args.boxes,
        png=args.png,
    )
    if args.json:
        terminal.show(found.record)
    else:
        rows = [
            [
                row['id'],
                round(row['predicted_iou'], 3),
                round(row['stability_score'], 3),
                row['area'],
                ','.join(f'{x:g}' for x in row['bbox']),
            ]
            for row in found.record['annotations']
        ]
        header = ['mask', 'predicted_iou', 'stability_score', 'area', 'bbox x,y,w,h']
        print(terminal.table(header, rows) if rows else 'no mask')
    if args.png:
        terminal.say(f'written: {args.png}')
    return 0


def _numbers(count: int, form: str):
    """Reads, for `argparse`, finite numbers joined by commas."""

    def parse(text: str) -> tuple[float, ...]:
        try:
            values = tuple(float(part) for part in text.split(','))
        except ValueError:
            values = ()
        if len(values) != count or any(value - value != 0 for value in values):
            raise argparse.ArgumentTypeError(f'expected {form}; got {text!r}')
        return values

    return parse
