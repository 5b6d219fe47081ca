"""Tars made member by member, for tests to bend: headers are written here, not by `tarfile`."""

from __future__ import annotations

import gzip
import random

BLOCK = 512
END = bytes(2 * BLOCK)


def header(
    name: bytes,
    size: int = 0,
    typeflag: bytes = b'0',
    *,
    linkname: bytes = b'',
    magic: bytes = b'ustar\x0000',
    prefix: bytes = b'',
    size_field: bytes | None = None,
    signed: bool = False,
) -> bytes:
    block = bytearray(BLOCK)
    block[0 : len(name[:100])] = name[:100]
    block[100:108] = b'0000644\0'
    block[124:136] = b'%011o\0' % size if size_field is None else size_field
    block[136:148] = b'14000000000\0'
    block[148:156] = b' ' * 8
    block[156:157] = typeflag
    block[157 : 157 + len(linkname)] = linkname
    block[257 : 257 + len(magic)] = magic
    block[345 : 345 + len(prefix)] = prefix
    total = sum(block) - (256 * sum(byte > 127 for byte in block) if signed else 0)
    block[148:156] = b'%06o\0 ' % total
    return bytes(block)


def member(name: str | bytes, data: bytes = b'', typeflag: bytes = b'0', **fields) -> bytes:
    name = name.encode() if isinstance(name, str) else name
    return header(name, len(data), typeflag, **fields) + data + bytes(-len(data) % BLOCK)


def pax(records: dict[str, bytes], typeflag: bytes = b'x') -> bytes:
    lines = b''
    for key, value in records.items():
        rest = b' ' + key.encode() + b'=' + value + b'\n'
        length = len(rest) + 1
        while len(str(length)) + len(rest) != length:
            length += 1
        lines += str(length).encode() + rest
    return member('./PaxHeaders/x', lines, typeflag)


def pairs(ids, seed: int = 0, size: int = 3000, folder: str = './') -> list[bytes]:
    """Members of pairs: the image of id 7 begins with `image 7`, its record is `{"id": 7, ...}`."""
    members = []
    for image_id in ids:
        noise = random.Random(seed + image_id).randbytes(size)
        members.append(member(f'{folder}sa_{image_id}.jpg', b'image %d' % image_id + noise))
        members.append(member(f'{folder}sa_{image_id}.json', b'{"id": %d}' % image_id))
    random.Random(seed).shuffle(members)
    return members


def tar(*members: bytes) -> bytes:
    return b''.join(members) + END


def zipped(data: bytes, level: int = 1) -> bytes:
    return gzip.compress(data, level, mtime=0)
