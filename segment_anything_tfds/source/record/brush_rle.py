"""The run-length format of Label Studio's brushes, which is that of thi.ng's `rle-pack`.

A brush is an image of four bytes a pixel, row by row; a mask is 0 or 255 in all four. The bytes are
packed as bits: 32 of how many bytes, 5 of the word size less one, and 4 x 4 of the four sizes that
a length may have, each less one. Then come blocks:

    1 | which size, 2 bits | length - 1 | value, 8 bits           `length` bytes of one value
    0 | which size, 2 bits | length - 1 | value, value, ...       `length` values, 8 bits each

Three pixels 0 1 1 are twelve bytes, 4 x 0 and 8 x 255, with sizes 3, 4, 8 and 16:

    1 00 011 00000000   1 00 111 11111111

(Sources: thi-ng/umbrella `packages/rle-pack`, label_studio_sdk `converter/brush.py`.) No image is
drawn, neither to write nor to read.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

CHANNELS = 4
MAX_PIXELS = (2**32 - 1) // CHANNELS
_SIZES = np.array([3, 4, 8, 16])
_LONGEST = 1 << 16
_HEADER_BITS = 32 + 5 + 4 * 4
_OPAQUE = 128  # of the alpha channel: a brush's soft edge belongs to the mask from here on


def encode(runs: Sequence[np.ndarray]) -> list[bytes]:
    """Packs masks.

    Args:
      runs: N arrays of run lengths of whole images, row by row, zeros first, as
        `coco_rle.to_row_runs(crop=False)` gives them.

    Returns:
      N byte strings; Label Studio takes each as a list of integers.

    Raises:
      ValueError: an image has more than `MAX_PIXELS` pixels (2^30 - 1).

    Example:
      >>> encode([np.array([1, 2])])[0].hex()
      '0000000c391bfc6013ff80'
    """
    arrays = [np.asarray(lengths, np.int64) for lengths in runs]
    return [_encode(lengths) for lengths in arrays]


def _encode(lengths: np.ndarray) -> bytes:
    total = int(lengths.sum())
    if total > MAX_PIXELS:
        raise ValueError(
            f'`brush_rle.encode`: expected `runs` of at most {MAX_PIXELS} pixels; got {total}. '
            'Label Studio cannot hold larger masks.'
        )
    values = np.arange(len(lengths)) % 2 * 255
    values, lengths = values[lengths > 0], lengths[lengths > 0] * CHANNELS
    repeats = (lengths + _LONGEST - 1) // _LONGEST  # a longer run takes several blocks
    blocks = np.full(repeats.sum(), _LONGEST)
    blocks[np.cumsum(repeats) - 1] = (lengths - 1) % _LONGEST + 1
    which = np.searchsorted(1 << _SIZES, blocks)
    sizes = _SIZES[which]
    # 1, which size, length - 1, value: 4 is the leading 1, above two bits of `which`
    words = (((4 + which) << sizes | blocks - 1) << 8) | np.repeat(values, repeats)
    header = [total * CHANNELS >> 16, total * CHANNELS & 0xFFFF, 7, *(_SIZES - 1)]
    words = np.concatenate([header, words])
    return _pack(words, np.concatenate([[16, 16, 5, 4, 4, 4, 4], sizes + 11]))


def _pack(words: np.ndarray, widths: np.ndarray) -> bytes:
    """Writes words one after another, each with its number of bits, up to 32.

    A word touches at most five bytes. No two words share a bit, so what they put into a byte can be
    added up:

        words 101 and 11001100 from bit 0 on   101_____ ________
                                               ___11001 100_____
    """
    ends = np.cumsum(widths)
    starts = ends - widths
    shifted = words << (40 - (starts & 7) - widths)
    pieces = shifted[:, None] >> np.arange(32, -1, -8) & 255
    places = (starts >> 3)[:, None] + np.arange(5)
    size = int(ends[-1] + 7) // 8
    return np.bincount(places.ravel(), pieces.ravel())[:size].astype(np.uint8).tobytes()


def decode(data: bytes, num_pixels: int) -> np.ndarray:
    """Reads the runs of a mask, row by row, zeros first: int64 [R].

    A pixel belongs to the mask where its alpha is at least 128.

    Args:
      data: the packed bytes.
      num_pixels: height x width of the image.

    Raises:
      ValueError: the bytes are not in this format, end too early, or hold another number of pixels.

    Example:
      >>> decode(bytes.fromhex('0000000c391bfc6013ff80'), 3).tolist()
      [1, 2]
    """
    if len(data) * 8 < _HEADER_BITS:
        raise _error(f'at least {_HEADER_BITS} bits', f'{len(data)} bytes')
    head = int.from_bytes(data[:7], 'big') >> (56 - _HEADER_BITS)
    count, word_size = head >> 21, (head >> 16 & 31) + 1
    if word_size != 8:
        raise _error('words of 8 bits', str(word_size))
    if count != num_pixels * CHANNELS:
        raise _error(f'{num_pixels} pixels of {CHANNELS} bytes', f'{count} bytes')
    sizes = [(head >> shift & 15) + 1 for shift in (12, 8, 4, 0)]
    values, lengths = _read_blocks(data, sizes, count)
    if not len(values):
        return np.zeros(1, np.int64)
    ends = np.cumsum(lengths) // CHANNELS  # the alphas before an end: those at 3, 7, 11, ...
    lengths = np.diff(ends, prepend=0)
    opaque = (values >= _OPAQUE)[lengths > 0]
    ends = ends[lengths > 0]
    last = np.flatnonzero(np.append(opaque[1:] != opaque[:-1], True))
    runs = np.diff(ends[last], prepend=0)
    return np.concatenate([[0], runs]) if opaque[0] else runs


def _read_blocks(data: bytes, sizes: list[int], count: int) -> tuple[np.ndarray, np.ndarray]:
    """Reads values uint8 and how often each follows: both [blocks and single values]."""
    values, lengths = [], []
    position, done, end = _HEADER_BITS, 0, len(data) * 8
    padded = data + bytes(8)
    while done < count:
        start = position >> 3  # 1 + 2 + 16 + 8 bits, from any bit on, lie within 5 bytes
        bits = int.from_bytes(padded[start : start + 5], 'big') << (position & 7)
        bits &= 0xFFFFFFFFFF
        # 40 bits: the kind at 39, which size at 38 and 37, the length from 36 down, the value
        size = sizes[bits >> 37 & 3]
        length = (bits >> (37 - size) & ((1 << size) - 1)) + 1
        position += 3 + size
        if bits >> 39:
            values.append([bits >> (29 - size) & 255])
            lengths.append([length])
            position += 8
        else:
            if position + 8 * length > end:
                raise _error(f'{length} values', 'the end of the bytes')
            values.append(_read_values(padded, position, length))
            lengths.append(np.ones(length, np.int64))
            position += 8 * length
        done += length
        if position > end or done > count:
            raise _error(f'blocks of {count} bytes together', f'{done}, or the end before')
    if not values:
        return np.zeros(0, np.uint8), np.zeros(0, np.int64)
    return np.concatenate(values).astype(np.uint8), np.concatenate(lengths).astype(np.int64)


def _read_values(data: bytes, position: int, count: int) -> np.ndarray:
    """Reads bytes uint8 [count] from any bit on."""
    shift = position & 7
    pieces = np.frombuffer(data, np.uint8, count + 1, position >> 3).astype(np.uint16)
    return (pieces[:-1] << shift | pieces[1:] >> (8 - shift)) & 255


def _error(rule: str, got: str) -> ValueError:
    return ValueError(
        f"`brush_rle.decode`: expected `data` in the format of Label Studio's brushes, {rule}; "
        f'got {got}. Export it from Label Studio again.'
    )
