"""Masks drawn from runs, at full size or resized, and runs found in drawn masks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from segment_anything_tfds.source.record.rle import arguments, strings


@arguments.takes_segmentation
def decode(counts: Sequence[bytes | str], size: Sequence[int]) -> np.ndarray:
    """Draws masks, uint8 [N, H, W] of 0 and 1, row-major; equal to pycocotools' `decode`.

    Args:
      counts: N compressed strings, N may be 0.
      size: [height, width] of all masks, in pixels; or [N, 2] with equal rows.

    Raises:
      ValueError: a string is malformed or does not fit `size`, or the masks would take more than
        2^31 - 1 bytes. Nothing large is allocated before.

    Example:
      >>> decode([b'22'], (2, 2)).tolist()
      [[[0, 1], [0, 1]]]
    """
    size = arguments.check_size('decode', 'size', size, len(counts))
    return _draw('decode', counts, size, size)


@arguments.takes_segmentation
def decode_resized(
    counts: Sequence[bytes | str], size: Sequence[int], target_size: Sequence[int]
) -> np.ndarray:
    """Draws masks at another size, without drawing them at full size.

    Equal to sampling the full mask at pixel centres: target row i takes row
    `(2 * i + 1) * H // (2 * h)`, and columns likewise.

    Args:
      counts: N compressed strings, N may be 0.
      size: [height, width] of all masks, in pixels; or [N, 2] with equal rows.
      target_size: [h, w] of the result; larger than `size` is fine.

    Returns:
      uint8 [N, h, w] of 0 and 1.

    Raises:
      ValueError: as `decode`.

    Example:
      >>> decode_resized([b'08'], (2, 4), (1, 2)).tolist()
      [[[1, 1]]]
    """
    size = arguments.check_size('decode_resized', 'size', size)
    target_size = arguments.check_size('decode_resized', 'target_size', target_size, len(counts))
    return _draw('decode_resized', counts, size, target_size)


def encode(masks: np.ndarray) -> list[bytes]:
    """Encodes masks as compressed RLE, byte for byte as pycocotools does.

    Args:
      masks: [N, H, W] of any dtype, row-major; non-zero is foreground. N may be 0.

    Returns:
      N compressed strings.

    Raises:
      ValueError: `masks` has not three dimensions, or no pixels.

    Example:
      >>> encode(np.array([[[0, 1], [0, 1]]]))
      [b'22']
    """
    masks = np.asarray(masks)
    if masks.ndim != 3 or 0 in masks.shape[1:]:
        raise ValueError(
            f'`coco_rle.encode`: expected `masks` of shape [N, H, W] with H, W >= 1; got shape '
            f'{masks.shape}. Add an axis to a single mask: `mask[None]`.'
        )
    return strings.encode_runs([_find_runs(mask) for mask in masks])


def _draw(
    where: str, counts: Sequence, size: tuple[int, int], target_size: tuple[int, int]
) -> np.ndarray:
    """Draws masks uint8 [N, h, w]: runs are mapped onto the target grid, then painted there."""
    runs = arguments.read_runs(where, counts, size[0] * size[1])
    height, width = target_size[0], min(size[1], target_size[1])
    masks = np.zeros((len(counts), height, width), np.uint8)
    for n, (start, stop) in enumerate(zip(runs.splits[:-1], runs.splits[1:], strict=True)):
        columns, rows = np.divmod(np.cumsum(runs.lengths[start:stop]), size[0])
        # A boundary in a column that is not shown moves to the start of the next one that is:
        # `sampled` is 0 there, so its row does not count.
        before = _count_before(columns, size[1], width)
        sampled = _count_before(columns + 1, size[1], width) - before
        bounds = before * height + sampled * _count_before(rows, size[0], height)
        _paint(masks[n], bounds[0::2], bounds[1::2])  # ends of zeros start ones
    if width == target_size[1]:
        return masks
    # a result wider than the image: each column was painted once, and is repeated now
    return masks[:, :, (2 * np.arange(target_size[1]) + 1) * width // (2 * target_size[1])]


def _count_before(position: np.ndarray, length: int, target_length: int) -> np.ndarray:
    """Counts the pixel centres of a target axis that lie before a position of the source axis.

    Centre i lies in `(2 * i + 1) * length // (2 * target_length)`. That is before p where
    2i + 1 is at most (2 * target_length * p - 1) // length. Of 5 pixels on 3, before 0 to 5:
    0 1 1 2 2 3.
    """
    return ((2 * target_length * position - 1) // length + 1) // 2


def _paint(mask: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> None:
    """Sets [h, w] to 1 between `starts` and `ends` of column-major positions."""
    starts = starts[: len(ends)]
    drawn = np.flatnonzero(starts < ends)
    if not drawn.size:
        return
    height = mask.shape[0]
    first, last = starts[drawn[0]] // height, (ends[drawn[-1]] - 1) // height + 1
    strip = np.zeros((last - first, height), np.uint8)
    pixels, offset = strip.ravel(), first * height
    for start, end in (np.stack([starts[drawn], ends[drawn]], axis=1) - offset).tolist():
        pixels[start:end] = 1
    mask[:, first:last] = strip.T


def _find_runs(mask: np.ndarray) -> np.ndarray:
    pixels = np.asarray(mask.T, bool, order='C').ravel()
    changes = np.flatnonzero(pixels[1:] != pixels[:-1]) + 1
    bounds = [[0, 0] if pixels[0] else [0], changes, [len(pixels)]]
    return np.diff(np.concatenate(bounds))
