"""COCO instances and LVIS: polygons, RLE, crowds; also what our own export and FiftyOne write.

Annotations may stand in any order, so the file is read twice: first where the annotations of each
image stand, then image by image. Memory holds these places and one image.
"""

from __future__ import annotations

import array
import collections
import pathlib
from collections.abc import Iterator
from typing import Any, BinaryIO
from urllib import parse

import numpy as np

from segment_anything_tfds.exchange import carried
from segment_anything_tfds.exchange.readers import drawn, json_objects, json_values, shapes

TURNED = False  # COCO's own tools leave images as they are stored: the size decides
_NAMES = ('instances.json', 'labels.json', '_annotations.coco.json', 'annotations.json')
_LISTS = ('images', 'annotations', 'categories', 'licenses')


def find(path: pathlib.Path) -> list[pathlib.Path]:
    """Gives the JSON file: `path` itself, or the one in this folder."""
    if not path.is_dir():
        return [path]
    found = [path / name for name in _NAMES if (path / name).exists()][:1]
    found = found or sorted(path.glob('*.json')) or sorted(path.glob('annotations/*.json'))
    if len(found) > 1:
        raise ValueError(
            f'`from_coco.find`: expected one JSON file in {path}; got {len(found)}, such as '
            f'{found[0].name} and {found[1].name}. Name one of them.'
        )
    return found


def read(path: pathlib.Path, on_fault: drawn.OnFault) -> Iterator[drawn.Picture]:
    """Reads images one after another, in the order of the file.

    Args:
      path: a JSON file of COCO instances.
      on_fault: called with each fault; what has it is left out.

    Raises:
      DataError: the file is no JSON of this kind.
    """
    report = drawn.Report(path.name, on_fault)
    try:
        places = _Places(path, report)
    except drawn.Refused as error:
        raise report.broken(str(error)) from None
    with open(path, 'rb') as file:
        for start, length in places.images():
            image = json_values.parse(_read(file, start, length))
            where = f'image {image["id"]}'
            with report.element(where):
                yield _picture(file, image, places, where, report)


def _read(file: BinaryIO, start: int, length: int) -> bytes:
    file.seek(start)
    return file.read(length)


class _Places:
    """Where images and annotations stand in the file, and its short lists."""

    def __init__(self, path: pathlib.Path, report: drawn.Report):
        self._columns = collections.defaultdict(lambda: array.array('q'))
        self.categories: dict[Any, str] = {}
        self.licenses: dict[Any, dict] = {}
        self.carries_ids = False
        for n, found in enumerate(json_objects.scan(path, _LISTS)):
            with report.element(f'{found.key}, object {n}' if found.key else f'object {n}'):
                self._add(found)
        if 'images' not in self._columns:
            raise drawn.Refused('import_invalid', 'expected `images` with at least one; got none')
        self._report = report
        tables = {
            name: np.frombuffer(column, np.int64).reshape(-1, 4)
            for name, column in self._columns.items()
        }
        self._images = tables['images']
        self._check_ids('image', self._images[:, 0])
        self.twice = self._check_ids(
            'annotation', tables['annotations'][:, 1] if 'annotations' in tables else np.zeros(0)
        )
        found = tables.get('annotations', np.zeros((0, 4), np.int64))
        self._check_images(found)
        self._annotations = found[np.argsort(found[:, 0], kind='stable')]

    def _add(self, found: json_objects.Found) -> None:
        row = json_values.parse(found.text)
        number = json_values.get(row, 'id', int)
        if not 0 <= number < 2**63:
            raise drawn.Refused('import_invalid', f'expected `id` from 0 to 2^63 - 1; got {number}')
        place = (found.start, len(found.text))
        if found.key == 'images':
            self._columns['images'].extend((number, number, *place))
        elif found.key == 'annotations':
            image = json_values.get(row, 'image_id', int)
            if not 0 <= image < 2**63:
                raise drawn.Refused('import_invalid', f'expected an `image_id`; got {image}')
            self._columns['annotations'].extend((image, number, *place))
            self.carries_ids = self.carries_ids or 'sa_id' in _carried(row)
        elif found.key == 'categories':
            self.categories[number] = json_values.label(row.get('name'))
        elif found.key == 'licenses':
            self.licenses[number] = row

    def _check_ids(self, what: str, ids: np.ndarray) -> set[int]:
        values, counts = np.unique(ids, return_counts=True)
        twice = set(values[counts > 1].tolist())
        for number in sorted(twice):
            self._report.refuse(
                'import_duplicate',
                f'expected the id {number} once; got it again',
                f'{what} {number}',
            )
        return twice

    def _check_images(self, annotations: np.ndarray) -> None:
        lost = ~np.isin(annotations[:, 0], self._images[:, 0])
        for image, number in annotations[lost, :2].tolist():
            detail = f'expected `image_id` of an image of the file; got {image}'
            self._report.refuse('import_invalid', detail, f'annotation {number}')

    def images(self) -> Iterator[tuple[int, int]]:
        """Gives the place of each image, of those with the same id the first."""
        _, first = np.unique(self._images[:, 0], return_index=True)
        yield from self._images[np.sort(first), 2:].tolist()

    def annotations(self, image: int) -> list[tuple[int, int]]:
        """Gives the places of an image's annotations, in the order of the file."""
        low, high = np.searchsorted(self._annotations[:, 0], [image, image + 1])
        return self._annotations[low:high, 2:].tolist()


