"""Serialised examples in the shards of a prepared data set, read without TensorFlow."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import google_crc32c

from segment_anything_tfds.source.archive import paths

FORMATS = ('tfrecord', 'array_record')  # those that need no TensorFlow to be read
_HEADER = struct.Struct('<QI')
_CHECKSUM = 4  # bytes
_MASK_DELTA = 0xA282EAD8


def read(path: str, file_format: str, count: int, start: int = 0) -> Iterator[bytes]:
    """Reads the records of a shard, in order.

    Args:
      path: the shard.
      file_format: `'tfrecord'` or `'array_record'`.
      count: how many records it has.
      start: records to pass over.

    Raises:
      OSError: while iterating, for a shard that is gone, cut or damaged.
    """
    if not paths.open_path(path).exists():
        raise FileNotFoundError(
            f'`shard_files.read`: expected the shard {path}; got no file. Make the stream again, '
            'if the data set was moved or removed.'
        )
    open_shard = _read_tfrecord if file_format == 'tfrecord' else _read_array_record
    found = start
    try:
        for record in open_shard(path, start):
            found += 1
            yield record
    except RuntimeError as error:  # of array_record
        raise _damaged(path) from error
    if found < count:  # a cut between two records
        raise _damaged(path)


def _read_tfrecord(path: str, start: int) -> Iterator[bytes]:
    with paths.open_path(path).open('rb') as file:
        index = 0
        while header := file.read(_HEADER.size):
            length = _check_header(header, path)
            if index < start:
                file.seek(length + _CHECKSUM, 1)
            else:
                record = file.read(length)
                _check_record(record, length, file.read(_CHECKSUM), path)
                yield record
            index += 1


def _check_header(header: bytes, path: str) -> int:
    if len(header) == _HEADER.size:
        length, checksum = _HEADER.unpack(header)
        if checksum == _masked_crc(header[:8]):
            return length
    raise _damaged(path)


def _check_record(record: bytes, length: int, checksum: bytes, path: str) -> None:
    if len(record) != length or checksum != _masked_crc(record).to_bytes(_CHECKSUM, 'little'):
        raise _damaged(path)


def _masked_crc(data: bytes) -> int:
    crc = google_crc32c.value(data)
    return (crc >> 15 | crc << 17 & 0xFFFFFFFF) + _MASK_DELTA & 0xFFFFFFFF


def _damaged(path: str) -> OSError:
    return OSError(
        f'`shard_files.read`: expected the shard {path} as it was written; got one that is cut or '
        'damaged. Remove the data set and prepare it again.'
    )


def _read_array_record(path: str, start: int) -> Iterator[bytes]:
    try:
        from array_record.python import array_record_module
    except ImportError as error:
        raise ImportError(
            f'`shard_files.read`: expected the package array_record, to read {path}; got none. '
            'Install it with: pip install array_record'
        ) from error
    reader = array_record_module.ArrayRecordReader(path, '')
    try:
        if start < reader.num_records():
            reader.seek(start)
            for _ in range(start, reader.num_records()):
                yield reader.read()
    finally:
        reader.close()
