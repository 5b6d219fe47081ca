"""Non-maximum suppression of boxes."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from segment_anything_tfds.ops import box_formats, validate


@tf.autograph.experimental.do_not_convert
def nms(
    boxes: tf.Tensor,
    scores: tf.Tensor,
    threshold: float,
    *,
    box_format: str = 'xyxy',
    max_boxes: int | None = None,
) -> tf.Tensor:
    """Drops boxes that overlap a better one, by IoU; the same indices as `torchvision.ops.nms`.

    Boxes are taken by falling score (at equal scores, the earlier one first); one is dropped if its
    IoU with a box that was kept is greater than `threshold`. IoU is computed in the precision of
    the boxes, and compared with `threshold` in full precision, as torchvision does on a CPU. A box
    without area overlaps nothing. Boxes in float64 take a loop, which is slower.

    Args:
      boxes: [N, 4], in `box_format`.
      scores: float [N], infinite ones included, without NaN.
      threshold: the largest IoU that two kept boxes may have, 0 to 1.
      box_format: One of `FORMATS` that is in pixels. Meta's generator suppresses boxes that end on
        their last pixel by the area between the corners: pass `'xyxy'` for the same result.
      max_boxes: keep at most so many.

    Returns:
      int32 [K], indices of the kept boxes, by falling score. Zero boxes give [0].

    Raises:
      ValueError: An unknown or fractional format, boxes that are not [N, 4], scores that are not
        float [N], a `threshold` outside 0..1, `max_boxes` below 1.
      tf.errors.InvalidArgumentError: `scores` of another length than `boxes`, or NaN in either.

    Example:
      >>> corners = [[0., 0., 4., 4.], [0., 0., 4., 3.], [9., 9., 10., 10.]]
      >>> boxes.nms(corners, [0.5, 0.9, 0.1], 0.7).numpy()
      array([1, 2], dtype=int32)
    """
    threshold = validate.between('boxes.nms', 'threshold', threshold, 0, 1)
    if max_boxes is not None:
        max_boxes = validate.positive_int('boxes.nms', 'max_boxes', max_boxes)
    xyxy = box_formats.pixel_boxes('boxes.nms', boxes, box_format)
    validate.static_shape('boxes.nms', 'boxes', xyxy, [(None, 4)], '[N, 4]')
    given = tf.convert_to_tensor(scores)
    scores = validate.float_vector('boxes.nms', 'scores', given)
    with tf.control_dependencies(_score_checks(xyxy, scores)):
        num_boxes = tf.shape(xyxy)[0]
    if given.dtype == tf.float64:
        scores = -tf.cast(tf.argsort(_falling(given)), tf.float32)  # a box's place, as its score
    if xyxy.dtype == tf.float64:
        with tf.control_dependencies([num_boxes]):
            kept = _nms_in_double(xyxy, _falling(scores), tf.constant(threshold, tf.float64))
        return kept[:max_boxes]
    xyxy = tf.cast(xyxy, tf.float32)
    # TensorFlow turns boxes over whose end comes first; without area they overlap nothing.
    xyxy = tf.concat([xyxy[:, :2], tf.maximum(xyxy[:, :2], xyxy[:, 2:])], 1)
    # TensorFlow compares in float32: x > 0.3 is x > the largest float32 that is at most 0.3.
    limit = np.float32(threshold)
    if float(limit) > threshold:
        limit = np.nextafter(limit, np.float32(-1))
    with tf.device('CPU:0'):  # other kernels may order equal scores otherwise
        return tf.raw_ops.NonMaxSuppressionV3(
            boxes=xyxy,
            scores=tf.maximum(scores, scores.dtype.min),
            max_output_size=num_boxes if max_boxes is None else max_boxes,
            iou_threshold=limit,
            score_threshold=-np.inf,
        )


def _falling(scores: tf.Tensor) -> tf.Tensor:
    """Gives int32 [N], the indices by falling score; of equal ones the earlier first."""
    return tf.argsort(scores, direction='DESCENDING', stable=True)


@tf.function(
    autograph=False,
    input_signature=[
        tf.TensorSpec([None, 4], tf.float64),
        tf.TensorSpec([None], tf.int32),
        tf.TensorSpec([], tf.float64),
    ],
)
def _nms_in_double(xyxy: tf.Tensor, order: tf.Tensor, threshold: tf.Tensor) -> tf.Tensor:
    """Gives indices of the kept boxes, for boxes in float64, which TensorFlow's kernel has not."""
    left, top, right, bottom = tf.unstack(tf.gather(xyxy, order), axis=1)
    area = (right - left) * (bottom - top)
    num_boxes = tf.size(order)
    places = tf.range(num_boxes)

    def drop(place, kept):
        width = tf.minimum(right, right[place]) - tf.maximum(left, left[place])
        height = tf.minimum(bottom, bottom[place]) - tf.maximum(top, top[place])
        overlap = tf.nn.relu(width) * tf.nn.relu(height)
        over = tf.math.divide_no_nan(overlap, area + area[place] - overlap) > threshold
        kept &= (places <= place) | ~over
        return tf.reduce_min(tf.where(kept & (places > place), places, num_boxes)), kept

    # kept 1 1 1 1 -> place 0 drops 2: 1 1 0 1 -> place 1 drops none -> place 3, the last.
    everything = tf.fill([num_boxes], True)
    _, kept = tf.while_loop(lambda place, _: place < num_boxes, drop, [0, everything])
    return tf.boolean_mask(order, kept)


def _score_checks(boxes: tf.Tensor, scores: tf.Tensor) -> list[tf.Operation]:
    num_boxes, num_scores = tf.shape(boxes)[0], tf.size(scores)
    wrong = tf.reduce_any(tf.math.is_nan(boxes), axis=1)

    def wrong_number():
        return tf.strings.format(
            'expected `scores` of shape [{}], one a box; got {} of them. Pass one score a box.',
            [num_boxes, num_scores],
        )

    def without_rank():
        return tf.strings.format(
            'expected `scores` that are numbers; got NaN at index {}. Leave such boxes out first.',
            [validate.first_true(tf.math.is_nan(scores))],
        )

    def without_place():
        return tf.strings.format(
            'expected `boxes` of numbers; got NaN at index {}. Leave such boxes out first.',
            [validate.first_true(wrong)],
        )

    return validate.first_fault(
        'boxes.nms',
        [
            (tf.equal(num_boxes, num_scores), wrong_number),
            (~tf.reduce_any(tf.math.is_nan(scores)), without_rank),
            (~tf.reduce_any(wrong), without_place),
        ],
    )
