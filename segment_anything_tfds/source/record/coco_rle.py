"""COCO run-length encoding in NumPy: the checks of the build, and a twin of `ops.rle`.

A mask is read column by column; runs of zeros and ones alternate, zeros first, and sum to height x
width. Compressed `counts` hold six bits a character from 48 on: five of payload, low first, and
0x20 where more follow; 0x10 of a number's last character is its sign. From the fourth run on, a
run is stored as its difference to the run two before it. (Source: cocodataset/cocoapi
`common/maskApi.c`.) Nothing here needs TensorFlow, and nothing reads out of bounds.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from segment_anything_tfds.source.record.rle_strings import PROBLEMS, Runs, encode_runs, parse

__all__ = [
    'MAX_PIXELS',
    'PROBLEMS',
    'Runs',
    'area',
    'decode',
    'decode_resized',
    'encode',
    'encode_runs',
    'parse',
    'run_lengths',
    'sample_points',
]

MAX_PIXELS = 2**31 - 1
_LABELS = ('foreground', 'background')


def run_lengths(counts: Sequence[bytes | str]) -> list[np.ndarray]:
    """Run lengths of masks: N arrays int64 [R], of any R, zeros first.

    Args:
      counts: N compressed strings.

    Raises:
      ValueError: a string is malformed; its index and what is wrong are named.

    Example:
      >>> [runs.tolist() for runs in run_lengths([b'7391I'])]
      [[7, 3, 9, 4, 2]]
    """
    runs = _parse('run_lengths', counts)
    return np.split(runs.lengths, runs.splits[1:-1]) if len(runs.splits) > 1 else []


def area(counts: Sequence[bytes | str]) -> np.ndarray:
    """Pixels in each mask, int64 [N]. Raises `ValueError` as `run_lengths` does."""
    return _parse('area', counts).sums()[1]


def decode(counts: Sequence[bytes | str], size: Sequence[int]) -> np.ndarray:
    """Masks, uint8 [N, H, W] of 0 and 1, row-major; equal to pycocotools' `decode`.

    Args:
      counts: N compressed strings, N may be 0.
      size: [height, width] of all masks, in pixels; or [N, 2] with equal rows.

    Raises:
      ValueError: a string is malformed or does not fit `size`, or the masks would take more than
        `MAX_PIXELS` (2^31 - 1) bytes. Nothing large is allocated before.

    Example:
      >>> decode([b'22'], (2, 2)).tolist()
      [[[0, 1], [0, 1]]]
    """
    size = _parse_size('decode', 'size', size, len(counts))
    return _draw('decode', counts, size, size)


def decode_resized(
    counts: Sequence[bytes | str], size: Sequence[int], target_size: Sequence[int]
) -> np.ndarray:
    """Masks at another size, without drawing them at full size.

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
    size = _parse_size('decode_resized', 'size', size, len(counts))
    target_size = _parse_size('decode_resized', 'target_size', target_size, len(counts))
    return _draw('decode_resized', counts, size, target_size)


