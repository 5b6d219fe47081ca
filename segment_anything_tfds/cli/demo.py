"""`sa1b demo`: the whole way, from archives to masks, on data that comes with the package."""

from __future__ import annotations

import argparse
import importlib.util
import io
import pathlib
import statistics
import tempfile

from segment_anything_tfds.actions import places
from segment_anything_tfds.cli import quiet, terminal
from segment_anything_tfds.source import resources

HELP = """\
build the data that comes with the package, decode its masks, draw a picture

Builds three small archives for real, as a full build does: read, checked, written as TFDS shards.
Then loads them with `tfds.load`, decodes the masks inside the input pipeline, prints what it found
and draws the masks over one image. With KerasHub installed, it also gives clicks and boxes to the
small SAM that comes with the package, and draws what it makes of them beside the truth.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '--out',
        default='sa1b_demo.png',
        metavar='FILE',
        help='where to write the picture (default: %(default)s); the '
        'picture of the model has _model added to its name',
    )
    parser.add_argument(
        '--data_dir',
        metavar='DIR',
        help='where to keep the prepared data set (default: a temporary folder)',
    )
    terminal.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Runs the demo; returns the exit code."""
    _check(args)
    terminal.say('Building three small archives; the first import of TensorFlow takes a while.')
    quiet.import_tensorflow()
    with tempfile.TemporaryDirectory(prefix='sa1b_demo_') as temporary:
        examples = _load(args.data_dir or temporary)
        rows = [_describe(example) for example in examples]
        best = max(examples, key=lambda example: len(example['masks']))
    header = ['image', 'size', 'masks', 'median area', 'largest', 'covered']
    if args.json:
        terminal.show([dict(zip(header, row, strict=True)) for row in rows])
    else:
        print(terminal.table(header, rows))
    _draw(best, args.out)
    terminal.say(f'The masks of {best["file_name"]}, drawn: {args.out}')
    suffix = pathlib.PurePath(args.out).suffix
    _try_model(best, f'{args.out.removesuffix(suffix)}_model{suffix}')
    return 0


def _check(args: argparse.Namespace) -> None:
    """Refuses, before the work, what cannot be written."""
    from PIL import Image

    places.check_file('out', args.out)
    places.check_folder('data_dir', args.data_dir)
    if pathlib.PurePath(args.out).suffix.lower() not in Image.registered_extensions():
        raise terminal.UsageError(f'--out: expected a name such as demo.png; got {args.out!r}')


def _load(data_dir: str) -> list[dict]:
    """Loads the examples, each with its decoded masks, as NumPy arrays."""
    import tensorflow_datasets as tfds

    from segment_anything_tfds.ops import rle

    def decode(example):
        segmentation = example['annotations']['segmentation']
        height, width = example['image']['height'], example['image']['width']
        return {
            'image': example['image']['content'],
            'file_name': example['image']['file_name'],
            'masks': rle.decode(segmentation['counts'], (height, width)),
        }

    config = tfds.download.DownloadConfig(manual_dir=resources.folder('dummy_data'))
    ds = tfds.load(
        'segment_anything',
        split='train',
        data_dir=data_dir,
        download_and_prepare_kwargs={'download_config': config},
        read_config=tfds.ReadConfig(try_autocache=False),
    )
    examples = list(tfds.as_numpy(ds.map(decode)))
    for example in examples:
        example['file_name'] = example['file_name'].decode()
    return examples


def _describe(example: dict) -> list:
    masks = example['masks']
    areas = masks.sum(axis=(1, 2), dtype='int64')
    height, width = example['image'].shape[:2]
    parts = areas[areas < height * width]
    return [
        example['file_name'],
        f'{width} x {height}',
        len(masks),
        int(statistics.median(areas.tolist() or [0])),
        int(parts.max(initial=0)),
        f'{masks[areas < height * width].any(axis=0).mean():.0%}',
    ]


def _draw(example: dict, path: str) -> None:
    from segment_anything_tfds.report import draw

    _save(draw.overlay(example['image'], example['masks']), path)


def _save(pixels, path: str) -> None:
    """Writes a picture, in the format that its name ends with."""
    from PIL import Image

    buffer = io.BytesIO()
    kind = Image.registered_extensions()[pathlib.PurePath(path).suffix.lower()]
    Image.fromarray(pixels).save(buffer, kind)
    places.save(path, buffer.getvalue())


def _try_model(example: dict, path: str) -> None:
    """Draws clicks and boxes, the true masks, and those of `training.tiny_sam`."""
    if importlib.util.find_spec('keras_hub') is None:
        terminal.say(
            "For what a small SAM makes of clicks and boxes: pip install '.[training]' "
            'in the checkout, or segment-anything-tfds[training].'
        )
        return
    from segment_anything_tfds.actions.learning import demo_model

    sheet, click, box, count = demo_model.draw(example['image'], example['masks'])
    _save(sheet, path)
    terminal.say(
        f'What the small SAM makes of a click ({click:.2f} IoU) and a box ({box:.2f}) on '
        f'{count} objects that it was not trained on: {path}'
    )
