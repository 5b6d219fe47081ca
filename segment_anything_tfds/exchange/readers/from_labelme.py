"""LabelMe: mask shapes and polygons, a JSON file an image."""

from __future__ import annotations

import base64
import binascii
import itertools
import pathlib
from collections.abc import Iterator

from segment_anything_tfds.exchange.readers import drawn, json_values, shapes

TURNED = True  # LabelMe shows images as their EXIF data rotate them
_SUFFIX = '.json'


def find(path: pathlib.Path) -> list[pathlib.Path]:
    """Gives the JSON files: `path` itself, or those in this folder."""
    return sorted(path.glob(f'*{_SUFFIX}')) if path.is_dir() else [path]


def read(path: pathlib.Path, on_fault: drawn.OnFault) -> Iterator[drawn.Picture]:
    """Reads the image of one file.

    Args:
      path: a JSON file.
      on_fault: called with each fault; what has it is left out.
    """
    report = drawn.Report(path.name, on_fault)
    with report.element('the file'):
        content = json_values.parse(path.read_bytes())
        if type(content) is not dict:
            raise drawn.Refused('import_invalid', 'expected an object; got something else')
        size = json_values.size(content, 'imageHeight', 'imageWidth')
        masks = []
        for n, shape in enumerate(json_values.rows(content, 'shapes')):
            where = f'shapes[{n}]'
            with report.element(where):
                masks.append(_mask(shape, size, where))
        name = json_values.get(content, 'imagePath', str)
        yield drawn.Picture(name, size, masks, 'imagePath', content=_content(content))


def _content(content: dict) -> bytes | None:
    text = json_values.get(content, 'imageData', str, None)
    try:
        return None if text is None else base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise drawn.Refused('import_invalid', f'expected `imageData` in base64; {error}') from None


def _mask(shape: dict, size: tuple[int, int], where: str) -> drawn.Mask:
    kind = json_values.get(shape, 'shape_type', str, 'polygon')
    points = json_values.get(shape, 'points', list)
    for point in points:
        if len(json_values.numbers(point, 'points')) != 2:
            raise drawn.Refused('import_invalid', f'expected points [x, y]; got {point}')
    if kind == 'mask':
        counts = _from_png(shape, points, size)
    elif kind == 'polygon':
        counts = shapes.from_polygons([[*itertools.chain(*points)]], size)
    else:
        raise drawn.Refused(
            'import_unsupported', f'expected a mask or a polygon; got a {kind!r:.40}'
        )
    fields = _carried(json_values.get(shape, 'description', str, ''))
    return drawn.Mask(counts, json_values.label(shape.get('label')), fields, where)


def _from_png(shape: dict, points: list, size: tuple[int, int]) -> bytes:
    if len(points) != 2:
        raise drawn.Refused('import_invalid', f'expected 2 points of a mask; got {len(points)}')
    (left, top), (right, bottom) = [[round(value) for value in point] for point in points]
    if not (0 <= left <= right < size[1] and 0 <= top <= bottom < size[0]):
        raise drawn.Refused(
            'import_size_mismatch',
            f'expected a mask inside the image of {size[1]} x {size[0]}; got {points}',
        )
    picture = shapes.read_png(
        json_values.get(shape, 'mask', str), (bottom - top + 1, right - left + 1)
    )
    return shapes.from_crop(picture, left, top, size)


def _carried(description: str) -> dict:
    """Gives the fields in a description; a description of a person's own has none."""
    if not description.startswith('{'):
        return {}
    try:
        content = json_values.parse(description)
    except drawn.Refused:
        return {}
    return json_values.fields(content)
