"""One image and its JSON record: every rule checked, and turned into an example.

`reasons.REASONS` lists the rules. A fault of one annotation leaves out that annotation, at its
first broken rule; a fault of the image leaves out the image.
"""

from __future__ import annotations

import dataclasses
import json
import os
from itertools import chain
from typing import Any

import numpy as np
import orjson

from segment_anything_tfds.source import faults
from segment_anything_tfds.source.record import annotation_rows, jpeg, mask_verdicts

RECORD_KEYS = frozenset({'image', 'annotations'})
IMAGE_KEYS = frozenset({'image_id', 'width', 'height', 'file_name'})
ANNOTATION_KEYS = frozenset(
    {
        'area',
        'bbox',
        'crop_box',
        'id',
        'point_coords',
        'predicted_iou',
        'segmentation',
        'stability_score',
    }
)
SEGMENTATION_KEYS = frozenset({'size', 'counts'})
MAX_ANNOTATIONS = 10_000  # SA-1B has about 100 an image
MAX_VALUES = 1_000_000  # braces, brackets, commas and colons; about 35 an annotation
_UINT64_RULE = 'an integer from 0 to 2^64 - 1'
_SHAPES: dict[str, tuple[int, ...]] = {
    'bbox': (4,),
    'crop_box': (4,),
    'point_coords': (1, 2),
    'predicted_iou': (),
    'stability_score': (),
}
_RULES = {
    (4,): 'four finite numbers [x, y, width, height]',
    (1, 2): 'one point of two finite numbers [[x, y]]',
    (): 'a finite number',
}


@dataclasses.dataclass(frozen=True)
class Example:
    """An image with its annotations, ready to be serialised.

    Attributes:
      image: `content` (bytes of the JPEG, as they came), `file_name` (str), `height`, `image_id`,
        `width` (ints).
      annotations: columns of N rows each: `area` uint64 [N] in pixels; `bbox` and `crop_box`
        float32 [N, 4] as [ymin, xmin, ymax, xmax] relative to the image (SA-1B's `bbox` is max -
        min: one pixel less than a COCO box); `id` uint64 [N]; `point_coords` float64 [N, 1, 2] as
        (x, y) in pixels; `predicted_iou` and `stability_score` float64 [N]; and of the
        segmentation `counts`, N byte strings of compressed RLE, and `size` uint64 [N, 2] as
        [height, width].
      positions: of the N rows in the record's list; `None` where there is no record.
    """

    image: dict[str, Any]
    annotations: dict[str, Any]
    positions: list[int] | None = None


class _ImageError(Exception):
    def __init__(self, reason: str, detail: str, member: str):
        self.fault = (reason, detail, member)


def check(
    image: bytes,
    record: bytes,
    *,
    archive: str,
    image_name: str,
    record_name: str,
    decode_images: bool = False,
) -> tuple[Example | None, list[faults.Fault]]:
    """Checks an image with its record.

    Args:
      image: the JPEG file.
      record: the JSON file.
      archive: name of the archive, for the faults.
      image_name: name of the JPEG in the archive; a folder before it is ignored.
      record_name: name of the JSON file in the archive.
      decode_images: also decode the pixels of the JPEG, which takes about 30 times as long.

    Returns:
      The example, without the annotations that have faults, or `None` where the image itself has
      one; and the faults, of which those past the first `annotation_rows.FAULTS_KEPT` are counted.
      Nothing is raised for bad data.
    """
    image_name, record_name = os.path.basename(image_name), os.path.basename(record_name)
    try:
        content = _parse_record(record, record_name)
        fields = _check_image(content['image'], image, image_name, record_name, decode_images)
    except _ImageError as error:
        reason, detail, member = error.fault
        return None, [faults.Fault(archive, reason, detail, member)]
    rows = annotation_rows.Rows(content['annotations'], archive, record_name)
    _require_keys(rows)
    _read_integers(rows)
    _read_floats(rows)
    _read_segmentations(rows, fields['height'], fields['width'])
    for name in ('bbox', 'crop_box'):
        _normalize_boxes(rows, name, fields['height'], fields['width'])
    _require_ids_once(rows)  # last, so that a row with a fault never costs a good one its place
    return Example({'content': image, **fields}, rows.columns, rows.positions), rows.faults


