"""Which mask is part of which: a tree from areas and overlaps alone."""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from segment_anything_tfds.source.record.rle import arguments, measures, overlap
from segment_anything_tfds.source.record.rle import spans as spans_lib

LEVELS = ('whole', 'part', 'subpart')


class Hierarchy(NamedTuple):
    """The tree of masks: which mask is a part of which. Levels come from geometry alone.

    Attributes:
      parents: int32 [N], the index of the smallest mask that holds this one; -1 for a root.
      depth: int32 [N], steps up to the root; 0 for a root.
      levels: str [N]: `'whole'`, a root; `'subpart'`, a mask without parts at depth 2 or more;
        `'part'`, what lies between.
      relative_size: float32 [N], the area as a fraction of the root's area; 1 for a root.
      granularity: float32 [N], the same to one decimal and at least 0.1, as GraCo has it.
    """

    parents: np.ndarray
    depth: np.ndarray
    levels: np.ndarray
    relative_size: np.ndarray
    granularity: np.ndarray


@arguments.takes_segmentation
def hierarchy(
    counts: Sequence[bytes | str],
    size: Sequence[int],
    *,
    containment: float = 0.9,
    max_ratio: float = 0.9,
) -> Hierarchy:
    """Finds which mask of an image lies in which, as a forest.

    Mask b holds mask a if the part of a's pixels that b shares, |a and b| / |a|, is at least
    `containment`, and if a is smaller than `max_ratio` of b (else they are two masks of one thing).
    The parent of a mask is the smallest one that holds it; of equal ones, the first. An empty mask
    is a root.

    This is geometry, not meaning: a cup before a table top lies in the table's mask if that was
    drawn through the cup, and is no part of it; a hand that sticks out of its person's mask is none
    either. SA-1B has no labels of levels to judge by.

    Args:
      counts: N compressed strings, N may be 0.
      size: [height, width] of all masks, in pixels; or [N, 2] with equal rows.
      containment: above 0, at most 1.
      max_ratio: above 0, at most 1.

    Returns:
      `Hierarchy`: parents, depth, levels, relative_size, granularity.

    Raises:
      ValueError: a string is malformed or does not fit `size`, or a number out of range.

    Example:
      >>> tree = hierarchy([b'04', b'022', b'121'], (2, 2))
      >>> tree.parents.tolist(), tree.depth.tolist(), tree.levels.tolist()
      ([-1, 0, 0], [0, 1, 1], ['whole', 'part', 'part'])
    """
    for name, value in (('containment', containment), ('max_ratio', max_ratio)):
        if not isinstance(value, numbers.Real) or not 0 < value <= 1:
            raise ValueError(
                f'`coco_rle.hierarchy`: expected `{name}` to be a number above 0 and at most 1; '
                f'got {value!r}.'
            )
    common, areas, _ = overlap.compare('hierarchy', counts, counts, size)
    share = common / np.maximum(areas, 1)[:, None]
    holds = (share >= containment) & (areas[:, None] < max_ratio * areas) & (areas > 0)[:, None]
    order = np.argsort(areas, kind='stable')  # the first in it that holds a mask is the smallest
    first = np.argmax(holds[:, order], axis=1) if len(order) else order
    parents = np.where(holds.any(axis=1), order[first], -1)
    depth, roots = np.zeros(len(parents), np.int64), np.arange(len(parents))
    while (above := parents[roots] >= 0).any():
        depth += above
        roots = np.where(above, parents[roots], roots)
    is_leaf = ~np.isin(np.arange(len(parents)), parents)
    level = np.where(depth == 0, 0, np.where(is_leaf & (depth > 1), 2, 1))
    relative = areas / np.maximum(areas[roots], 1)
    relative = np.where(depth == 0, 1.0, relative)
    return Hierarchy(
        parents.astype(np.int32),
        depth.astype(np.int32),
        np.array(LEVELS)[level],
        relative.astype(np.float32),
        np.maximum(np.round(relative, 1), 0.1).astype(np.float32),
    )


@arguments.takes_segmentation
def leaf_map(counts: Sequence[bytes | str], size: Sequence[int]) -> np.ndarray:
    """Draws one map of all masks, the smallest on top, as pipelines from pictures to 3D take them.

    Args:
      counts: N compressed strings, N may be 0.
      size: [height, width] of all masks, in pixels; or [N, 2] with equal rows.

    Returns:
      int32 [H, W], the index of the smallest mask of each pixel (of equal ones, the first); -1
      where there is none.

    Raises:
      ValueError: a string is malformed or does not fit `size`.

    Example:
      >>> leaf_map([b'04', b'022', b'211'], (2, 2)).tolist()
      [[1, 2], [1, 0]]
    """
    spans = spans_lib.read('leaf_map', counts, size)
    order = np.argsort(-measures.areas(spans)[::-1], kind='stable')
    order = spans.num_masks - 1 - order  # the largest first; of equal ones, the last
    cuts = np.searchsorted(spans.owners, np.arange(spans.num_masks + 1))
    pixels = np.full(spans.num_pixels, -1, np.int32)
    starts, ends = spans.starts.tolist(), spans.ends.tolist()
    for mask in order.tolist():
        for run in range(cuts[mask], cuts[mask + 1]):
            pixels[starts[run] : ends[run]] = mask
    return np.ascontiguousarray(pixels.reshape(spans.width, spans.height).T)
