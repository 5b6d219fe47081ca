"""Label Studio: `tasks.json` with predictions, `images/`, and `labeling_config.xml`.

Masks are brush strokes (`BrushLabels`) in Label Studio's own run-length format. What is carried
along stands in the region's `meta`, which Label Studio keeps through corrections and exports. Tasks
name their images as `Options.image_url` says: by default for Label Studio's local storage, with the
export's folder as `LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT`.
"""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Iterator
from urllib import parse
from xml.sax import saxutils

import orjson

from segment_anything_tfds.exchange import carried, formats, records
from segment_anything_tfds.source.record import brush_rle, coco_rle


class Writer(formats.Numbered):
    """Writes `tasks.json`, then `tasks-000001.json` and so on."""

    def __init__(self, folder: pathlib.Path, options: formats.Options):
        super().__init__(folder, options)
        self._image_url = options.image_url
        self._labels: dict[str, None] = {}
        (folder / 'images').mkdir()

    @contextlib.contextmanager
    def opened(self, number: int) -> Iterator[None]:
        name = 'tasks.json' if number == 0 else f'tasks-{number:06d}.json'
        with open(self.folder / name, 'wb') as self._file:
            self._file.write(b'[\n')
            yield
            self._file.write(b'\n]\n')

    def add(self, record: records.Record) -> None:
        (self.folder / 'images' / record.file_name).write_bytes(record.jpeg)
        if self._file.tell() > 2:
            self._file.write(b',\n')
        self._file.write(orjson.dumps(self._task(record)))

    def close(self) -> None:
        super().close()
        path = self.folder / 'labeling_config.xml'
        path.write_text(_config([*self._labels] or [records.UNNAMED]), encoding='utf-8')

    def _task(self, record: records.Record) -> dict:
        image = record.json['image']
        size = (image['height'], image['width'])
        counts = [row['segmentation']['counts'] for row in record.rows]
        runs = [crop.runs for crop in coco_rle.to_row_runs(counts, size, crop=False)]
        regions = []
        for n, (row, data) in enumerate(zip(record.rows, brush_rle.encode(runs), strict=True)):
            label = record.label(n)
            self._labels[label] = None
            regions.append(_region(row, label, data, size))
        return {
            'data': {
                'image': self._image_url + parse.quote(record.file_name),
                'sa_file_name': record.file_name,
            },
            'predictions': [{'model_version': 'SA-1B', 'result': regions}],
        }


def _region(row: dict, label: str, data: bytes, size: tuple[int, int]) -> dict:
    score = {'score': row['predicted_iou']} if carried.is_scored(row) else {}
    return {
        'id': str(row['id']),
        'type': 'brushlabels',
        'from_name': 'mask',
        'to_name': 'image',
        'original_width': size[1],
        'original_height': size[0],
        'image_rotation': 0,
        'origin': 'prediction',
        **score,
        'value': {'format': 'rle', 'rle': list(data), 'brushlabels': [label]},
        'meta': carried.pack(row),
    }


def _config(labels: list[str]) -> str:
    values = ''.join(f'    <Label value={saxutils.quoteattr(label)}/>\n' for label in labels)
    return (
        '<View>\n  <Image name="image" value="$image" zoom="true"/>\n'
        f'  <BrushLabels name="mask" toName="image">\n{values}  </BrushLabels>\n</View>\n'
    )