def _parse_record(record: bytes, name: str) -> dict:
    if len(record) > MAX_VALUES:  # every value of JSON comes after one of these characters
        _check_bounds(sum(map(record.count, b'{[,:')), MAX_VALUES, 'values', name)
    try:
        content = load_json(record)
    except (ValueError, RecursionError) as error:
        text = (
            'JSON nested too deep'
            if isinstance(error, RecursionError)
            else annotation_rows.shorten(str(error))
        )
        raise _ImageError('json_invalid', f'expected JSON; got {text}', name) from None
    _check_keys(content, RECORD_KEYS, 'the record', name)
    _check_keys(content['image'], IMAGE_KEYS, '`image`', name)
    if type(content['annotations']) is not list:
        got = annotation_rows.shorten(content['annotations'])
        raise _ImageError('record_keys', f'expected `annotations` to be a list; got {got}', name)
    _check_bounds(len(content['annotations']), MAX_ANNOTATIONS, 'annotations', name)
    return content


def _check_bounds(count: int, most: int, what: str, name: str) -> None:
    """Refuses what would take gigabytes; values are counted before anything is parsed."""
    if count > most:
        detail = f'expected a record of at most {most:,} {what}; got {count:,}'
        raise _ImageError('record_too_large', detail, name)


def load_json(record: bytes) -> Any:
    """Parses a record as `check` does: numbers past 64 bits become floats, as columns hold them."""
    try:
        return orjson.loads(record)
    except orjson.JSONDecodeError:
        return json.loads(record)  # Reads NaN and large integers too, which are faults of one row.


def _check_keys(content: Any, keys: frozenset, what: str, name: str) -> None:
    if type(content) is not dict or content.keys() != keys:
        detail = f'expected {what} {_describe_keys(content, keys)}'
        raise _ImageError('record_keys', detail, name)


def _describe_keys(content: Any, keys: frozenset) -> str:
    rule = f'to have the keys {", ".join(sorted(keys))}; got '
    if type(content) is not dict:
        return rule + annotation_rows.shorten(content)
    missing, extra = sorted(keys - content.keys()), sorted(content.keys() - keys)
    parts = [
        f'{word} {annotation_rows.shorten(found)}'
        for word, found in (('no', missing), ('also', extra))
        if found
    ]
    return rule + ' and '.join(parts)


def _check_image(
    fields: dict, image: bytes, image_name: str, record_name: str, decode: bool
) -> dict:
    for key in ('height', 'image_id', 'width'):
        if not annotation_rows.is_uint64(fields[key]):
            detail = (
                f'expected `{key}` to be {_UINT64_RULE}; got {annotation_rows.shorten(fields[key])}'
            )
            raise _ImageError('image_invalid', detail, record_name)
    height, width, file_name = fields['height'], fields['width'], fields['file_name']
    if height < 1 or width < 1:
        detail = f'expected a `height` and `width` of at least 1; got {height} and {width}'
        raise _ImageError('image_size_invalid', detail, record_name)
    if type(file_name) is not str or file_name.lower() != image_name.lower():
        is_text = type(file_name) is str
        detail = (
            f'expected `file_name` to be {image_name!r}; got {annotation_rows.shorten(file_name)}'
        )
        raise _ImageError('file_name_mismatch' if is_text else 'image_invalid', detail, record_name)
    try:
        header = (jpeg.decode if decode else jpeg.check)(image)
    except jpeg.JpegError as error:
        raise _ImageError(error.reason, str(error), image_name) from None
    if (header.height, header.width) != (height, width):
        detail = (
            f'expected `height` and `width` to be those of the JPEG, {header.height} and '
            f'{header.width}; got {height} and {width}'
        )
        raise _ImageError('image_size_mismatch', detail, record_name)
    return {key: fields[key] for key in ('file_name', 'height', 'image_id', 'width')}