def encode(masks: np.ndarray) -> list[bytes]:
    """Compressed RLE of masks, byte for byte as pycocotools encodes.

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
    return encode_runs([_find_runs(mask) for mask in masks])


def sample_points(
    counts: Sequence[bytes | str],
    size: Sequence[int],
    num_points: int,
    *,
    seed: int | Sequence[int],
    label: str = 'foreground',
) -> tuple[np.ndarray, np.ndarray]:
    """Points of each mask, uniform over its pixels, with replacement, straight from the runs.

    Coordinates are those of pixels, x first; pixel 3 has its centre at 3.0, as in SAM.

    Args:
      counts: N compressed strings, N may be 0.
      size: [height, width] of all masks, in pixels; or [N, 2] with equal rows.
      num_points: P, points of each mask, at least 1.
      seed: non-negative int, or several; equal seeds give equal points.
      label: `'foreground'`: pixels of the mask; `'background'`: pixels outside.

    Returns:
      `point_coords` float32 [N, P, 2] and `point_labels` int32 [N, P]: 1 in the mask, 0 outside,
      -1 with coordinates 0, 0 where the mask has no such pixel.

    Raises:
      ValueError: as `decode`; an unknown label, or `num_points` below 1.

    Example:
      >>> sample_points([b'31'], (2, 2), 1, seed=0)[0].tolist()
      [[[1.0, 1.0]]]
    """
    if label not in _LABELS:
        raise ValueError(
            f'`coco_rle.sample_points`: expected `label` to be one of {_LABELS}; got {label!r}.'
        )
    if num_points < 1:
        raise ValueError(
            f'`coco_rle.sample_points`: expected `num_points` of at least 1; got {num_points}.'
        )
    height, width = _parse_size('sample_points', 'size', size, len(counts))
    runs = _parse('sample_points', counts, height * width)
    generator = np.random.default_rng(seed)
    is_foreground = label == 'foreground'
    points = np.zeros((len(counts), num_points, 2), np.float32)
    labels = np.full((len(counts), num_points), -1, np.int32)
    for n, (start, stop) in enumerate(zip(runs.splits[:-1], runs.splits[1:], strict=True)):
        lengths = runs.lengths[start:stop]
        chosen = lengths[is_foreground::2]
        drawn = generator.random(num_points)  # Even for an empty mask: others stay the same.
        if total := int(chosen.sum()):
            rank = np.minimum((drawn * total).astype(np.int64), total - 1)
            ends = np.cumsum(chosen)
            run = np.searchsorted(ends, rank, 'right')
            run_ends = np.cumsum(lengths)[is_foreground::2][run]
            columns, rows = np.divmod(run_ends - ends[run] + rank, height)
            points[n], labels[n] = np.stack([columns, rows], axis=1), is_foreground
    return points, labels


def _parse(where: str, counts: Sequence[bytes | str], num_pixels: int | None = None) -> Runs:
    if isinstance(counts, (bytes, str)):
        raise ValueError(
            f'`coco_rle.{where}`: expected `counts` to be a sequence of strings; got {counts!r}. '
            'Put one string into a list.'
        )
    strings = [string.encode() if isinstance(string, str) else string for string in counts]
    runs = parse(strings)
    if runs.problems:
        index = min(runs.problems)
        shown = strings[index] if len(strings[index]) <= 60 else strings[index][:57] + b'...'
        raise ValueError(
            f'`coco_rle.{where}`: expected `counts` to be compressed COCO RLE; `counts[{index}]`: '
            f'{PROBLEMS[runs.problems[index]]}; got {shown!r}.'
        )
    wrong = np.flatnonzero(runs.sums()[0] != num_pixels) if num_pixels is not None else ()
    if len(wrong):
        raise ValueError(
            f'`coco_rle.{where}`: expected runs that sum to {num_pixels}, height x width, in '
            f'`counts[{wrong[0]}]`; got {runs.sums()[0][wrong[0]]}. Pass the size that the '
            'segmentation states.'
        )
    return runs


def _parse_size(where: str, name: str, size: Sequence[int], num_masks: int) -> tuple[int, int]:
    array = np.asarray(size)
    if array.ndim == 2 and array.shape[1] == 2 and (array == array[:1]).all():
        array = array[0] if len(array) else np.array([1, 1])
    if array.shape != (2,) or array.dtype.kind not in 'iu':
        raise ValueError(
            f'`coco_rle.{where}`: expected `{name}` to be two integers [height, width]; got '
            f'{np.asarray(size).tolist()}.'
        )
    height, width = map(int, array)
    if min(height, width) < 1 or height * width * max(num_masks, 1) > MAX_PIXELS:
        raise ValueError(
            f'`coco_rle.{where}`: expected `{name}` of at least 1 x 1 and at most {MAX_PIXELS} '
            f'pixels for all masks together; got {height} x {width} for {num_masks} masks. Decode '
            'fewer masks at once, or at a smaller size.'
        )
    return height, width


def _draw(
    where: str, counts: Sequence, size: tuple[int, int], target_size: tuple[int, int]
) -> np.ndarray:
    """Masks uint8 [N, h, w]: the runs are mapped onto the target grid, then painted there."""
    runs = _parse(where, counts, size[0] * size[1])
    height, width = target_size[0], min(size[1], target_size[1])
    masks = np.zeros((len(counts), height, width), np.uint8)
    for n, (start, stop) in enumerate(zip(runs.splits[:-1], runs.splits[1:], strict=True)):
        columns, rows = np.divmod(np.cumsum(runs.lengths[start:stop]), size[0])
        before = _count_before(columns, size[1], width)
        sampled = _count_before(columns + 1, size[1], width) - before
        bounds = before * height + sampled * _count_before(rows, size[0], height)
        _paint(masks[n], bounds[0::2], bounds[1::2])
    if width == target_size[1]:
        return masks
    return masks[:, :, (2 * np.arange(target_size[1]) + 1) * width // (2 * target_size[1])]


def _count_before(position: np.ndarray, length: int, target_length: int) -> np.ndarray:
    """How many of the pixel centres of a target axis lie before a position of the source axis.

    Centre i lies in `(2 * i + 1) * length // (2 * target_length)`.
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
