"""CVAT for images 1.1: masks and polygons of `annotations.xml`."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator
from xml.etree import ElementTree

import defusedxml
import defusedxml.ElementTree
import numpy as np

from segment_anything_tfds.exchange import carried
from segment_anything_tfds.exchange.readers import drawn, json_values, shapes
from segment_anything_tfds.source.record import coco_rle

TURNED = True  # CVAT shows images as their EXIF data rotate them
_SHAPES = ('mask', 'polygon')
_OTHERS = ('box', 'ellipse', 'polyline', 'points', 'cuboid', 'skeleton')
_TEXTS = ('sa_mask',)


def find(path: pathlib.Path) -> list[pathlib.Path]:
    """Gives the XML files of an export: `path` itself, or those in this folder."""
    return sorted(path.glob('*.xml')) if path.is_dir() else [path]


def read(path: pathlib.Path, on_fault: drawn.OnFault) -> Iterator[drawn.Picture]:
    """Reads images one after another; memory holds one.

    Args:
      path: an XML file.
      on_fault: called with each fault; what has it is left out.

    Raises:
      DataError: the file is no XML of this kind, or declares entities or a document type.
    """
    report = drawn.Report(path.name, on_fault)
    try:
        events = defusedxml.ElementTree.iterparse(path, ('start', 'end'), forbid_dtd=True)
        yield from _read(events, report)
    except ElementTree.ParseError as error:
        raise report.broken(f'expected XML; got {error}') from None
    except defusedxml.DefusedXmlException as error:
        detail = f'expected XML without a document type or entities; got {type(error).__name__}'
        raise report.broken(detail) from None


def _read(events, report: drawn.Report) -> Iterator[drawn.Picture]:
    root = image = None
    masks: list[drawn.Mask] = []
    for event, element in events:
        if event == 'start':
            if root is None:
                root = element
                if root.tag != 'annotations':
                    raise report.broken(f'expected <annotations>; got <{root.tag:.40}>')
            elif element.tag == 'image':
                image, masks, count = element, [], 0
            elif element.tag == 'track':
                raise report.broken('expected CVAT for images 1.1; got <track>, of CVAT for video')
        elif image is not None and element.tag in (*_SHAPES, *_OTHERS):
            count += 1
            where = f'image {image.get("name", "")} / {element.tag} {count}'
            with report.element(where):
                masks.append(_mask(element, image, where))
            element.clear()
        elif element.tag == 'image':
            where = f'image {image.get("name", "")}'
            with report.element(where):
                yield drawn.Picture(_text(image, 'name'), _size(image), masks, where)
            image = None
            root.clear()


def _size(image) -> tuple[int, int]:
    sides = {name: _whole(image, name) for name in ('height', 'width')}
    return json_values.size(sides, 'height', 'width')


def _mask(element, image, where: str) -> drawn.Mask:
    size = _size(image)
    if element.tag in _OTHERS:
        raise drawn.Refused(
            'import_unsupported', f'expected a mask or a polygon; got a {element.tag}'
        )
    counts = _from_runs(element) if element.tag == 'mask' else _from_points(element, size)
    fields = {
        child.get('name'): _value(child) for child in element if child.get('name') in carried.FIELDS
    }
    label = json_values.label(element.get('label'))
    return drawn.Mask(counts, label, json_values.fields(fields), where)


def _from_runs(element) -> coco_rle.RowRuns:
    left, top, width, height = (_whole(element, key) for key in ('left', 'top', 'width', 'height'))
    try:
        runs = np.array([int(run) for run in _text(element, 'rle').split(',')], np.int64)
        return coco_rle.RowRuns(left, top, width, height, runs)
    except (ValueError, OverflowError) as error:
        raise drawn.Refused('import_size_mismatch', f'`rle`: {error}') from None


def _from_points(element, size: tuple[int, int]) -> bytes:
    pairs = [pair.split(',') for pair in _text(element, 'points').split(';')]
    return shapes.from_polygons([[float(value) for pair in pairs for value in pair]], size)


def _value(child):
    """Gives an attribute as JSON; attributes of text have no quotes."""
    text = child.text or ''
    return text if child.get('name') in _TEXTS or not text else json_values.parse(text)


def _text(element, key: str) -> str:
    value = element.get(key)
    if value is None:
        raise drawn.Refused(
            'import_invalid', f'expected <{element.tag}> with {key}="..."; got none'
        )
    return value


def _whole(element, key: str) -> int:
    text = _text(element, key)
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise drawn.Refused(
            'import_invalid', f'expected {key} to be a whole number; got {text!r:.40}'
        )
    return int(text)