def _require_keys(rows: annotation_rows.Rows) -> None:
    bad = [
        n
        for n, row in enumerate(rows.rows)
        if type(row) is not dict or row.keys() != ANNOTATION_KEYS
    ]
    if bad:
        described = {n: _describe_keys(rows.rows[n], ANNOTATION_KEYS) for n in bad}
        rows.drop({n: ('annotation_keys', f'expected an annotation {described[n]}') for n in bad})


def _read_integers(rows: annotation_rows.Rows) -> None:
    for key in ('id', 'area'):
        values = rows.values(key)
        if not annotation_rows.are_uint64(values):
            good = [annotation_rows.is_uint64(value) for value in values]
            rows.require(good, f'{key}_invalid', f'`{key}` to be {_UINT64_RULE}', values)
        rows.columns[key] = np.array(rows.values(key), np.uint64)


def _read_floats(rows: annotation_rows.Rows) -> None:
    columns = annotation_rows.to_columns(rows.rows, _SHAPES)
    if columns is not None:
        rows.columns.update(columns)
        return
    for key, shape in _SHAPES.items():
        values = rows.values(key)
        table = annotation_rows.to_table(values, shape)
        rows.columns[key] = table.reshape(-1, *shape)
        good = np.isfinite(table).all(axis=1).tolist()
        rows.require(good, f'{key}_invalid', f'`{key}` to be {_RULES[shape]}', values)


def _read_segmentations(rows: annotation_rows.Rows, height: int, width: int) -> None:
    values = rows.values('segmentation')
    good = [type(value) is dict and value.keys() == SEGMENTATION_KEYS for value in values]
    rule = '`segmentation` to be an object of `size` and `counts`'
    rows.require(good, 'segmentation_invalid', rule, values)

    counts = [value['counts'] for value in rows.values('segmentation')]
    good = [type(value) is str for value in counts]
    rows.require(good, 'rle_uncompressed', '`counts` to be a compressed string', counts)

    size = [height, width]
    sizes = [value['size'] for value in rows.values('segmentation')]
    if sizes.count(size) < len(sizes) or not {*map(type, chain.from_iterable(sizes))} <= {int}:
        good = [value == size and type(value[0]) is type(value[1]) is int for value in sizes]
        rows.require(good, 'segmentation_size_mismatch', f'`size` to be {size}', sizes)

    counts = [value['counts'] for value in rows.values('segmentation')]
    rows.columns['counts'] = [value.encode('utf-8', 'surrogatepass') for value in counts]
    rows.columns['size'] = np.full((len(rows.rows), 2), size, np.uint64)
    rows.drop(mask_verdicts.judge(rows.columns['counts'], rows.values('area'), height * width))


def _normalize_boxes(rows: annotation_rows.Rows, name: str, height: int, width: int) -> None:
    """Turns [x, y, w, h] in pixels into [ymin, xmin, ymax, xmax], relative, as TFDS computes it."""
    yxyx = rows.columns[name][:, [1, 0, 3, 2]]
    with np.errstate(over='ignore'):
        yxyx[:, 2:] += yxyx[:, :2]
        yxyx /= (height, width, height, width)
        rows.columns[name] = yxyx.astype(np.float32)
    good = (yxyx[:, :2] >= 0) & (yxyx[:, :2] <= yxyx[:, 2:]) & (yxyx[:, 2:] <= 1)
    if not good.all():
        rule = f'`{name}` within {width} x {height} pixels (width x height), no side negative'
        rows.require(good.all(axis=1).tolist(), f'{name}_outside', rule, rows.values(name))


def _require_ids_once(rows: annotation_rows.Rows) -> None:
    """Keeps, of annotations without other faults, the first one with an `id`."""
    ids = rows.values('id')
    if len(set(ids)) < len(ids):
        # written from the last to the first, so that the first place of an id is what stays
        first = dict(zip(reversed(ids), reversed(range(len(ids))), strict=True))
        good = [first[value] == n for n, value in enumerate(ids)]
        rows.require(good, 'id_duplicate', '`id` to occur once in an image', ids)
