"""Masks drawn over images: pictures, contact sheets, and a page to browse them."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from segment_anything_tfds.actions import choosing, places
from segment_anything_tfds.source import label_table, meter

if TYPE_CHECKING:
    from segment_anything_tfds.exchange.records import Record
    from segment_anything_tfds.report.picture import Picture

LIMIT = 12


def preview(
    paths: choosing.Paths,
    *,
    png: choosing.Path | None = None,
    html: choosing.Path | None = None,
    image: str | int | Sequence[str | int] = (),
    boxes: bool = False,
    points: bool = False,
    scores: bool = False,
    cell: int = 512,
    archives: choosing.Archives = None,
    filter: str | None = None,
    limit: int = LIMIT,
    labels: label_table.Table | None = None,
    on_error: str = 'skip',
    on_fault: choosing.OnFault | None = None,
    progress: meter.Show = None,
) -> Picture:
    """Draws masks over images: one in full size, or several on a sheet, and a page to browse.

    Images inside an archive lie in random order, so its first images are a fair sample.

    Args:
      paths: archives, folders of archives, extracted archives, or a prepared dataset.
      png: a file for the picture.
      html: a file for a page that needs no network.
      image: only these images: ids or file names.
      boxes: draw boxes into the picture.
      points: draw prompts into the picture.
      scores: write `predicted_iou` at each mask of the picture.
      cell: side of an image on a sheet, in pixels.
      archives: numbers of the archives that are wanted, such as `'20-29,130'`; all by default.
      filter: rules joined by commas, such as `'area>=1000, predicted_iou>0.9'`.
      limit: how many images to draw at most, unless `image` names them.
      labels: a table of labels, as `records` takes it; the page shows its columns.
      on_error: `'skip'` leaves out records that break a rule, `'fail'` stops at the first one.
      on_fault: with `'skip'`, called with each fault.
      progress: whether and how to show progress, in images.

    Returns:
      The picture. A notebook shows it.

    Raises:
      FileNotFoundError: a path does not exist.
      ValueError: an argument is malformed, or there are no such images.
    """
    from segment_anything_tfds.report import picture

    places.check_file('png', png)
    places.check_file('html', html)
    named = [image] if isinstance(image, (str, int)) else list(image)
    policy = choosing.Policy(on_error, on_fault)
    found = choosing.read(
        paths,
        policy,
        archives=archives,
        filter=filter,
        limit=None if named else limit,
        labels=labels,
        only={_stem(name) for name in named} or None,
    )
    shown = _choose(meter.track(found, 'preview', progress=progress), named, paths)
    drawn = picture.Picture(_sheet(shown, cell, boxes=boxes, points=points, scores=scores))
    if png is not None:
        places.save(png, drawn.to_png())
    if html is not None:
        places.save(html, _page(shown).encode(errors='backslashreplace'))
    return drawn


def show(
    data: choosing.Path | int | Iterable[Record] | Iterable[Mapping[str, Any]],
    paths: choosing.Paths | None = None,
    *,
    count: int = 9,
    side: int = 512,
    max_masks: int | None = None,
    points: bool = False,
) -> Picture:
    """Shows the first images of some data with their masks, or one that is named.

    Args:
      data: a path, as `records` takes it; records; or a `tf.data.Dataset` or any iterable of
        examples of `segment_anything`, not batched. With `paths` an image of theirs: its id, such
        as 223750, or its name, such as `'sa_223750'`.
      paths: archives or folders where the image is. It is found at once in plain and extracted
        archives, and in gzip archives that `archive_index` has made an index of.
      count: how many to draw at most.
      side: longer side of an image on the sheet, in pixels.
      max_masks: the largest masks an image that are drawn; `None` for all.
      points: draw `point_coords` too.

    Returns:
      The picture. A notebook shows it; `save` writes it, `numpy.asarray` gives its pixels.

    Raises:
      FileNotFoundError: there is no such path.
      ValueError: there are no examples, batches of them, or those of another dataset; or no such
        image in `paths`.
    """
    from segment_anything_tfds.report import picture
    from segment_anything_tfds.report import show as show_lib

    if paths is not None:
        found = choosing.read(paths, choosing.Policy('skip'), only={_stem(data)})
        data = _choose(found, [data], paths)
    elif isinstance(data, (str, os.PathLike)):
        data = choosing.records(data, limit=count, on_error='skip')
    drawn = show_lib.show_examples(
        map(_to_example, data), count=count, side=side, max_masks=max_masks, points=points
    )
    return picture.Picture(drawn)


def _to_example(item: Any) -> Any:
    """Gives what `show_examples` takes; of a record, its columns as a dataset has them."""
    if not hasattr(item, 'jpeg'):
        return item
    columns = dict(item.example.annotations)
    columns['segmentation'] = {'counts': columns.pop('counts'), 'size': columns.pop('size')}
    image = {**item.example.image, 'file_name': item.file_name.encode()}
    return {'image': image, 'annotations': columns}


def _choose(found: Iterable[Record], named: list[str | int], paths: choosing.Paths) -> list[Record]:
    """Gives the records to show; those that are named, or all."""
    wanted = {_stem(name) for name in named}
    chosen = []
    for record in found:
        if wanted and record.stem not in wanted:
            continue
        chosen.append(record)
        if wanted and len(chosen) == len(wanted):
            break
    missing = wanted - {record.stem for record in chosen}
    if missing or not chosen:
        raise ValueError(
            f'expected {", ".join(sorted(missing)) or "images to show"} in '
            f'{", ".join(map(os.fspath, choosing.listed(paths)))}; got {len(chosen)} images. '
            'Choose others, or a wider filter.'
        )
    return chosen


def _stem(name: str | int) -> str:
    text = pathlib.PurePath(str(name)).name.partition('.')[0]
    return f'sa_{text}' if text.isdecimal() else text


def _sheet(shown: list[Record], cell: int, **what: bool):
    from segment_anything_tfds.report import draw

    if len(shown) == 1:
        return _draw(shown[0], None, **what)
    return draw.contact_sheet(
        [_draw(record, cell, **what) for record in shown],
        [f'{record.stem}: {len(record.rows)} masks' for record in shown],
        cell=cell,
    )


def _draw(record: Record, side: int | None, *, boxes: bool, points: bool, scores: bool):
    """Draws one image with its masks, `uint8` [H, W, 3]; no longer than `side`."""
    import numpy as np

    from segment_anything_tfds.report import draw
    from segment_anything_tfds.source.record import coco_rle

    image = _pixels(record)
    scale = min(1.0, (side or max(image.shape)) / max(image.shape[:2]))
    image = np.asarray(draw.fit(image, side or max(image.shape)))
    rows, columns = record.rows, record.example.annotations
    full = (record.json['image']['height'], record.json['image']['width'])
    corners = np.array([row['bbox'] for row in rows]).reshape(-1, 4)
    corners[:, 2:] += corners[:, :2]
    prompts = np.array([row['point_coords'][0] for row in rows]).reshape(-1, 2)
    return draw.overlay(
        image,
        coco_rle.decode_resized(columns['counts'], full, image.shape[:2]),
        boxes=corners * scale if boxes else None,
        points=prompts * scale if points else None,
        texts=[_score(row) for row in rows] if scores else None,
    )


def _score(row: Mapping[str, Any]) -> str:
    from segment_anything_tfds.exchange import carried

    return f'{row["predicted_iou"]:.2f}' if carried.is_scored(row) else ''


def _pixels(record: Record):
    import io

    import numpy as np
    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(record.jpeg)).convert('RGB'))


def _page(shown: list[Record]) -> str:
    from segment_anything_tfds.report import page

    return page.render(
        page.Sample(record.json['image']['file_name'], _pixels(record), _named_rows(record))
        for record in shown
    )


def _named_rows(record: Record) -> list[dict[str, Any]]:
    """Gives the annotations with the columns of a table of labels, but for embeddings."""
    return [
        {
            **{name: column[n] for name, column in record.labels.items() if _is_shown(column[n])},
            **row,
        }
        for n, row in enumerate(record.rows)
    ]


def _is_shown(value: Any) -> bool:
    return not isinstance(value, (list, tuple)) or len(value) <= 8
