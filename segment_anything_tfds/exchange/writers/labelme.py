"""LabelMe: `sa_<id>.jpg` and, beside it, `sa_<id>.json` with mask shapes.

A mask shape is a PNG of the crop from its first to its last pixel, both included (LabelMe 5.3 and
later). What is carried along stands in `description`, which LabelMe shows and keeps.
"""

from __future__ import annotations

import base64
import io
import json
import pathlib

import numpy as np
from PIL import Image

from segment_anything_tfds.exchange import carried, formats, records
from segment_anything_tfds.source.record import coco_rle

_VERSION = '5.4.0'  # of LabelMe, whose files these are


class Writer:
    """Writes two files for each record."""

    def __init__(self, folder: pathlib.Path, options: formats.Options):
        del options
        self._folder = folder

    def write(self, record: records.Record) -> None:
        image = record.json['image']
        size = (image['height'], image['width'])
        crops = coco_rle.to_row_runs([row['segmentation']['counts'] for row in record.rows], size)
        content = {
            'version': _VERSION,
            'flags': {},
            'shapes': [
                _shape(record.label(n), row, crop)
                for n, (row, crop) in enumerate(zip(record.rows, crops, strict=True))
            ],
            'imagePath': record.file_name,
            'imageData': None,
            'imageHeight': image['height'],
            'imageWidth': image['width'],
        }
        (self._folder / record.file_name).write_bytes(record.jpeg)
        path = self._folder / f'{record.stem}.json'
        path.write_text(json.dumps(content), encoding='utf-8')

    def close(self) -> None:
        """Does nothing: there is nothing left to do."""


def _shape(label: str, row: dict, crop: coco_rle.RowRuns) -> dict:
    pixels = np.repeat(np.arange(len(crop.runs)) % 2 == 1, crop.runs)
    # A shape has at least one pixel: that of an empty mask is not set.
    pixels = pixels.reshape(crop.height, crop.width) if len(pixels) else np.zeros((1, 1), bool)
    right, bottom = crop.left + pixels.shape[1] - 1, crop.top + pixels.shape[0] - 1
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, 'PNG')
    return {
        'label': label,
        'points': [[crop.left, crop.top], [right, bottom]],
        'group_id': None,
        'description': json.dumps(carried.pack(row)),
        'shape_type': 'mask',
        'flags': {},
        'mask': base64.b64encode(buffer.getvalue()).decode(),
    }
