"""Connected parts of masks, holes and islands, straight from the runs.

A run is cut into at most three rectangles: the rest of its first column, whole columns, and the
beginning of its last column. Two rectangles touch if one ends in the column before the other starts
and their rows meet, at a corner too unless `connectivity` is 4:

    0 1 0 0 1      rectangles, column by column, as (columns, rows):
    1 0 0 1 1      a (0, 1..2)  b (1, 0)  c (3, 1)  d (4, 0..2)
    1 0 0 0 1      a-b meet at a corner, c-d side by side: two parts, {a, b} and {c, d}

So the neighbours of a rectangle are neighbours in the sorted list, and no pixel is looked at.
"""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from segment_anything_tfds.source.record.rle import arguments
from segment_anything_tfds.source.record.rle import spans as spans_lib


class Components(NamedTuple):
    """Connected parts of masks.

    Attributes:
      counts: C compressed strings, one a part: those of mask 0 first, and within a mask by their
        first pixel, column by column.
      masks: int64 [C], the mask of each part.
      areas: int64 [C], its pixels.
    """

    counts: list[bytes]
    masks: np.ndarray
    areas: np.ndarray


class Cleaned(NamedTuple):
    """Masks without small regions.

    Attributes:
      counts: N compressed strings; those of masks without small regions as they were given.
      changed: bool [N], whether the mask had a small hole or a small island. As in Meta's
        generator, that is also true where the one small island was kept.
    """

    counts: list[bytes]
    changed: np.ndarray


@arguments.takes_segmentation
def connected_components(
    counts: Sequence[bytes | str], size: Sequence[int], *, connectivity: int = 8
) -> Components:
    """Splits masks into their connected parts.

    Args:
      counts: N compressed strings, N may be 0.
      size: [height, width] of all masks, in pixels; or [N, 2] with equal rows.
      connectivity: 8, pixels that meet at a corner are connected; or 4, only at a side.

    Returns:
      `Components`: counts, masks, areas. An empty mask has no parts.

    Raises:
      ValueError: a string is malformed or does not fit `size`, or another `connectivity`.

    Example:
      >>> parts = connected_components([b'1120'], (1, 5))
      >>> parts.counts, parts.masks.tolist(), parts.areas.tolist()
      ([b'113', b'41'], [0, 0], [1, 1])
    """
    if connectivity not in (4, 8):
        raise ValueError(
            f'`coco_rle.connected_components`: expected `connectivity` 4 or 8; got '
            f'{connectivity!r}.'
        )
    spans = spans_lib.read('connected_components', counts, size)
    pieces = _cut(spans)
    labels, heads = _label(pieces, spans, connectivity)
    areas = np.bincount(labels, pieces.areas, minlength=len(heads)).astype(np.int64)
    order = np.argsort(labels, kind='stable')
    starts, ends = pieces.positions(spans.height)
    parts = spans_lib.merge(labels[order], starts[order], ends[order])
    found = spans_lib.encode(spans_lib.Spans(*parts, len(heads), spans.height, spans.width))
    return Components(found, pieces.owners[heads], areas)


@arguments.takes_segmentation
def remove_small_regions(
    counts: Sequence[bytes | str],
    size: Sequence[int],
    holes: float = 100,
    islands: float = 100,
    *,
    keep_largest: bool = True,
) -> Cleaned:
    """Fills small holes, then removes small islands, as SAM's automatic generator does.

    A hole is a connected part of the background, the outer background included; an island is a
    connected part of the mask; pixels that meet at a corner are connected. Equal to
    `segment_anything.utils.amg.remove_small_regions`, first for holes, then for islands.

    Args:
      counts: N compressed strings, N may be 0.
      size: [height, width] of all masks, in pixels; or [N, 2] with equal rows.
      holes: holes of fewer pixels are filled; 0 leaves all.
      islands: islands of fewer pixels are removed; 0 leaves all.
      keep_largest: where all islands of a mask are too small, keep the largest, as Meta's code
        does. False leaves nothing of such a mask, as it was done for SA-1B (appendix B).

    Returns:
      `Cleaned`: counts, changed.

    Raises:
      ValueError: a string is malformed or does not fit `size`, or a negative threshold.

    Example:
      >>> remove_small_regions([b'1120'], (1, 5), holes=2, islands=0)
      Cleaned(counts=[b'022O'], changed=array([ True]))
    """
    for name, threshold in (('holes', holes), ('islands', islands)):
        if not isinstance(threshold, numbers.Real) or not threshold >= 0:
            raise ValueError(
                f'`coco_rle.remove_small_regions`: expected `{name}` to be a number of at least 0; '
                f'got {threshold!r}. Pass an area in pixels.'
            )
    spans = spans_lib.read('remove_small_regions', counts, size)
    spans, filled = _toggle_small(spans, spans_lib.invert(spans), holes, keep_largest=False)
    spans, removed = _toggle_small(spans, spans, islands, keep_largest=keep_largest)
    changed = filled | removed
    texts = [text.encode() if isinstance(text, str) else text for text in counts]
    fresh = spans_lib.encode(spans_lib.select(spans, changed))
    for index, text in zip(np.flatnonzero(changed).tolist(), fresh, strict=True):
        texts[index] = text
    return Cleaned(texts, changed)


