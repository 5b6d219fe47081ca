"""What the operations on RLE share: the runs of ones of all masks, as spans.

Pixel (x, y) of a mask has the position `x * height + y`; a run of ones is the span of positions
[start, end). Masks of one call have one size, so the spans of all masks are three flat arrays:

    counts  '22', size 2 x 2:   column 0 = positions 0, 1 (zeros), column 1 = positions 2, 3 (ones)
    counts  '0121':             ones at position 0 and at position 3
    owners  [0, 1, 1]
    starts  [2, 0, 3]
    ends    [4, 1, 4]
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from segment_anything_tfds.source.record.rle import arguments, strings


class Spans(NamedTuple):
    """Runs of ones of N masks of one size: not empty, in order, and apart from each other.

    Attributes:
      owners: int64 [F], the mask of each run.
      starts: int64 [F], position of its first pixel.
      ends: int64 [F], position after its last pixel.
      num_masks: N.
      height, width: of each mask, in pixels.
    """

    owners: np.ndarray
    starts: np.ndarray
    ends: np.ndarray
    num_masks: int
    height: int
    width: int

    @property
    def num_pixels(self) -> int:
        """Pixels of one mask, ones and zeros."""
        return self.height * self.width


def read(where: str, counts: Sequence[bytes | str], size: Sequence[int]) -> Spans:
    """Reads and checks masks; `where` is the public function that errors name."""
    height, width = arguments.check_size(where, 'size', size)
    runs = arguments.read_runs(where, counts, height * width)
    sizes = np.diff(runs.splits)
    owners = np.repeat(np.arange(len(sizes)), sizes)
    # every mask's runs sum to its pixels, so one running sum serves all masks
    ends = np.cumsum(runs.lengths) - owners * (height * width)
    is_one = (np.arange(len(owners)) - np.repeat(runs.splits[:-1], sizes)) & 1 == 1
    kept = np.flatnonzero(is_one & (runs.lengths > 0))
    owners, ends, starts = owners[kept], ends[kept], ends[kept] - runs.lengths[kept]
    return Spans(*merge(owners, starts, ends), len(sizes), height, width)


def merge(owners: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> tuple[np.ndarray, ...]:
    """Joins neighbours that touch, as [0, 2) and [2, 4) in runs 0, 2, 0, 2."""
    touch = (owners[1:] == owners[:-1]) & (starts[1:] == ends[:-1])
    if not touch.any():
        return owners, starts, ends
    is_first, is_last = np.append(True, ~touch), np.append(~touch, True)
    return owners[is_first], starts[is_first], ends[is_last]


def corners(spans: Spans) -> np.ndarray:
    """Gives first x and y, and x and y after the last, int64 [N, 4]; zeros for empty masks."""
    x0, y0 = np.divmod(spans.starts, spans.height)
    x1, y1 = np.divmod(spans.ends - 1, spans.height)
    # a run that goes on in another column touches the bottom of the one and the top of the other
    y0, y1 = np.where(x0 < x1, 0, y0), np.where(x0 < x1, spans.height - 1, y1)
    cuts = np.searchsorted(spans.owners, np.arange(spans.num_masks + 1))
    filled = np.flatnonzero(cuts[1:] > cuts[:-1])
    boxes = np.zeros((spans.num_masks, 4), np.int64)
    # `reduceat` has no empty groups: it would give the next mask's value for a mask without runs
    for place, (values, reduce) in enumerate(
        ((x0, np.minimum), (y0, np.minimum), (x1, np.maximum), (y1, np.maximum))
    ):
        if filled.size:
            boxes[filled, place] = reduce.reduceat(values, cuts[filled]) + (place > 1)
    return boxes


def invert(spans: Spans) -> Spans:
    """Gives the runs of zeros, as spans."""
    masks = np.arange(spans.num_masks)
    starts = np.concatenate([np.zeros_like(masks), spans.ends])
    ends = np.concatenate([spans.starts, np.full_like(masks, spans.num_pixels)])
    # mask 0 has ones at [2, 4) of 6:  starts 0, 4  and ends 2, 6, each sorted by mask
    owners = np.concatenate([masks, spans.owners])
    before = np.argsort(owners, kind='stable')
    after = np.argsort(np.concatenate([spans.owners, masks]), kind='stable')
    owners, starts, ends = owners[before], starts[before], ends[after]
    kept = starts < ends
    return spans._replace(owners=owners[kept], starts=starts[kept], ends=ends[kept])


def select(spans: Spans, wanted: np.ndarray) -> Spans:
    """Gives the masks of `wanted`, bool [N], counted anew."""
    kept = wanted[spans.owners]
    owners = (np.cumsum(wanted) - 1)[spans.owners[kept]]
    return spans._replace(
        owners=owners,
        starts=spans.starts[kept],
        ends=spans.ends[kept],
        num_masks=int(wanted.sum()),
    )


def encode(spans: Spans) -> list[bytes]:
    """Encodes masks as compressed strings, byte for byte as pycocotools writes them."""
    bounds = np.stack([spans.starts, spans.ends], axis=1).ravel()
    return encode_changes(
        np.repeat(spans.owners, 2), bounds, np.full(spans.num_masks, spans.num_pixels)
    )


def encode_changes(
    owners: np.ndarray, positions: np.ndarray, num_pixels: np.ndarray
) -> list[bytes]:
    """Encodes the positions at which masks change between zeros and ones, as compressed strings.

    Args:
      owners: int64 [K], the mask of each change, rising.
      positions: int64 [K], rising within a mask; at the mask's end they change nothing.
      num_pixels: int64 [N], height x width of each mask.
    """
    lengths, splits = runs_of_changes(owners, positions, num_pixels)
    return strings.write(lengths, splits)


def runs_of_changes(
    owners: np.ndarray, positions: np.ndarray, num_pixels: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Gives run lengths int64 [R], zeros first, and splits [N + 1]; as `encode_changes`."""
    inside = positions < num_pixels[owners]
    owners, positions = owners[inside], positions[inside]
    # Masks of 6 pixels that change at 2 and 4, and at 3: ends 2 4 6 | 3 6, lengths 2 2 2 | 3 3.
    # Each mask has one end more than changes, so change k, of mask n, is end k + n.
    sizes = np.bincount(owners, minlength=len(num_pixels)) + 1
    splits = np.concatenate(([0], np.cumsum(sizes)))
    ends = np.empty(splits[-1], np.int64)
    ends[np.arange(len(owners)) + owners] = positions
    ends[splits[1:] - 1] = num_pixels
    lengths = np.diff(ends, prepend=0)
    lengths[splits[:-1]] = ends[splits[:-1]]
    return lengths, splits


def expand(starts: np.ndarray, ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lists ranges: starts [3, 7], ends [5, 8] give the numbers [3, 4, 7], of ranges [0, 0, 1]."""
    sizes = ends - starts
    origins = np.repeat(np.arange(len(sizes)), sizes)
    before = np.cumsum(sizes) - sizes
    return np.arange(len(origins)) + (starts - before)[origins], origins


def portions(sizes: np.ndarray, limit: int) -> Iterator[tuple[int, int]]:
    """Cuts items into groups [first, last) whose sizes sum to at most `limit`, or of one item."""
    ends = np.cumsum(sizes)
    first = 0
    while first < len(sizes):
        room = np.searchsorted(ends, ends[first] - sizes[first] + limit, 'right')
        last = max(int(room), first + 1)
        yield first, last
        first = last
