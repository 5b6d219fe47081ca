"""Label Studio: brushes, bitmasks and polygons of an export in its format `JSON`."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Iterator
from typing import Any
from urllib import parse

import numpy as np

from segment_anything_tfds.exchange.readers import drawn, json_objects, json_values, shapes
from segment_anything_tfds.source.record import brush_rle, coco_rle

TURNED = True  # browsers show images as their EXIF data rotate them
_NO_SHAPES = frozenset(
    ('choices', 'textarea', 'rating', 'taxonomy', 'number', 'datetime', 'pairwise', 'relation')
)


def find(path: pathlib.Path) -> list[pathlib.Path]:
    """Gives the JSON files of exports: `path` itself, or those in this folder."""
    return sorted(path.glob('*.json')) if path.is_dir() else [path]


def read(path: pathlib.Path, on_fault: drawn.OnFault) -> Iterator[drawn.Picture]:
    """Reads tasks one after another; memory holds one.

    Of a task counts the annotation that was changed last and not skipped; a task without one gives
    its last prediction, as the model made it.

    Args:
      path: a JSON file with a list of tasks.
      on_fault: called with each fault; what has it is left out.

    Raises:
      DataError: the file is no list of objects.
    """
    report = drawn.Report(path.name, on_fault)
    try:
        for n, found in enumerate(json_objects.scan(path)):
            with report.element(f'task {n}'):
                yield _picture(json_values.parse(found.text), f'task {n}', report)
    except drawn.Refused as error:
        raise report.broken(str(error)) from None


def _picture(task: dict[str, Any], where: str, report: drawn.Report) -> drawn.Picture:
    if not {'annotations', 'predictions'} & task.keys():
        raise drawn.Refused(
            'import_invalid', 'expected a task with `annotations`; got none: export it as JSON'
        )
    data = json_values.get(task, 'data', dict)
    name = data.get('sa_file_name') or _file_name(json_values.get(data, 'image', str))
    if type(name) is not str:
        raise drawn.Refused('import_invalid', f'expected the name of an image; got {name!r:.60}')
    size, masks, names = None, {}, {}
    for n, region in enumerate(json_values.rows(_judgement(task), 'result')):
        kind = json_values.get(region, 'type', str)
        if kind in _NO_SHAPES:
            continue
        element = f'{where} / result[{n}]'
        with report.element(element):
            stated = json_values.size(region, 'original_height', 'original_width')
            size = size or stated
            if stated != size:
                raise drawn.Refused('import_size_mismatch', f'expected {size}; got {stated}')
            key = str(region.get('id', n))
            if kind == 'labels' and key in masks:  # the name of a region that came before
                names[key] = _label(region)
                continue
            masks[key if key not in masks else f'{key} {n}'] = _mask(region, kind, size, element)
    found = [
        dataclasses.replace(mask, label=names.get(key, mask.label)) for key, mask in masks.items()
    ]
    return drawn.Picture(name, size, found, where)


def _judgement(task: dict[str, Any]) -> dict[str, Any]:
    """Gives the annotation, or else the prediction, that counts."""
    done = [
        row for row in json_values.rows(task, 'annotations') if row.get('was_cancelled') is not True
    ]
    if done:
        return max(done, key=lambda row: (str(row.get('updated_at', '')), str(row.get('id', ''))))
    predictions = json_values.rows(task, 'predictions')
    return predictions[-1] if predictions else {}


def _file_name(url: str) -> str:
    """Gives the name in a URL, or in Label Studio's `?d=` of a local file."""
    split = parse.urlsplit(url)
    path = parse.parse_qs(split.query).get('d', [split.path])[0]
    return parse.unquote(path).replace('\\', '/').rpartition('/')[2]


def _mask(region: dict[str, Any], kind: str, size: tuple[int, int], where: str) -> drawn.Mask:
    if region.get('image_rotation') not in (0, None):
        raise drawn.Refused('import_unsupported', 'expected an image that is not rotated')
    value = json_values.get(region, 'value', dict)
    if 'rle' in value:
        counts = _from_brush(value['rle'], size)
    elif 'imageDataURL' in value:
        text = json_values.get(value, 'imageDataURL', str)
        counts = shapes.from_crop(shapes.read_png(text, size), 0, 0, size)
    elif 'points' in value:
        counts = _from_points(json_values.get(value, 'points', list), size)
    else:
        raise drawn.Refused(
            'import_unsupported', f'expected a brush, a bitmask or a polygon; got {kind!r:.40}'
        )
    fields = json_values.fields(json_values.get(region, 'meta', dict, {}))
    return drawn.Mask(counts, _label(region), fields, where)


def _label(region: dict[str, Any]) -> str:
    value = json_values.get(region, 'value', dict)
    for key in ('brushlabels', 'bitmasklabels', 'polygonlabels', 'labels'):
        if names := json_values.get(value, key, list, []):
            return json_values.label(names[0])
    return ''


def _from_brush(rle: Any, size: tuple[int, int]) -> coco_rle.RowRuns:
    try:
        data = bytes(rle) if type(rle) is list else None
    except (TypeError, ValueError):
        data = None
    if data is None:
        raise drawn.Refused(
            'import_invalid', f'expected `rle` as a list of bytes; got {json_values.shorten(rle)}'
        )
    try:
        runs = brush_rle.decode(data, size[0] * size[1])
    except ValueError as error:
        raise drawn.Refused('import_size_mismatch', str(error)) from None
    return coco_rle.RowRuns(0, 0, size[1], size[0], runs)


def _from_points(points: list, size: tuple[int, int]) -> bytes:
    """Draws a polygon; Label Studio gives points in percent of the image."""
    for point in points:
        if len(json_values.numbers(point, 'points')) != 2:
            raise drawn.Refused('import_invalid', f'expected points [x, y]; got {point}')
    pixels = np.array(points, np.float64).reshape(-1, 2) * (size[1] / 100, size[0] / 100)
    return shapes.from_polygons([pixels.ravel().tolist()], size)