class _Pieces(NamedTuple):
    """Rectangles, sorted by mask, first column and first row; wide ones are of whole columns."""

    owners: np.ndarray
    firsts: np.ndarray
    lasts: np.ndarray
    tops: np.ndarray
    bottoms: np.ndarray

    @property
    def areas(self) -> np.ndarray:
        return (self.lasts - self.firsts + 1) * (self.bottoms - self.tops)

    def positions(self, height: int) -> tuple[np.ndarray, np.ndarray]:
        return self.firsts * height + self.tops, self.lasts * height + self.bottoms


def _cut(spans: spans_lib.Spans) -> _Pieces:
    """Cuts runs where their first and last columns are not whole."""
    height = spans.height
    x0, y0 = np.divmod(spans.starts, height)
    x1, y1 = np.divmod(spans.ends - 1, height)
    y1 += 1
    single = x0 == x1
    head, tail = single | (y0 > 0), ~single & (y1 < height)
    block0, block1 = x0 + head, x1 - tail
    kept = np.stack([head, ~single & (block0 <= block1), tail], axis=1).ravel()
    zeros, full = np.zeros_like(y0), np.full_like(y0, height)
    return _Pieces(
        *(
            np.stack(parts, axis=1).ravel()[kept]
            for parts in (
                (spans.owners, spans.owners, spans.owners),
                (x0, block0, x1),
                (x0, block1, x1),
                (y0, zeros, zeros),
                (np.where(single, y1, height), full, y1),
            )
        )
    )


def _label(
    pieces: _Pieces, spans: spans_lib.Spans, connectivity: int
) -> tuple[np.ndarray, np.ndarray]:
    """Gives the part of each piece, int64 [P], and the first piece of each part, [C], rising."""
    # Two rows apart, so that no column's end meets the next one's start: column x of mask n begins
    # at (n * (width + 1) + x) * (height + 2).
    stride = spans.height + 2
    column = pieces.owners * (spans.width + 1)
    starts = (column + pieces.firsts) * stride + pieces.tops
    ends = (column + pieces.firsts) * stride + pieces.bottoms
    after = (column + pieces.lasts + 1) * stride
    # Neighbours in the next column are those that end after the piece's top and start before its
    # bottom; with 8 also those that end just there, or start there, which meet it at a corner.
    near, far = ('left', 'right') if connectivity == 8 else ('right', 'left')
    low = np.searchsorted(ends, after + pieces.tops, near)
    high = np.searchsorted(starts, after + pieces.bottoms, far)
    b, a = spans_lib.expand(low, np.maximum(low, high))
    roots = _find_roots(len(starts), a, b)
    is_head = roots == np.arange(len(roots))
    return (np.cumsum(is_head) - 1)[roots], np.flatnonzero(is_head)


def _find_roots(num: int, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Gives the lowest of the items that pairs (a, b) connect with each item, int64 [num].

    Each round hangs every root that has a lower neighbour below the lowest one, then lets all
    items point at the roots themselves: for pairs 0-1, 1-2, 3-2

        after hanging 0 0 1 2, after flattening 0 0 0 0.
    """
    roots = np.arange(num)
    while a.size:
        np.minimum.at(roots, np.maximum(a, b), np.minimum(a, b))
        while not np.array_equal(above := roots[roots], roots):
            roots = above
        a, b = roots[a], roots[b]
        apart = a != b
        a, b = a[apart], b[apart]
    return roots


def _toggle_small(
    spans: spans_lib.Spans, regions: spans_lib.Spans, threshold: float, *, keep_largest: bool
) -> tuple[spans_lib.Spans, np.ndarray]:
    """Turns small parts of `regions` over in `spans`; and bool [N], which masks had one."""
    pieces = _cut(regions)
    labels, heads = _label(pieces, regions, 8)
    areas = np.bincount(labels, pieces.areas, minlength=len(heads))
    masks = pieces.owners[heads]
    small = areas < threshold
    changed = np.zeros(spans.num_masks, bool)
    changed[masks[small]] = True
    if keep_largest:
        kept = np.ones(spans.num_masks, bool)
        kept[masks[~small]] = False
        if (kept & changed).any():
            # Meta's code takes the largest with `argmax`, so of equals the one that OpenCV numbers
            # first. In this order, a mask's largest part is its first.
            order = np.lexsort((_first_blocks(pieces, labels, len(heads), regions), -areas, masks))
            largest = order[np.append(True, masks[order][1:] != masks[order][:-1])]
            small[largest[kept[masks[largest]]]] = False
    chosen = small[labels]
    if not chosen.any():
        return spans, changed
    starts, ends = pieces.positions(spans.height)
    # What ends where a turned piece starts goes on, and the reverse: two changes at one place.
    owners = np.concatenate([spans.owners, spans.owners, *[pieces.owners[chosen]] * 2])
    places = np.concatenate([spans.starts, spans.ends, starts[chosen], ends[chosen]])
    stride = spans.num_pixels + 1  # so that no mask's end is the next one's start
    keys, repeats = np.unique(owners * stride + places, return_counts=True)
    owners, places = np.divmod(keys[repeats == 1], stride)
    return spans._replace(owners=owners[0::2], starts=places[0::2], ends=places[1::2]), changed


def _first_blocks(
    pieces: _Pieces, labels: np.ndarray, num: int, spans: spans_lib.Spans
) -> np.ndarray:
    """Ranks each part by its first block of 2 x 2 pixels, row by row: OpenCV's order."""
    blocks = pieces.tops // 2 * ((spans.width + 1) // 2) + pieces.firsts // 2
    first = np.full(num, np.iinfo(np.int64).max)
    np.minimum.at(first, labels, blocks)
    return first
