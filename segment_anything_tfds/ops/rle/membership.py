"""Which masks hold a point, and which mask is on top at each pixel."""

from __future__ import annotations

import tensorflow as tf

from segment_anything_tfds.ops import validate
from segment_anything_tfds.ops.rle import measure
from segment_anything_tfds.ops.rle.core import boundaries, number_line, ranges, views


@boundaries.takes_masks
def contains(counts: tf.Tensor, size: tf.Tensor, points: tf.Tensor) -> tf.Tensor:
    """Tells which masks hold each point, without drawing them: all masks of a click.

    Coordinates are x, y, pixel centres at whole numbers: 2.6 lies in pixel 3, as 3.4 does.

    Args:
      counts: string [N], compressed COCO RLE.
      size: integer [2] or [N, 2], [height, width] in pixels.
      points: number [P, 2], x and y in pixels. A point outside the image, or NaN, is in no mask.

    Returns:
      bool [P, N]. Zero masks give [P, 0], zero points [0, N].

    Raises:
      ValueError: wrong dtypes or static shapes.
      tf.errors.InvalidArgumentError: a malformed string, or a size that it does not fill.

    Example:
      >>> rle.contains(['52203', '`0'], [4, 4], [[1, 1], [0, 0]]).numpy()
      array([[ True, False],
             [False, False]])
    """
    name = 'rle.contains'
    points = tf.convert_to_tensor(points)
    if not (points.dtype.is_integer or points.dtype.is_floating):
        raise ValueError(
            f'{name}: expected `points` of numbers; got {points.dtype.name}. Pass x and y.'
        )
    validate.static_shape(name, 'points', points, [(None, 2)], '[P, 2]')
    points = tf.cast(tf.ensure_shape(points, [None, 2]), tf.float64)
    masks = boundaries.read(name, counts, size)
    line = number_line.lay_out(masks.found, masks.number, masks.height, masks.width)
    extent = tf.cast(tf.stack([masks.width, masks.height]), tf.float64)
    pixels = tf.floor(points + 0.5)
    inside = tf.reduce_all((pixels >= 0) & (pixels < extent), 1, keepdims=True)
    pixels = tf.cast(tf.where(inside, pixels, 0), tf.int64)
    position = pixels[:, :1] * tf.cast(masks.height, tf.int64) + pixels[:, 1:]
    position += tf.range(tf.cast(masks.number, tf.int64)) * line.pixels
    run = ranges.rank(line.starts, position, side='right') - 1
    found = inside & (position < ranges.take(line.ends, run))
    return tf.ensure_shape(found, [points.shape[0], masks.shape[0]])


@boundaries.takes_masks
def leaf_map(counts: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """Draws one map of all masks, the smallest on top, as pipelines from pictures to 3D take them.

    Args:
      counts: string [N], compressed COCO RLE.
      size: integer [2] or [N, 2], [height, width] in pixels.

    Returns:
      int32 [H, W], the index of the smallest mask of each pixel (of equal ones, the first); -1
      where there is none, and so everywhere with zero masks.

    Raises:
      ValueError: wrong dtypes or static shapes.
      tf.errors.InvalidArgumentError: a malformed string, a size that it does not fill, or a result
        of more than 8 GiB.

    Example:
      >>> rle.leaf_map(['04', '022'], [2, 2]).numpy()
      array([[1, 0],
             [1, 0]], dtype=int32)
    """
    masks = boundaries.read('rle.leaf_map', counts, size)
    target = tf.stack([masks.height, masks.width])
    with tf.control_dependencies(views.limit_output('rle.leaf_map', 1, target, 4)):
        edges, interval, mask = _overlay(masks)
    # The first rank that covers a part of the line, between two neighbouring boundaries, is on top.
    order = tf.argsort(measure.areas(masks.found, masks.number), stable=True)
    rank = tf.math.invert_permutation(order)
    parts = tf.maximum(tf.size(edges) - 1, 0)
    best = tf.math.unsorted_segment_min(ranges.take(rank, mask), interval, parts)
    best = tf.minimum(best, masks.number)  # a minimum over nothing is the largest int: no mask
    value = ranges.take(tf.concat([order, [-1]], 0), best)
    drawn = ranges.repeat(value, edges[1:] - edges[:-1])
    drawn = tf.transpose(tf.reshape(drawn, tf.reverse(target, [0])))
    return tf.ensure_shape(drawn, [None, None])


def _overlay(masks: boundaries.Masks) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Cuts the line of positions wherever any mask starts or ends, and lists who covers what.

    Masks with runs [0, 4) and [2, 3) cut 5 pixels at the edges 0 0 2 3 4 5, into five parts, the
    first one empty; mask 0 covers parts 0 to 3, mask 1 part 2.

    Returns:
      int32 [E + 1] edges, rising; and for each pair of a part and a mask that covers it, both
      int32 [C]: the part, the mask.
    """
    found = masks.found
    pixels = masks.height * masks.width
    edges = tf.sort(tf.concat([[0], found.starts, found.ends, [pixels]], 0))
    first = tf.cast(ranges.rank(edges, found.starts, side='left'), tf.int32)
    limit = tf.cast(ranges.rank(edges, found.ends, side='left'), tf.int32)
    owner, interval = ranges.expand(first, limit)
    return edges, interval, ranges.take(found.rows, owner)
