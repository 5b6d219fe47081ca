"""Writes TFRecord files without TensorFlow.

A worker that needs no TensorFlow starts two seconds sooner and takes 400 MB less memory. A record
is its length (8 bytes, little-endian), the checksum of the length, the data, and the checksum of
the data; a checksum is a CRC-32C, rotated by 15 bits, plus a constant.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Iterable, Sequence

import google_crc32c
from etils import epath

from segment_anything_tfds.prepare.shards import crc32c

_MASK_DELTA = 0xA282EAD8


def write(path: epath.Path, records: Iterable[Sequence[bytes]]) -> int:
    """Writes records to a TFRecord file.

    Args:
      path: the file.
      records: the data of each, in pieces.

    Returns:
      The CRC-32C of the whole file.
    """
    whole = 0
    with path.open('wb') as file:
        for pieces in records:
            size = sum(map(len, pieces))
            length = struct.pack('<Q', size)
            crc = functools.reduce(google_crc32c.extend, pieces, 0)
            before = length + _masked(google_crc32c.value(length))
            after = _masked(crc)
            file.writelines([before, *pieces, after])
            # the data is not gone through a second time: its checksum is known, and moved along
            whole = crc32c.combine(google_crc32c.extend(whole, before), crc, size)
            whole = google_crc32c.extend(whole, after)
    return whole


def _masked(crc: int) -> bytes:
    rotated = crc >> 15 | crc << 17 & 0xFFFFFFFF
    return struct.pack('<I', rotated + _MASK_DELTA & 0xFFFFFFFF)
