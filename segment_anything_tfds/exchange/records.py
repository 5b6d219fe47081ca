"""Records of SA-1B, read from archives, extracted archives or shards alike."""

from __future__ import annotations

import dataclasses
import functools
import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from segment_anything_tfds.source import faults, label_table
from segment_anything_tfds.source.access import archive_map
from segment_anything_tfds.source.archive import inputs, pair_stream
from segment_anything_tfds.source.record import annotations, coco_rle, examples

UNNAMED = 'object'
"""What formats with labels call a mask that has none, as all of SA-1B."""
OnFault = Callable[[faults.Fault], None]
_COLUMNS = {
    'area': (np.uint64, ()),
    'bbox': (np.float32, (4,)),
    'crop_box': (np.float32, (4,)),
    'id': (np.uint64, ()),
    'point_coords': (np.float64, (1, 2)),
    'predicted_iou': (np.float64, ()),
    'stability_score': (np.float64, ()),
    'size': (np.uint64, (2,)),
}


@dataclasses.dataclass(frozen=True)
class Record:
    """One image with its annotations.

    Attributes:
      jpeg: the image file, as it came.
      example: the checked columns.
      json: the record, as SA-1B's JSON holds it; from an archive as it came, without annotations
        that have faults, from a shard rebuilt.
      labels: what tables say of the masks, columns by name, each in the order of `rows`; `label`
        is what a mask is called, `''` where it has no name. Empty where there is no table.
    """

    jpeg: bytes = dataclasses.field(repr=False)
    example: annotations.Example = dataclasses.field(repr=False)
    json: dict[str, Any] = dataclasses.field(repr=False)
    labels: Mapping[str, Sequence[Any]] = dataclasses.field(default_factory=dict, repr=False)

    @property
    def file_name(self) -> str:
        """Name of the image, without any folder that a dataset might put before it."""
        return re.split(r'[/\\]', self.json['image']['file_name'])[-1]

    @property
    def stem(self) -> str:
        """`'sa_<image id>'`."""
        return self.file_name.rpartition('.')[0]

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The annotations."""
        return self.json['annotations']

    def label(self, index: int) -> str:
        """Gives what the mask is called; `'object'` where nobody has given it a label."""
        return (self.labels['label'][index] if 'label' in self.labels else '') or UNNAMED

    def only(self, keep: Sequence[bool]) -> Record:
        """Gives the record with those annotations only for which `keep` [N] is true."""
        kept = np.flatnonzero(np.asarray(keep, bool))
        columns = {
            name: column[kept] if isinstance(column, np.ndarray) else [column[n] for n in kept]
            for name, column in self.example.annotations.items()
        }
        return Record(
            self.jpeg,
            annotations.Example(self.example.image, columns),
            {**self.json, 'annotations': [self.rows[n] for n in kept]},
            {name: [column[n] for n in kept] for name, column in self.labels.items()},
        )


def raise_fault(fault: faults.Fault) -> None:
    """Raises the first fault; the `on_fault` that stops there."""
    raise faults.DataError([fault])


def read(
    unit: inputs.Input,
    *,
    on_fault: OnFault = raise_fault,
    on_bytes=None,
    only: Collection[str] | None = None,
) -> Iterator[Record]:
    """Reads the records of an archive or a shard.

    Args:
      unit: what `inputs.find` gave.
      on_fault: called with each fault; what has it is left out. By default the first one raises.
      on_bytes: called with the number of bytes read since, where `unit` is an archive.
      only: images that are wanted, such as `'sa_1'`. Others may be given too: they are passed over
        where an index of the archive says where each image lies, else all are read.

    Yields:
      Records, in the order in which they lie there.

    Raises:
      DataError: an archive is truncated or damaged; or, by default, a record has a fault.
    """
    if isinstance(unit, inputs.Shard):
        yield from _read_shard(unit)
        return
    if only is not None and (index := archive_map.quick_index(unit)) is not None:
        numbers = [int(stem[3:]) for stem in only if stem[3:].isdecimal()]
        positions = np.flatnonzero(np.isin(index.ids, numbers)).tolist()
        yield from _read_pairs(map(index.pair, positions), unit, on_fault)
        return
    with pair_stream.open_archive(unit, on_fault=on_fault, on_bytes=on_bytes) as pairs:
        yield from _read_pairs(pairs, unit, on_fault)


def _read_pairs(
    pairs: Iterable[pair_stream.Pair], unit: inputs.Input, on_fault: OnFault
) -> Iterator[Record]:
    for pair, example in examples.check_pairs(pairs, archive=unit.name, on_fault=on_fault):
        content = annotations.load_json(pair.record)
        raw = content['annotations']
        content['annotations'] = [raw[position] for position in example.positions]
        yield Record(pair.image, example, content)


def _read_shard(shard: inputs.Shard) -> Iterator[Record]:
    import tensorflow_datasets as tfds

    builder = _builder(shard.folder)
    options = {
        'split': f'{shard.split}[{shard.index}shard]',
        'decoders': {'image': {'content': tfds.decode.SkipDecoding()}},
    }
    if builder.info.file_format.value == 'array_record':  # which `as_dataset` does not read
        rows = builder.as_data_source(**options)
    else:
        config = tfds.ReadConfig(try_autocache=False, interleave_cycle_length=1)
        rows = tfds.as_numpy(builder.as_dataset(read_config=config, shuffle_files=False, **options))
    for row in rows:
        yield from_example(_to_example(row))


@functools.lru_cache(maxsize=4)
def _builder(folder: str):
    import tensorflow_datasets as tfds

    return tfds.builder_from_directory(folder)


def _to_example(row: dict[str, Any]) -> annotations.Example:
    """Turns what TFDS reads into the columns that `annotations.check` gives."""
    image = {key: int(row['image'][key]) for key in ('height', 'width', 'image_id')}
    image['file_name'] = row['image']['file_name'].decode()
    columns = dict(row['annotations'])
    segmentation = columns.pop('segmentation')
    columns['size'] = segmentation['size']
    columns = {
        name: np.asarray(columns[name], dtype).reshape(-1, *shape)
        for name, (dtype, shape) in _COLUMNS.items()
    }
    columns['counts'] = list(segmentation['counts'])
    return annotations.Example({'content': row['image']['content'], **image}, columns)


def build(
    jpeg: bytes, content: dict[str, Any], labels: Mapping[str, Sequence[Any]] | None = None
) -> Record:
    """Makes a record of an image and annotations that were made here, checked as all records are.

    Args:
      jpeg: the image file.
      content: the record, as SA-1B's JSON holds it.
      labels: as in `Record`.

    Raises:
      DataError: it breaks a rule.
    """
    name = content['image']['file_name']
    example, found = annotations.check(
        jpeg,
        json.dumps(content).encode(),
        archive='records.build',
        image_name=name,
        record_name=f'{name.rpartition(".")[0]}.json',
    )
    if found:
        raise faults.DataError(found)
    return Record(jpeg, example, content, labels or {})


def named(record: Record, table: label_table.LabelTable) -> Record:
    """Gives the record with what a table says of its masks."""
    found = table.look_up([row['id'] for row in record.rows])
    del found['has_label']
    columns = {
        name: column.tolist() if isinstance(column, np.ndarray) else column
        for name, column in found.items()
    }
    return dataclasses.replace(record, labels=columns)


def clean(record: Record, min_region: int) -> Record:
    """Gives the record without small regions of its masks, as SA-1B was cleaned.

    Holes of fewer pixels are filled and islands removed; a mask of small islands keeps the
    largest. As in SA-1B, a mask that changes has whole numbers in `bbox`, and keeps its scores.
    """
    image = record.json['image']
    old = [row['segmentation']['counts'].encode() for row in record.rows]
    size = (image['height'], image['width'])
    cleaned = coco_rle.remove_small_regions(old, size, min_region, min_region)
    rows = list(record.rows)
    changed = np.flatnonzero(cleaned.changed).tolist()
    counts = [cleaned.counts[n] for n in changed]
    crops, areas = coco_rle.to_row_runs(counts, size), coco_rle.area(counts).tolist()
    for n, text, crop, area in zip(changed, counts, crops, areas, strict=True):
        rows[n] = {
            **rows[n],
            'area': area,
            'bbox': [crop.left, crop.top, max(crop.width - 1, 0), max(crop.height - 1, 0)],
            'segmentation': {'size': list(size), 'counts': text.decode()},
        }
    if not changed:
        return record
    content = {'image': {**image, 'file_name': record.file_name}, 'annotations': rows}
    return build(record.jpeg, content, record.labels)


def from_example(example: annotations.Example) -> Record:
    """Makes the record of an example; boxes are given back in pixels.

    A shard keeps all floats as `float32`, and boxes relative to the image. What came from whole
    pixels comes back as whole pixels, any other box within 2^-23 of the image's side.
    """
    image, columns = example.image, example.annotations
    size = np.array([image['height'], image['width']] * 2, np.float64)
    boxes = {key: _to_xywh(columns[key], size) for key in ('bbox', 'crop_box')}
    rows = zip(
        columns['id'].tolist(),
        columns['area'].tolist(),
        boxes['bbox'],
        columns['size'].tolist(),
        columns['counts'],
        columns['predicted_iou'].tolist(),
        columns['point_coords'].tolist(),
        columns['stability_score'].tolist(),
        boxes['crop_box'],
        strict=True,
    )
    content = {
        'image': {key: image[key] for key in ('image_id', 'width', 'height', 'file_name')},
        'annotations': [
            {
                'bbox': bbox,
                'area': area,
                'segmentation': {'size': mask_size, 'counts': counts.decode()},
                'predicted_iou': iou,
                'point_coords': points,
                'crop_box': crop_box,
                'id': identity,
                'stability_score': score,
            }
            for identity, area, bbox, mask_size, counts, iou, points, score, crop_box in rows
        ],
    }
    return Record(image['content'], example, content)


def _to_xywh(boxes: np.ndarray, size: np.ndarray) -> list[list[float]]:
    """Turns [ymin, xmin, ymax, xmax], relative, into [x, y, width, height] in pixels."""
    pixels = boxes.astype(np.float64).reshape(-1, 4) * size
    whole = np.round(pixels)
    pixels = np.where(np.abs(pixels - whole) <= size * 2.0**-23, whole, pixels)
    xywh = np.stack([pixels[:, 1], pixels[:, 0], *(pixels[:, 3:1:-1] - pixels[:, 1::-1]).T], -1)
    return xywh.tolist()