def _picture(
    file: BinaryIO, image: dict[str, Any], places: _Places, where: str, report: drawn.Report
) -> drawn.Picture:
    size = json_values.size(image, 'height', 'width')
    masks, seen = [], set()
    for start, length in places.annotations(image['id']):
        row = json_values.parse(_read(file, start, length))
        element = f'annotation {row["id"]}'
        with report.element(element):
            if row['id'] not in seen:
                masks.append(_mask(row, size, places, element))
            seen.add(row['id'])
    url = json_values.get(image, 'coco_url', str, '') or json_values.get(
        image, 'flickr_url', str, ''
    )
    name = json_values.get(image, 'file_name', str, '') or _name(url)
    terms = places.licenses.get(json_values.get(image, 'license', int, None), {})
    return drawn.Picture(
        name,
        size,
        masks,
        where,
        image['id'],
        license=str(terms.get('name', '')),
        license_url=str(terms.get('url', '')),
        source=url,
    )


def _name(url: str) -> str:
    """Gives file and folder at the end of a URL, as LVIS names images."""
    return '/'.join(parse.unquote(parse.urlsplit(url).path).split('/')[-2:])


def _carried(row: dict[str, Any]) -> dict[str, Any]:
    """Gives the fields that a tool has kept: beside the others, or as text in `attributes`."""
    inner = row.get('attributes')
    fields = {}
    for name, value in (inner if type(inner) is dict else {}).items():
        is_text = type(value) is str and name in carried.FIELDS and name != 'sa_mask'
        fields[name] = json_values.parse(value) if is_text and value else value
    return {**fields, **row}


def _mask(row: dict[str, Any], size: tuple[int, int], places: _Places, where: str) -> drawn.Mask:
    segmentation = row.get('segmentation')
    if type(segmentation) is list:
        counts = shapes.from_polygons(segmentation, size)
    elif type(segmentation) is dict:
        counts = shapes.from_rle(segmentation, size)
    else:
        raise drawn.Refused(
            'import_invalid',
            f'expected `segmentation`, polygons or RLE; got {json_values.shorten(segmentation)}',
        )
    return drawn.Mask(
        counts,
        places.categories.get(json_values.get(row, 'category_id', int, None), ''),
        json_values.fields(_carried(row)),
        where,
        None if places.carries_ids else row['id'],
        row.get('iscrowd') in (1, True),
    )
