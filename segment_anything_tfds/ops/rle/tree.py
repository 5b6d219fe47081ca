"""Which mask is part of which: a forest from areas and overlaps alone."""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from segment_anything_tfds.ops import validate
from segment_anything_tfds.ops.rle import pairs
from segment_anything_tfds.ops.rle.core import boundaries

LEVELS = ('whole', 'part', 'subpart')


class Hierarchy(NamedTuple):
    """Who is part of whom. Levels are geometry, not meaning.

    Attributes:
      parents: int32 [N], the index of the smallest mask that holds this one; -1 for a root.
      depth: int32 [N], steps up to the root; 0 for a root.
      levels: string [N]: `whole`, a root; `subpart`, a mask without parts at depth 2 or more;
        `part`, what lies between.
      relative_size: float32 [N], the area as a fraction of the root's area; 1 for a root.
      granularity: float32 [N], the same to one decimal and at least 0.1, as GraCo has it.
    """

    parents: tf.Tensor
    depth: tf.Tensor
    levels: tf.Tensor
    relative_size: tf.Tensor
    granularity: tf.Tensor


@boundaries.takes_masks
def hierarchy(
    counts: tf.Tensor,
    size: tf.Tensor,
    *,
    containment: float = 0.9,
    max_ratio: float = 0.9,
) -> Hierarchy:
    """Finds which mask of an image lies in which, as a forest.

    Mask b holds mask a if the part of a's pixels that b shares, |a ∩ b| / |a|, is at least
    `containment`, and if a is smaller than `max_ratio` of b (else they are two masks of one thing).
    That share is `rle.iou` with b as a crowd, in float64. The parent of a mask is the smallest one
    that holds it; of equal ones, the first. An empty mask is a root.

    This is geometry, not meaning: a cup before a table top lies in the table's mask if that was
    drawn through the cup, and is no part of it; a hand that sticks out of its person's mask is none
    either. SA-1B has no labels of levels to judge by.

    Args:
      counts: string [N], compressed COCO RLE.
      size: integer [2] or [N, 2], [height, width] in pixels.
      containment: Python number above 0, at most 1.
      max_ratio: Python number above 0, at most 1.

    Returns:
      `Hierarchy`: parents, depth, levels, relative_size, granularity; each [0] for zero masks.

    Raises:
      ValueError: a number out of range, wrong dtypes or static shapes.
      tf.errors.InvalidArgumentError: a malformed string, or a size that it does not fill.

    Example:
      >>> tree = rle.hierarchy(['04', '022', '121'], [2, 2])
      >>> tree.parents.numpy(), tree.levels.numpy().tolist()
      (array([-1,  0,  0], dtype=int32), [b'whole', b'part', b'part'])
    """
    name = 'rle.hierarchy'
    containment = validate.fraction(name, 'containment', containment)
    max_ratio = validate.fraction(name, 'max_ratio', max_ratio)
    masks = boundaries.read(name, counts, size)
    common, areas, _ = pairs.compare(name, masks, masks, None)
    parents = _parents(common, areas, containment, max_ratio)
    depth, roots = _climb(parents)
    # Each mask counts once for its parent; -1, a root's, counts for none:
    #   parents -1 0 1 0    parts 2 1 0 0    depth 0 1 2 1
    # Mask 2 alone has no parts and lies deeper than 1: the only subpart.
    num_parts = tf.math.unsorted_segment_sum(tf.ones_like(parents), parents, tf.size(parents))
    is_deep_leaf = tf.equal(num_parts, 0) & (depth > 1)
    level = tf.where(tf.equal(depth, 0), 0, tf.where(is_deep_leaf, 2, 1))
    areas = tf.cast(areas, tf.float64)
    relative = tf.math.divide_no_nan(areas, tf.gather(areas, roots))
    relative = tf.where(tf.equal(depth, 0), tf.ones([], tf.float64), relative)
    granularity = tf.maximum(tf.round(relative * 10) / 10, 0.1)
    fields = Hierarchy(
        parents,
        depth,
        tf.gather(tf.constant(LEVELS), level),
        tf.cast(relative, tf.float32),
        tf.cast(granularity, tf.float32),
    )
    return Hierarchy(*(tf.ensure_shape(field, [masks.shape[0]]) for field in fields))


def _parents(
    common: tf.Tensor, areas: tf.Tensor, containment: float, max_ratio: float
) -> tf.Tensor:
    """Returns int32 [N]: of the masks that hold each one, the smallest and then the first, or -1.

    Area and index make one number, area × (N + 1) + index, so that one minimum finds it. The first
    of three masks, of areas 4, 2 and 2, holds both others:

        keys     16  9 10      4 × 4 + 0, 2 × 4 + 1, 2 × 4 + 2
        mask 0    -  -  - |n   nothing is less than n, "none": the last place, so no parent
        mask 1   16  -  - |n   the least is at place 0, the parent
    """
    wide = tf.cast(areas, tf.float64)
    share = tf.math.divide_no_nan(tf.cast(common, tf.float64), wide[:, tf.newaxis])
    smaller = (wide[:, tf.newaxis] < max_ratio * wide) & (areas > 0)[:, tf.newaxis]
    holds = smaller & (share >= containment)
    number = tf.size(areas, tf.int64)
    keys = tf.cast(areas, tf.int64) * (number + 1) + tf.range(number)
    keys = tf.where(holds, keys, tf.int64.max)
    none = tf.fill([number, 1], tf.int64.max - 1)  # found where no mask holds, and without masks
    best = tf.argmin(tf.concat([keys, none], 1), 1, output_type=tf.int64)
    return tf.cast(tf.where(tf.equal(best, number), tf.constant(-1, tf.int64), best), tf.int32)


def _climb(parents: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns int32 [N] depth and root of each mask; every step up leads to a larger mask.

    All climb at once, those at a root stay. With parents -1 0 1 0:

        reached  0 1 2 3    then 0 0 1 0    then 0 0 0 0, the roots
        depth    0 0 0 0         0 1 1 1         0 1 2 1
    """

    def step(depth, reached):
        above = tf.gather(parents, reached)
        moves = above >= 0
        return depth + tf.cast(moves, tf.int32), tf.where(moves, above, reached)

    return tf.while_loop(
        lambda _, reached: tf.reduce_any(tf.gather(parents, reached) >= 0),
        step,
        (tf.zeros_like(parents), tf.range(tf.size(parents))),
        shape_invariants=(tf.TensorShape([None]), tf.TensorShape([None])),
    )
