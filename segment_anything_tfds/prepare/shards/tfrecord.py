"""Writes TFRecord files without TensorFlow.

A worker that needs no TensorFlow starts two seconds sooner and takes 400 MB less memory. A record
is its length (8 bytes, little-endian), the checksum of the length, the data, and the checksum of
the data; a checksum is a CRC-32C, rotated by 15 bits, plus a constant.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence

import google_crc32c
from etils import epath

_MASK_DELTA = 0xA282EAD8


def write(path: epath.Path, records: Iterable[Sequence[bytes]]) -> None:
    """Writes records to a TFRecord file.

    Args:
      path: the file.
      records: the data of each, in pieces.
    """
    with path.open('wb') as file:
        for pieces in records:
            length = struct.pack('<Q', sum(map(len, pieces)))
            file.writelines([length, _masked_crc([length]), *pieces, _masked_crc(pieces)])


def _masked_crc(pieces: Iterable[bytes]) -> bytes:
    crc = 0
    for piece in pieces:
        crc = google_crc32c.extend(crc, piece)
    rotated = crc >> 15 | crc << 17 & 0xFFFFFFFF
    return struct.pack('<I', rotated + _MASK_DELTA & 0xFFFFFFFF)
