"""COCO instances: `images/` and one `instances.json`.

SA-1B has no classes, so there is one category, `object`. Boxes are turned into COCO's convention,
in which a box is as wide as its pixels: one more than SA-1B's maximum minus minimum. Masks stay the
same strings. Annotations are numbered anew, since COCO's `id` must be unique in the file; SA-1B's
is kept as `sa_id`, beside its scores and prompts.
"""

from __future__ import annotations

import json
import pathlib
import shutil

from segment_anything_tfds.export import formats, records
from segment_anything_tfds.source.remote import links_file

_HEAD = {
    'info': {'description': 'SA-1B, exported as COCO instances'},
    'licenses': [{'id': 1, 'name': 'SA-1B Dataset Research License', 'url': links_file.HOMEPAGE}],
    'categories': [{'id': 1, 'name': 'object', 'supercategory': 'object'}],
}


class Writer:
    """Writes rows as they come: the two lists of the JSON grow in a file each."""

    def __init__(self, folder: pathlib.Path, options: formats.Options):
        del options
        self._folder = folder
        (folder / 'images').mkdir()
        self._images = open(folder / 'images.part', 'w', encoding='utf-8')  # noqa: SIM115
        self._annotations = open(folder / 'annotations.part', 'w', encoding='utf-8')  # noqa: SIM115
        self._count = 0

    def write(self, record: records.Record) -> None:
        image = record.json['image']
        (self._folder / 'images' / record.file_name).write_bytes(record.jpeg)
        row = {'id': image['image_id'], 'license': 1, 'file_name': record.file_name}
        row.update(height=image['height'], width=image['width'])
        _append(self._images, row)
        for annotation in record.rows:
            self._count += 1
            _append(self._annotations, _to_coco(annotation, self._count, row['id']))

    def close(self) -> None:
        parts = {'images': self._images, 'annotations': self._annotations}
        for file in parts.values():
            file.close()
        with open(self._folder / 'instances.json', 'w', encoding='utf-8') as out:
            out.write(json.dumps(_HEAD)[:-1])
            for name, part in parts.items():
                out.write(f',\n"{name}": [\n')
                with open(part.name, encoding='utf-8') as rows:
                    shutil.copyfileobj(rows, out)
                out.write('\n]')
                pathlib.Path(part.name).unlink()
            out.write('}\n')


def _append(file, row: dict) -> None:
    if file.tell():
        file.write(',\n')
    file.write(json.dumps(row))


def _to_coco(annotation: dict, number: int, image_id: int) -> dict:
    x, y, width, height = annotation['bbox']
    more = 1 if annotation['area'] else 0
    return {
        'id': number,
        'image_id': image_id,
        'category_id': 1,
        'iscrowd': 0,
        'area': annotation['area'],
        'bbox': [x, y, width + more, height + more],
        'segmentation': annotation['segmentation'],
        'sa_id': annotation['id'],
        **{
            key: annotation[key]
            for key in ('predicted_iou', 'stability_score', 'point_coords', 'crop_box')
        },
    }
