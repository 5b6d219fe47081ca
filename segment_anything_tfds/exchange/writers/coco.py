"""COCO instances: `images/` and one `instances.json`.

Categories are the labels that masks have been given; SA-1B has none, so there is one, `object`.
Boxes are turned into COCO's convention, in which a box is as wide as its pixels: one more than
SA-1B's maximum minus minimum. Masks stay the same strings. Annotations are numbered anew, since
COCO's `id` must be unique in the file; SA-1B's is kept as `sa_id`, beside its scores and prompts.
A column `iscrowd` of a table of labels, as imports of COCO leave it, marks crowds again.
"""

from __future__ import annotations

import json
import pathlib
import shutil

from segment_anything_tfds.exchange import carried, formats, records
from segment_anything_tfds.source.remote import links_file

_HEAD = {
    'info': {'description': 'SA-1B, exported as COCO instances'},
    'licenses': [{'id': 1, 'name': 'SA-1B Dataset Research License', 'url': links_file.HOMEPAGE}],
}


class Writer:
    """Writes rows as they come: the two lists of the JSON grow in a file each."""

    images, instances = 'images', 'instances.json'

    def __init__(self, folder: pathlib.Path, options: formats.Options):
        del options
        self._folder = folder
        (folder / self.images).mkdir()
        self._images = open(folder / 'images.part', 'w', encoding='utf-8')  # noqa: SIM115
        self._annotations = open(folder / 'annotations.part', 'w', encoding='utf-8')  # noqa: SIM115
        self._count = 0
        self._categories: dict[str, int] = {}

    def write(self, record: records.Record) -> None:
        image = record.json['image']
        (self._folder / self.images / record.file_name).write_bytes(record.jpeg)
        row = {'id': image['image_id'], 'license': 1, 'file_name': record.file_name}
        row.update(height=image['height'], width=image['width'])
        _append(self._images, row)
        for n, annotation in enumerate(record.rows):
            self._count += 1
            category = self._categories.setdefault(record.label(n), len(self._categories) + 1)
            fields = {'id': self._count, 'image_id': row['id'], 'category_id': category}
            fields['iscrowd'] = int('iscrowd' in record.labels and record.labels['iscrowd'][n] == 1)
            _append(self._annotations, self.to_coco(annotation, **fields))

    def to_coco(self, annotation: dict, **fields) -> dict:
        """Gives an annotation in COCO's terms; `fields` are those that the file decides."""
        x, y, width, height = annotation['bbox']
        more = 1 if annotation['area'] else 0
        return {
            **fields,
            'area': annotation['area'],
            'bbox': [x, y, width + more, height + more],
            'segmentation': annotation['segmentation'],
            **carried.pack(annotation),
        }

    def close(self) -> None:
        parts = {'images': self._images, 'annotations': self._annotations}
        for file in parts.values():
            file.close()
        categories = self._categories or {records.UNNAMED: 1}
        rows = [
            {'id': number, 'name': name, 'supercategory': 'object'}
            for name, number in categories.items()
        ]
        with open(self._folder / self.instances, 'w', encoding='utf-8') as out:
            out.write(json.dumps({**_HEAD, 'categories': rows})[:-1])
            for name, part in parts.items():
                out.write(f',\n"{name}": [\n')
                with open(part.name, encoding='utf-8') as lines:
                    shutil.copyfileobj(lines, out)
                out.write('\n]')
                pathlib.Path(part.name).unlink()
            out.write('}\n')


def _append(file, row: dict) -> None:
    if file.tell():
        file.write(',\n')
    file.write(json.dumps(row))
