"""YOLO segmentation: `images/train/`, `labels/train/` and `data.yaml`. This loses information.

A row is a class and one polygon, relative to the image. Holes are filled, parts are joined by thin
bridges, masks without pixels are left out, ids and scores are gone. Points are the centres of the
outline's pixels, so that a mask of one part without holes is drawn again as it was.
"""

from __future__ import annotations

import json
import pathlib

import cv2
import numpy as np

from segment_anything_tfds.exchange import formats, records
from segment_anything_tfds.source.record import coco_rle

_LOST = 'holes are filled, parts are joined, masks without pixels, ids and scores are left out'


class Writer:
    """Writes two files for each record, and the names of the classes at the end."""

    def __init__(self, folder: pathlib.Path, options: formats.Options):
        del options
        self._folder = folder
        self._images, self._labels = folder / 'images' / 'train', folder / 'labels' / 'train'
        self._images.mkdir(parents=True)
        self._labels.mkdir(parents=True)
        self._classes: dict[str, int] = {}

    def write(self, record: records.Record) -> None:
        image = record.json['image']
        size = (image['height'], image['width'])
        crops = coco_rle.to_row_runs([row['segmentation']['counts'] for row in record.rows], size)
        lines = []
        for n, crop in enumerate(crops):
            number = self._classes.setdefault(record.label(n), len(self._classes))
            if crop.width:
                points = (outline(crop) + 0.5) / size[::-1]
                row = (number, *points.ravel().tolist())
                lines.append(('%d' + ' %.7g' * points.size) % row)  # one call for all numbers
        (self._images / f'{record.stem}.jpg').write_bytes(record.jpeg)
        text = '\n'.join([*lines, ''] if lines else [])
        (self._labels / f'{record.stem}.txt').write_text(text, encoding='ascii')

    def close(self) -> None:
        names = self._classes or {records.UNNAMED: 0}
        lines = [
            f'# Polygons of masks: {_LOST}.',
            'path: .',
            'train: images/train',
            'val: images/train',
            'names:',
            *(f'  {number}: {json.dumps(name)}' for name, number in names.items()),
        ]
        (self._folder / 'data.yaml').write_text('\n'.join([*lines, '']), encoding='utf-8')


def outline(crop: coco_rle.RowRuns) -> np.ndarray:
    """Gives the outline of a mask as one polygon.

    Args:
      crop: a mask that is not empty.

    Returns:
      float64 [P, 2], at least three points x, y: centres of pixels. The outlines of several parts
      are joined at the points that are nearest to each other.
    """
    pixels = np.repeat(np.arange(len(crop.runs)) % 2, crop.runs).astype(np.uint8)
    pixels = pixels.reshape(crop.height, crop.width)
    parts, _ = cv2.findContours(pixels, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    parts = sorted((part[:, 0].astype(np.float64) for part in parts), key=len, reverse=True)
    joined = parts[0]
    for part in parts[1:]:
        joined = _join(joined, part)
    joined = np.tile(joined, (3, 1))[:3] if len(joined) < 3 else joined
    return joined + [crop.left, crop.top]


def _join(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Walks the first outline, crosses to the second at the nearest points, and comes back.

    first a b c d, second e f g, nearest are b and f:   a b f g e f b c d
    """
    distances = ((first[:, None] - second[None]) ** 2).sum(axis=2)
    here, there = np.unravel_index(np.argmin(distances), distances.shape)
    around = np.roll(second, -there, axis=0)
    return np.concatenate([first[: here + 1], around, around[:1], first[here:]])
