"""`sa1b preview`: pictures of images with their masks, and a page to browse them."""

from __future__ import annotations

import argparse
import pathlib

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
_LIMIT = 12


def add_arguments(parser: argparse.ArgumentParser) -> None:
    reading.add_arguments(parser, on_error='skip')
    parser.add_argument('--png', type=pathlib.Path, metavar='FILE', help='write a picture')
    parser.add_argument('--html', type=pathlib.Path, metavar='FILE', help='write a page')
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
    if args.png is None and args.html is None:
        raise terminal.UsageError('expected --png FILE, --html FILE or both; got none of them')
    skipped = reading.Skipped(args.on_error)
    records = _choose(args, skipped)
    if args.png is not None:
        _write(args.png, _picture(records, args))
    if args.html is not None:
        _write(args.html, _page(records).encode(errors='backslashreplace'))
    skipped.report()
    for path in filter(None, (args.png, args.html)):
        terminal.say(f'{len(records)} image{"s" if len(records) > 1 else ""}: {path}')
    return 0


def _choose(args: argparse.Namespace, skipped: reading.Skipped) -> list:
    """The records to show; at most `--limit`, or those that `--image` names."""
    wanted = {_stem(text) for text in args.image or ()}
    args.limit = None if wanted else args.limit or _LIMIT
    chosen = []
    for record in reading.records(args, skipped):
        if wanted and record.stem not in wanted:
            continue
        chosen.append(record)
        if wanted and len(chosen) == len(wanted):
            break
    missing = wanted - {record.stem for record in chosen}
    if missing or not chosen:
        raise ValueError(
            f'expected {", ".join(sorted(missing)) or "images to show"} in '
            f'{", ".join(args.paths)}; got {len(chosen)} images. Choose others, or a wider filter.'
        )
    return chosen


def _stem(text: str) -> str:
    text = pathlib.PurePath(text).name.partition('.')[0]
    return f'sa_{text}' if text.isdecimal() else text


def _picture(records: list, args: argparse.Namespace) -> bytes:
    import io

    from PIL import Image

    from segment_anything_tfds.report import draw

    if len(records) == 1:
        sheet = _draw(records[0], args, None)
    else:
        sheet = draw.contact_sheet(
            [_draw(record, args, args.cell) for record in records],
            [f'{record.stem}: {len(record.rows)} masks' for record in records],
            cell=args.cell,
        )
    buffer = io.BytesIO()
    Image.fromarray(sheet).save(buffer, 'PNG')
    return buffer.getvalue()


def _draw(record, args: argparse.Namespace, side: int | None):
    """One image with its masks, `uint8` [H, W, 3]; no longer than `side`."""
    import numpy as np

    from segment_anything_tfds.report import draw
    from segment_anything_tfds.source.record import coco_rle

    image = _pixels(record)
    scale = min(1.0, (side or max(image.shape)) / max(image.shape[:2]))
    image = np.asarray(draw.fit(image, side or max(image.shape)))
    rows, columns = record.rows, record.example.annotations
    full = (record.json['image']['height'], record.json['image']['width'])
    boxes = np.array([row['bbox'] for row in rows]).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    points = np.array([row['point_coords'][0] for row in rows]).reshape(-1, 2)
    return draw.overlay(
        image,
        coco_rle.decode_resized(columns['counts'], full, image.shape[:2]),
        boxes=boxes * scale if args.boxes else None,
        points=points * scale if args.points else None,
        texts=[f'{row["predicted_iou"]:.2f}' for row in rows] if args.scores else None,
    )


def _pixels(record):
    import io

    import numpy as np
    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(record.jpeg)).convert('RGB'))


def _page(records: list) -> str:
    from segment_anything_tfds.report import page

    return page.render(
        page.Sample(record.json['image']['file_name'], _pixels(record), record.rows)
        for record in records
    )


def _write(path: pathlib.Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
