"""CRC-32C of whole files, at little cost where the checksums of their parts are known.

A TFRecord file holds the checksum of each record, so its writer computes these anyway. That of the
whole file follows from them: a CRC is linear, so

    crc(first + second) = crc(first + zeros) ^ crc(zeros + second) = shift(crc(first)) ^ crc(second)

where `shift` is what as many zero bytes as `second` is long do to a checksum. One zero byte is a
32 x 32 matrix over bits, of which 2, 4, 8, ... zero bytes are the square, the square of that, and
so on. Five zero bytes are the matrix of four times that of one: 5 = 0b101.
"""

from __future__ import annotations

import functools

import google_crc32c
from etils import epath

_POLYNOMIAL = 0x82F63B78  # Castagnoli's, with its bits reversed
_PIECE = 8 << 20


def combine(first: int, second: int, size: int) -> int:
    """Gives the CRC of two byte strings one after the other, from their CRCs.

    Args:
      first: CRC of the first.
      second: CRC of the second.
      size: bytes in the second.

    Example:
      >>> combine(google_crc32c.value(b'ab'), google_crc32c.value(b'cde'), 3) == (
      ...     google_crc32c.value(b'abcde'))
      True
    """
    # CRC-32C inverts all bits at its start and at its end; here both cancel out.
    power = 0
    while size:
        if size & 1:
            first = _multiply(_zeros(power), first)
        size >>= 1
        power += 1
    return first ^ second


def of_file(path: epath.Path) -> int:
    """Reads a file to its end for its CRC."""
    crc = 0
    with path.open('rb') as file:
        while piece := file.read(_PIECE):
            crc = google_crc32c.extend(crc, piece)
    return crc


@functools.cache
def _zeros(power: int) -> tuple[int, ...]:
    """Gives what 2^power zero bytes do, as the columns of a matrix: what becomes of each bit."""
    if power == 0:
        return tuple(_eight_zero_bits(1 << bit) for bit in range(32))
    half = _zeros(power - 1)
    return tuple(_multiply(half, column) for column in half)


def _eight_zero_bits(crc: int) -> int:
    # lowest bit first: a 1 that is shifted out takes the polynomial off the rest
    for _ in range(8):
        crc = crc >> 1 ^ (_POLYNOMIAL if crc & 1 else 0)
    return crc


def _multiply(columns: tuple[int, ...], bits: int) -> int:
    # bit n of `bits` adds column n, and to add bits without a carry is to xor them
    product = 0
    for column in columns:
        if not bits:
            break
        if bits & 1:
            product ^= column
        bits >>= 1
    return product
