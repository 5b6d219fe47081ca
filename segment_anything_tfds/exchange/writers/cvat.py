"""CVAT for images 1.1: `annotations.xml`, `images/`, and `labels.json`.

A mask stays a mask: row-major runs of its crop, uncompressed, as CVAT writes them itself. Smaller
masks lie on top (`z_order`), so that each can be clicked. CVAT keeps the attributes that its labels
declare and drops others: paste `labels.json` into the raw label editor of the project first.
"""

from __future__ import annotations

import json
import pathlib
import re
import shutil
from xml.sax import saxutils

import numpy as np

from segment_anything_tfds.exchange import carried, formats, records
from segment_anything_tfds.source.record import coco_rle

_HEAD = '<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n  <version>1.1</version>\n'
_NOT_XML = re.compile('[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]')


class Writer:
    """Writes images as they come into a file, and puts the labels before them at the end."""

    def __init__(self, folder: pathlib.Path, options: formats.Options):
        del options
        self._folder = folder
        self._images = folder / 'images'
        self._images.mkdir()
        self._body = open(folder / 'images.part', 'w', encoding='utf-8')  # noqa: SIM115
        self._count = 0
        self._labels: dict[str, None] = {}

    def write(self, record: records.Record) -> None:
        (self._images / record.file_name).write_bytes(record.jpeg)
        image = record.json['image']
        name = saxutils.quoteattr(record.file_name)
        self._body.write(
            f'  <image id="{self._count}" name={name} '
            f'width="{image["width"]}" height="{image["height"]}">\n'
        )
        self._count += 1
        size = (image['height'], image['width'])
        crops = coco_rle.to_row_runs([row['segmentation']['counts'] for row in record.rows], size)
        areas = np.array([-row['area'] for row in record.rows], np.int64)
        heights = np.argsort(np.argsort(areas, kind='stable')).tolist()
        for n, (row, crop) in enumerate(zip(record.rows, crops, strict=True)):
            label = _checked(record.label(n))
            self._labels[label] = None
            self._body.write(_mask(label, crop, heights[n], carried.pack(row)))
        self._body.write('  </image>\n')

    def close(self) -> None:
        self._body.close()
        labels = [*self._labels] or [records.UNNAMED]
        with open(self._folder / 'annotations.xml', 'w', encoding='utf-8') as out:
            out.write(_HEAD + _meta(labels, self._count))
            with open(self._body.name, encoding='utf-8') as body:
                shutil.copyfileobj(body, out)
            out.write('</annotations>\n')
        pathlib.Path(self._body.name).unlink()
        path = self._folder / 'labels.json'
        path.write_text(json.dumps([_label(name) for name in labels], indent=1), encoding='utf-8')


def _checked(label: str) -> str:
    if bad := _NOT_XML.search(label):
        raise ValueError(
            f'`cvat.Writer`: expected labels of characters that XML can hold; got {bad[0]!r} in '
            f'{label!r}. Rename the label.'
        )
    return label


def _mask(label: str, crop: coco_rle.RowRuns, height: int, fields: dict) -> str:
    left, top, width, tall, runs = crop
    if width == 0:  # CVAT has no mask without pixels: a crop of one, which is not set
        width, tall, runs = 1, 1, np.ones(1, np.int64)
    attributes = ''.join(
        f'      <attribute name="{name}">{_text(value)}</attribute>\n'
        for name, value in fields.items()
    )
    return (
        f'    <mask label={saxutils.quoteattr(label)} source="auto" occluded="0" '
        f'rle="{", ".join(map(str, runs.tolist()))}" left="{left}" top="{top}" '
        f'width="{width}" height="{tall}" z_order="{height}">\n{attributes}    </mask>\n'
    )


def _text(value) -> str:
    return saxutils.escape(value if isinstance(value, str) else json.dumps(value))


def _meta(labels: list[str], count: int) -> str:
    attributes = ''.join(
        '            <attribute>\n'
        f'              <name>{name}</name>\n              <mutable>False</mutable>\n'
        '              <input_type>text</input_type>\n'
        '              <default_value></default_value>\n              <values></values>\n'
        '            </attribute>\n'
        for name in carried.FIELDS
    )
    described = ''.join(
        f'        <label>\n          <name>{saxutils.escape(label)}</name>\n'
        f'          <type>mask</type>\n          <attributes>\n{attributes}'
        '          </attributes>\n        </label>\n'
        for label in labels
    )
    return (
        f'  <meta>\n    <task>\n      <name>SA-1B</name>\n      <size>{count}</size>\n'
        f'      <mode>annotation</mode>\n      <labels>\n{described}      </labels>\n'
        '    </task>\n  </meta>\n'
    )


def _label(name: str) -> dict:
    """Gives a label as CVAT's raw label editor takes it."""
    attributes = [
        {
            'name': field,
            'mutable': False,
            'input_type': 'text',
            'default_value': '',
            'values': [''],
        }
        for field in carried.FIELDS
    ]
    return {'name': name, 'type': 'mask', 'attributes': attributes}
