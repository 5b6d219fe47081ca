"""Parquet for Hugging Face `datasets`: `data/train-000000.parquet` and so on.

    datasets.load_dataset(out, split='train')

A row is an image with its annotations. The JPEG is embedded as it came; masks are compressed COCO
RLE, which `coco_rle.decode` and pycocotools read. Columns and dtypes are those of the schema below.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator

import pyarrow as pa
from pyarrow import parquet

from segment_anything_tfds.exchange import formats, records

_ROWS = 32  # of a row group, which is held in memory
_FLOATS = pa.list_(pa.float64())
_ANNOTATION = {
    'id': pa.uint64(),
    'area': pa.int64(),
    'bbox': _FLOATS,
    'predicted_iou': pa.float64(),
    'stability_score': pa.float64(),
    'point_coords': pa.list_(_FLOATS),
    'crop_box': _FLOATS,
    'label': pa.string(),
    'size': pa.list_(pa.int32()),
    'counts': pa.string(),
}
_COLUMNS = {
    'image': pa.struct({'bytes': pa.binary(), 'path': pa.string()}),
    'image_id': pa.uint64(),
    'height': pa.int32(),
    'width': pa.int32(),
    'annotations': pa.list_(pa.struct(_ANNOTATION)),
}


class Writer(formats.Numbered):
    """Writes row groups of a few images, so that memory does not grow."""

    @contextlib.contextmanager
    def opened(self, number: int) -> Iterator[None]:
        folder = self.folder / 'data'
        folder.mkdir(exist_ok=True)
        schema = pa.schema(_COLUMNS, metadata={'huggingface': json.dumps(_describe())})
        self._rows: list[dict] = []
        path = folder / f'train-{number:06d}.parquet'
        with parquet.ParquetWriter(path, schema, compression='zstd') as self._file:
            yield
            self._flush()

    def add(self, record: records.Record) -> None:
        image = record.json['image']
        annotations = []
        for n, row in enumerate(record.rows):
            row = {**row, **row['segmentation'], 'label': record.label(n)}
            annotations.append({name: row[name] for name in _ANNOTATION})
        picture = {'bytes': record.jpeg, 'path': record.file_name}
        fields = {name: image[name] for name in ('image_id', 'height', 'width')}
        self._rows.append({'image': picture, **fields, 'annotations': annotations})
        if len(self._rows) == _ROWS:
            self._flush()

    def _flush(self) -> None:
        if self._rows:
            self._file.write_table(pa.Table.from_pylist(self._rows, schema=self._file.schema))
        self._rows = []


def _describe() -> dict:
    """Tells `datasets` that `image` holds pictures; the rest says what the schema says."""
    columns = {name: _feature(kind) for name, kind in _COLUMNS.items()}
    return {'info': {'features': {**columns, 'image': {'_type': 'Image'}}}}


def _feature(kind: pa.DataType):
    if pa.types.is_struct(kind):
        return {kind.field(n).name: _feature(kind.field(n).type) for n in range(kind.num_fields)}
    if pa.types.is_list(kind):
        return [_feature(kind.value_type)]
    names = {'double': 'float64'}
    return {'dtype': names.get(str(kind), str(kind)), '_type': 'Value'}
