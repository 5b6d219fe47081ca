"""What a mask measures, from its runs: area, box, centroid, emptiness."""

from __future__ import annotations

import tensorflow as tf

from segment_anything_tfds.ops import validate
from segment_anything_tfds.ops.rle.core import boundaries

CONVENTIONS = ('sa1b', 'coco', 'xyxy_inclusive')


@boundaries.takes_masks
def area(counts: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """Counts the pixels of each mask.

    Args:
      counts: string [N], compressed COCO RLE.
      size: integer [2] or [N, 2], [height, width] in pixels.

    Returns:
      int32 [N], in pixels. Zero masks give [0].

    Raises:
      ValueError: wrong dtypes or static shapes.
      tf.errors.InvalidArgumentError: a malformed string, or a size that it does not fill.

    Example:
      >>> rle.area(['52203'], [4, 4]).numpy()
      array([4], dtype=int32)
    """
    masks = boundaries.read('rle.area', counts, size)
    return areas(masks.found, masks.number)


@boundaries.takes_masks
def is_empty(counts: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """Tells which masks hold no pixel.

    Args:
      counts: string [N], compressed COCO RLE.
      size: integer [2] or [N, 2], [height, width] in pixels.

    Returns:
      bool [N]. Zero masks give [0].

    Raises:
      ValueError, tf.errors.InvalidArgumentError: as `rle.area`.

    Example:
      >>> rle.is_empty(['52203', '`0'], [4, 4]).numpy()
      array([False,  True])
    """
    masks = boundaries.read('rle.is_empty', counts, size)
    return tf.equal(areas(masks.found, masks.number), 0)


@boundaries.takes_masks
def bbox(counts: tf.Tensor, size: tf.Tensor, *, convention: str) -> tf.Tensor:
    """Finds the smallest box around each mask, in a convention that must be named.

    | convention | numbers | one pixel at x = 3, y = 5 | same as |
    |---|---|---|---|
    | `coco` | x, y, width, height | 3, 5, 1, 1 | `pycocotools.mask.toBbox` |
    | `sa1b` | x, y, max x − min x, max y − min y | 3, 5, 0, 0 | `bbox` in SA-1B's JSON |
    | `xyxy_inclusive` | min x, min y, max x, max y | 3, 5, 3, 5 | SAM's `batched_mask_to_box` |

    Args:
      counts: string [N], compressed COCO RLE.
      size: integer [2] or [N, 2], [height, width] in pixels.
      convention: `'coco'`, `'sa1b'` or `'xyxy_inclusive'`; the last two are formats of `boxes`
        by the same name, `coco` is its `xywh`.

    Returns:
      int32 [N, 4], in pixels; an empty mask gives 0, 0, 0, 0, as in all three sources. Zero masks
      give [0, 4].

    Raises:
      ValueError: an unknown convention, wrong dtypes or static shapes.
      tf.errors.InvalidArgumentError: a malformed string, or a size that it does not fill.

    Example:
      >>> rle.bbox(['52203'], [4, 4], convention='coco').numpy()
      array([[1, 1, 2, 2]], dtype=int32)
    """
    validate.choice('rle.bbox', 'convention', convention, CONVENTIONS)
    masks = boundaries.read('rle.bbox', counts, size)
    low, last = corners(masks.found, masks.number, masks.height)
    if convention == 'xyxy_inclusive':
        end = last
    elif convention == 'sa1b':
        end = last - low
    else:
        end = last - low + 1
    return tf.concat([low, tf.maximum(end, 0)], 1)


@boundaries.takes_masks
def centroid(counts: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """Returns the mean x and y of the pixels of each mask, where whole numbers are pixel centres.

    The sums are exact (int64); only the last division rounds.

    Args:
      counts: string [N], compressed COCO RLE.
      size: integer [2] or [N, 2], [height, width] in pixels.

    Returns:
      float32 [N, 2], x and y in pixels; NaN for an empty mask, which has none. Zero masks give
      [0, 2].

    Raises:
      ValueError, tf.errors.InvalidArgumentError: as `rle.area`.

    Example:
      >>> rle.centroid(['52203'], [4, 4]).numpy()
      array([[1.5, 1.5]], dtype=float32)
    """
    masks = boundaries.read('rle.centroid', counts, size)
    found = masks.found
    height = tf.cast(tf.maximum(masks.height, 1), tf.int64)

    def sums_before(position):
        """Sums up x, and y, over all pixels before `position`."""
        # Whole columns 0 to x - 1, then rows 0 to y - 1 of column x. In columns of 4, before
        # position 6 (x = 1, y = 2): x sums to 4 * 0 + 1 * 2 = 2, y to 0 + 1 + 2 + 3 + 0 + 1 = 7.
        x, y = position // height, position % height
        sum_x = height * (x * (x - 1) // 2) + x * y
        sum_y = x * (height * (height - 1) // 2) + y * (y - 1) // 2
        return tf.stack([sum_x, sum_y], 1)

    starts, ends = tf.cast(found.starts, tf.int64), tf.cast(found.ends, tf.int64)
    sums = tf.math.unsorted_segment_sum(
        sums_before(ends) - sums_before(starts), found.rows, masks.number
    )
    pixels = areas(found, masks.number)[:, tf.newaxis]
    return tf.cast(tf.cast(sums, tf.float64) / tf.cast(pixels, tf.float64), tf.float32)


def areas(found: boundaries.ForegroundRuns, num_masks: tf.Tensor) -> tf.Tensor:
    """Returns int32 [N], pixels of each mask."""
    return tf.math.unsorted_segment_sum(found.ends - found.starts, found.rows, num_masks)


def corners(
    found: boundaries.ForegroundRuns, num_masks: tf.Tensor, height: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns int32 [N, 2] x and y of the first and of the last pixel of the box.

    An empty mask has the first at 0, 0 and the last at −1, −1.
    """
    height = tf.maximum(height, 1)
    first, last = found.starts, found.ends - 1
    x_first, x_last = tf.truncatediv(first, height), tf.truncatediv(last, height)
    # a run that goes on in another column touches the bottom of the one and the top of the other
    within = tf.equal(x_first, x_last)
    y_first = tf.where(within, first - x_first * height, 0)
    y_last = tf.where(within, last - x_last * height, height - 1)
    # One column at a time: TensorFlow takes eight times as long for rows of a few numbers.
    low = [tf.math.unsorted_segment_min(x, found.rows, num_masks) for x in (x_first, y_first)]
    last = [tf.math.unsorted_segment_max(x, found.rows, num_masks) for x in (x_last, y_last)]
    empty = last[0] < low[0]
    low = tf.stack([tf.where(empty, 0, side) for side in low], 1)
    return low, tf.stack([tf.where(empty, -1, side) for side in last], 1)
