"""Every mask against every mask, from the runs: intersection, IoU, non-maximum suppression.

The number of foreground pixels before a position is found by one binary search (`number_line`), so
the intersection of two masks is a sum over the runs of one of them: pixels of the other before the
run's end, less those before its start. Only pairs whose boxes touch are looked at, the mask with
fewer runs in the common columns is walked, and pairs are taken in portions, so that memory does not
grow with their number.
"""

from __future__ import annotations

import tensorflow as tf

from segment_anything_tfds.ops import validate
from segment_anything_tfds.ops.rle import measure
from segment_anything_tfds.ops.rle.core import boundaries, number_line, ranges

PORTION = 1 << 18  # runs walked together, so that their tensors take some 30 MB


@boundaries.takes_masks
def intersection_area(a: tf.Tensor, b: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """Counts the pixels that every mask of `a` shares with every mask of `b`.

    Args:
      a: string [N], compressed COCO RLE.
      b: string [M], compressed COCO RLE.
      size: integer [2], [height, width] of all masks, in pixels.

    Returns:
      int32 [N, M], in pixels. Zero masks give [0, M] or [N, 0].

    Raises:
      ValueError: wrong dtypes or static shapes.
      tf.errors.InvalidArgumentError: a malformed string, or a size that it does not fill.

    Example:
      >>> rle.intersection_area(['52203'], ['52203', '`0'], [4, 4]).numpy()
      array([[4, 0]], dtype=int32)
    """
    return compare('rle.intersection_area', a, b, size)[0]


@boundaries.takes_masks
def iou(
    a: tf.Tensor, b: tf.Tensor, size: tf.Tensor, *, crowd: tf.Tensor | None = None
) -> tf.Tensor:
    """Divides intersection by union, for every mask of `a` with every mask of `b`.

    The same numbers as `pycocotools.mask.iou(a, b, crowd)`, rounded to float32; two empty masks
    have an IoU of 0.

    Args:
      a: string [N], compressed COCO RLE: the detections.
      b: string [M], compressed COCO RLE: the ground truth.
      size: integer [2], [height, width] of all masks, in pixels.
      crowd: bool [M], marks masks of `b` that stand for a crowd: the divisor is then the area of
        the mask of `a` alone.

    Returns:
      float32 [N, M], 0 to 1. Zero masks give [0, M] or [N, 0].

    Raises:
      ValueError: wrong dtypes or static shapes.
      tf.errors.InvalidArgumentError: a malformed string, a size that it does not fill, or a `crowd`
        of another length than `b`.

    Example:
      >>> rle.iou(['52203'], ['52203', '`0'], [4, 4]).numpy()
      array([[1., 0.]], dtype=float32)
    """
    common, areas_a, areas_b = compare('rle.iou', a, b, size)
    # int64: the areas of two masks together can pass 2³¹
    areas_a, areas_b = tf.cast(areas_a, tf.int64), tf.cast(areas_b, tf.int64)
    common = tf.cast(common, tf.int64)
    divisor = areas_a[:, tf.newaxis] + areas_b - common
    if crowd is not None:
        crowd = _checked_crowd(crowd, tf.size(areas_b))
        divisor = tf.where(crowd, areas_a[:, tf.newaxis], divisor)
    ratio = tf.math.divide_no_nan(tf.cast(common, tf.float64), tf.cast(divisor, tf.float64))
    return tf.cast(ratio, tf.float32)


@boundaries.takes_masks
def nms(
    counts: tf.Tensor,
    scores: tf.Tensor,
    size: tf.Tensor,
    threshold: float,
    *,
    max_masks: int | None = None,
) -> tf.Tensor:
    """Drops masks that overlap a better one: greedy non-maximum suppression by mask IoU.

    Masks are taken by falling score (at equal scores, the earlier one first); one is dropped if its
    IoU with a mask that was kept is greater than `threshold`.

    Args:
      counts: string [N], compressed COCO RLE.
      scores: float [N], infinite ones included, without NaN.
      size: integer [2] or [N, 2], [height, width] in pixels.
      threshold: the largest IoU that two kept masks may have, 0 to 1.
      max_masks: keep at most so many.

    Returns:
      int32 [K], indices of the kept masks, by falling score. Zero masks give [0].

    Raises:
      ValueError: wrong dtypes or static shapes, a `threshold` outside 0..1, `max_masks` below 1.
      tf.errors.InvalidArgumentError: a malformed string, a size that it does not fill, or `scores`
        of another length than `counts` or with a NaN among them.

    Example:
      >>> rle.nms(['52203', '52203', '`0'], [0.5, 0.9, 0.1], [4, 4], 0.7).numpy()
      array([1, 2], dtype=int32)
    """
    threshold = validate.between('rle.nms', 'threshold', threshold, 0, 1)
    if max_masks is not None:
        max_masks = validate.positive_int('rle.nms', 'max_masks', max_masks)
    masks = boundaries.read('rle.nms', counts, size)
    num_masks = masks.number
    scores = _checked_scores(scores, num_masks)
    common, areas, _ = compare('rle.nms', masks, masks, size)
    common, areas = tf.cast(common, tf.float64), tf.cast(areas, tf.float64)
    overlaps = tf.math.divide_no_nan(common, areas[:, tf.newaxis] + areas - common)
    return tf.image.non_max_suppression_overlaps(
        tf.cast(overlaps, tf.float32),
        scores,
        num_masks if max_masks is None else max_masks,
        overlap_threshold=threshold,
    )


def _checked_scores(scores: tf.Tensor, num_masks: tf.Tensor) -> tf.Tensor:
    """Returns float32 [N], finite from below: TensorFlow drops what scores no more than −∞."""
    scores = validate.float_vector('rle.nms', 'scores', scores)
    num_scores, is_nan = tf.size(scores), tf.math.is_nan(scores)

    def wrong_number():
        return tf.strings.format(
            'expected `scores` of shape [{}], one a mask; got {} of them. Pass one score a mask.',
            [num_masks, num_scores],
        )

    def without_rank():
        return tf.strings.format(
            'expected `scores` that are numbers; got NaN at index {}. Leave such masks out first.',
            [validate.first_true(is_nan)],
        )

    checks = [
        (tf.equal(num_masks, num_scores), wrong_number),
        (~tf.reduce_any(is_nan), without_rank),
    ]
    with tf.control_dependencies(validate.first_fault('rle.nms', checks)):
        return tf.maximum(scores, scores.dtype.min)


def _checked_crowd(crowd: tf.Tensor, expected: tf.Tensor) -> tf.Tensor:
    crowd = validate.vector('rle.iou', 'crowd', crowd, tf.bool)
    got = tf.size(crowd)

    def describe():
        return tf.strings.format(
            'expected `crowd` of shape [{}], one a mask of `b`; got {} of them. '
            'Pass one flag a mask of `b`.',
            [expected, got],
        )

    check = (tf.equal(got, expected), describe)
    with tf.control_dependencies(validate.first_fault('rle.iou', [check])):
        return tf.identity(crowd)


def compare(
    where: str,
    a: tf.Tensor | boundaries.Masks,
    b: tf.Tensor | boundaries.Masks,
    size: tf.Tensor | None,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Returns int32 [N, M] common pixels, and areas [N] and [M]; `where` is named in errors."""
    one, two = boundaries.read_two(where, a, b, size)
    areas = measure.areas(one.found, one.number)
    if one is two:
        line = number_line.lay_out(one.found, one.number, one.height, one.width)
        upper = _intersections(line, one.number, one.number, one.height, symmetric=True)
        return tf.linalg.set_diag(upper + tf.transpose(upper), areas), areas, areas
    height, width = tf.maximum(one.height, two.height), tf.maximum(one.width, two.width)
    both = boundaries.ForegroundRuns(
        tf.concat([one.found.rows, two.found.rows + one.number], 0),
        tf.concat([one.found.starts, two.found.starts], 0),
        tf.concat([one.found.ends, two.found.ends], 0),
    )
    line = number_line.lay_out(both, one.number + two.number, height, width)
    common = _intersections(line, one.number, two.number, height)
    return common, areas, measure.areas(two.found, two.number)


def _intersections(line: number_line.Line, num_a, num_b, height, *, symmetric=False) -> tf.Tensor:
    """Returns int32 [N, M]; the masks of b are the last M of the line.

    With `symmetric`, a is b, and only what lies above the diagonal is filled in.
    """
    first_b = tf.shape(line.low)[0] - num_b
    (x, x_last), (y, y_last) = (
        (
            tf.maximum(line.low[:num_a, tf.newaxis, side], line.low[first_b:, side]),
            tf.minimum(line.last[:num_a, tf.newaxis, side], line.last[first_b:, side]),
        )
        for side in range(2)
    )
    near = (x <= x_last) & (y <= y_last)
    if symmetric:
        near &= tf.range(num_a)[:, tf.newaxis] < tf.range(num_a)
    pairs = tf.where(near)
    sums = _walk(
        line,
        pairs + [0, tf.cast(first_b, tf.int64)],
        tf.cast(tf.gather_nd(x, pairs) * height, tf.int64),
        tf.cast((tf.gather_nd(x_last, pairs) + 1) * height, tf.int64),
    )
    return tf.scatter_nd(pairs, tf.cast(sums, tf.int32), tf.cast([num_a, num_b], tf.int64))


def _walk(line: number_line.Line, pairs: tf.Tensor, begin: tf.Tensor, stop: tf.Tensor) -> tf.Tensor:
    """Returns int64 [P], common pixels of each pair, which lie in positions [begin, stop)."""
    # Two masks of 16 pixels: 0 has the runs [1, 7) and [9, 11), 1 has [5, 8), on the line [21, 24).
    # Mask 1 has fewer, so its run is moved by 0 - 16 to where mask 0 lies, [5, 8). Foreground
    # before 8 less foreground before 5: 6 - 4 = 2 common pixels.
    # A run that begins before `begin` or ends after `stop` is walked whole: the other mask has no
    # pixel out there.
    offsets = pairs * line.pixels
    first = ranges.rank(line.ends, offsets + begin[:, tf.newaxis], side='right')
    after = ranges.rank(line.starts, offsets + stop[:, tf.newaxis], side='left')
    swap = tf.less((after - first)[:, 1], (after - first)[:, 0])
    first = tf.where(swap, first[:, 1], first[:, 0])
    after = tf.where(swap, after[:, 1], after[:, 0])
    shift = tf.where(swap, offsets[:, 0] - offsets[:, 1], offsets[:, 1] - offsets[:, 0])
    splits = tf.concat([[0], tf.cumsum(after - first)], 0)

    def portion(done, sums):
        upto = ranges.rank(splits, splits[done] + PORTION, side='right') - 1
        # one pair at least, even if it alone is more than a portion
        upto = tf.minimum(tf.maximum(upto, done + 1), tf.size(shift, tf.int64))
        part = _walk_portion(line, first[done:upto], after[done:upto], shift[done:upto])
        return upto, tf.concat([sums, part], 0)

    return tf.while_loop(
        lambda done, _: done < tf.size(shift, tf.int64),
        portion,
        (tf.constant(0, tf.int64), tf.zeros([0], tf.int64)),
        shape_invariants=(tf.TensorShape([]), tf.TensorShape([None])),
    )[1]


def _walk_portion(line: number_line.Line, first, after, shift) -> tf.Tensor:
    walked = tf.raw_ops.RaggedRange(starts=first, limits=after, deltas=tf.constant(1, tf.int64))
    runs, splits = walked.rt_dense_values, walked.rt_nested_splits
    shift = ranges.repeat(shift, ranges.row_sizes(splits))
    positions = tf.stack([ranges.take(line.starts, runs), ranges.take(line.ends, runs)]) + shift
    return _sums(number_line.foreground_before(line, positions), splits)


def _sums(before: tf.Tensor, splits: tf.Tensor) -> tf.Tensor:
    total = tf.pad(tf.cumsum(before[1] - before[0]), [[1, 0]])
    return ranges.take(total, splits[1:]) - ranges.take(total, splits[:-1])
