"""Serialises checked examples as TFDS does, straight from their columns.

The bytes are those of a `tf.train.Example`, a protocol buffer. TFDS makes one by way of Python
objects, number by number and with four copies of the image, which takes longer than to gunzip it.
Here whole columns are packed and the image is not copied. The messages mean the same: a test
compares them with those of TFDS's serialiser.

Fields of the messages, all of them of the length-delimited wire type:

    Example { features = 1 }    Features { map feature = 1 }    its entry { key = 1, value = 2 }
    Feature { bytes_list = 1 | float_list = 2 | int64_list = 3 }    each list { value = 1 }
"""

from __future__ import annotations

import functools
import itertools

import numpy as np

from segment_anything_tfds import tfds_parts
from segment_anything_tfds.source.record import annotations

_BYTES_LIST, _FLOAT_LIST, _INT64_LIST = 1, 2, 3
_SEGMENTATION = ('counts', 'size')


def serialize(example: annotations.Example) -> list[bytes]:
    """Gives the bytes of a `tf.train.Example` with the features of the data set, in a fixed order.

    Args:
      example: a checked example.

    Returns:
      The serialised example, in pieces to be joined; the image is one of them, not a copy.
    """
    parts: list[bytes] = []
    for name, column in sorted(example.annotations.items()):
        name = f'segmentation/{name}' if name in _SEGMENTATION else name
        parts += _map_entry(f'annotations/{name}', column)
    for name, value in sorted(example.image.items()):
        parts += _map_entry(f'image/{name}', value)
    return [_header(1, sum(map(len, parts))), *parts]


def _map_entry(name: str, value) -> list[bytes]:
    """Gives the pieces of one entry of the map of features; large values are not copied."""
    kind, pieces = _value_list(value)
    size = sum(map(len, pieces))
    value_header = _header(kind, size)
    key = _delimited(1, name.encode())
    value_field = _header(2, len(value_header) + size)
    total = len(key) + len(value_field) + len(value_header) + size
    return [_header(1, total), key, value_field, value_header, *pieces]


def _value_list(value) -> tuple[int, list[bytes]]:
    """Gives the kind and the content of the list that holds a value or a column of values."""
    if isinstance(value, str):
        value = value.encode()
    if isinstance(value, bytes):
        return _BYTES_LIST, [_header(1, len(value)), value]
    if isinstance(value, list):
        return _BYTES_LIST, [_bytes_values(value)]
    column = np.asarray(value).reshape(-1)
    if column.dtype.kind == 'f':
        packed = column.astype('<f4').tobytes()
        return _FLOAT_LIST, [_delimited(1, packed)] if packed else []
    numbers = column.astype(np.int64, copy=False).tolist()  # uint64 keeps its bits
    return _INT64_LIST, [tfds_parts.Int64List(value=numbers).SerializeToString()]


def _bytes_values(values: list[bytes]) -> bytes:
    headers = [_header(1, len(value)) for value in values]
    return b''.join(itertools.chain.from_iterable(zip(headers, values, strict=True)))


def _delimited(field: int, data: bytes) -> bytes:
    return _header(field, len(data)) + data


@functools.lru_cache(maxsize=4096)
def _header(field: int, size: int) -> bytes:
    """Writes the tag of a length-delimited field, and the length as a variable-length number."""
    # Seven bits a byte, low ones first, 128 where more follow. Field 1 of 300 bytes, 0b10_0101100:
    # 0a for the field and its wire type 2, then ac, 0x2c with more to come, and 02.
    out = bytearray([field << 3 | 2])
    while size > 0x7F:
        out.append(size & 0x7F | 0x80)
        size >>= 7
    out.append(size)
    return bytes(out)
