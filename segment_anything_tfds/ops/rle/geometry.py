"""Flip, crop and pad masks, RLE in and RLE out.

Runs are cut at the ends of the columns, moved, and joined again where they touch; nothing is drawn.
Results are byte for byte what `rle.encode` gives for the same pixels.
"""

from __future__ import annotations

import tensorflow as tf

from segment_anything_tfds.ops import validate
from segment_anything_tfds.ops.rle import encoding
from segment_anything_tfds.ops.rle.core import boundaries, ranges


@boundaries.takes_masks
def flip(counts: tf.Tensor, size: tf.Tensor, *, axis: str = 'horizontal') -> tf.Tensor:
    """Mirrors masks: `horizontal` swaps left and right, `vertical` swaps top and bottom.

    Args:
      counts: string [N], compressed COCO RLE.
      size: integer [2] or [N, 2], [height, width] in pixels.
      axis: `'horizontal'` or `'vertical'`.

    Returns:
      string [N], compressed COCO RLE of the same size. Zero masks give [0].

    Raises:
      ValueError: an unknown axis, wrong dtypes or static shapes.
      tf.errors.InvalidArgumentError: a malformed string, or a size that it does not fill.

    Example:
      >>> rle.flip(['33'], [2, 3]).numpy()
      array([b'021O1'], dtype=object)
    """
    validate.choice('rle.flip', 'axis', axis, ('horizontal', 'vertical'))
    masks = boundaries.read('rle.flip', counts, size)
    height, width = masks.height, masks.width
    rows, columns, top, bottom = boundaries.cut(masks.found, height)
    # `order` turns the pieces within each column around. Left and right swapped, columns come the
    # other way and the pieces of each as before, so the mask is turned around on top of that:
    #   pieces in columns 0 0 1    numbers 0 1 2    within columns 1 0 2    and the mask 2 0 1
    order = _reversed_within(
        tf.cast(rows, tf.int64) * tf.cast(width, tf.int64) + tf.cast(columns, tf.int64)
    )
    if axis == 'vertical':
        top, bottom = height - ranges.take(bottom, order), height - ranges.take(top, order)
    else:
        order = ranges.take(order, _reversed_within(rows))
        columns = width - 1 - ranges.take(columns, order)
        top, bottom = ranges.take(top, order), ranges.take(bottom, order)
    return _join(rows, columns, top, bottom, height, width, masks.number)


@boundaries.takes_masks
def crop(counts: tf.Tensor, size: tf.Tensor, crop_box: tf.Tensor) -> tf.Tensor:
    """Cuts a window out of masks.

    Args:
      counts: string [N], compressed COCO RLE.
      size: integer [2] or [N, 2], [height, width] in pixels.
      crop_box: integer [4], x, y, width, height in pixels, inside the image (the layout of
        `crop_box` in SA-1B's JSON).

    Returns:
      string [N], compressed COCO RLE of size [height, width] of the `crop_box`. Zero masks give
      [0].

    Raises:
      ValueError: wrong dtypes or static shapes.
      tf.errors.InvalidArgumentError: a malformed string, a size that it does not fill, or a
        `crop_box` that is empty or reaches outside the image.

    Example:
      >>> rle.crop(['52203'], [4, 4], [1, 1, 2, 3]).numpy()
      array([b'02100'], dtype=object)
    """
    masks = boundaries.read('rle.crop', counts, size)
    crop_box = _checked_crop_box(crop_box, masks.height, masks.width, masks.number)
    x, y, new_width, new_height = tf.unstack(crop_box)
    rows, columns, top, bottom = boundaries.cut(masks.found, masks.height)
    columns = columns - x
    top = tf.clip_by_value(top - y, 0, new_height)
    bottom = tf.clip_by_value(bottom - y, 0, new_height)
    kept = tf.where((top < bottom) & (columns >= 0) & (columns < new_width))[:, 0]
    cut = [ranges.take(part, kept) for part in (rows, columns, top, bottom)]
    return _join(*cut, new_height, new_width, masks.number)


@boundaries.takes_masks
def pad(counts: tf.Tensor, size: tf.Tensor, paddings: tf.Tensor) -> tf.Tensor:
    """Adds background around masks.

    Args:
      counts: string [N], compressed COCO RLE.
      size: integer [2] or [N, 2], [height, width] in pixels.
      paddings: integer [2, 2], [[top, bottom], [left, right]] in pixels, as `tf.pad` takes them.

    Returns:
      string [N], compressed COCO RLE of size [top + height + bottom, left + width + right]. Zero
      masks give [0].

    Raises:
      ValueError: wrong dtypes or static shapes.
      tf.errors.InvalidArgumentError: a malformed string, a size that it does not fill, negative
        `paddings`, or a result of more than 2³¹ − 1 pixels.

    Example:
      >>> rle.pad(['04'], [2, 2], [[0, 0], [1, 0]]).numpy()
      array([b'24'], dtype=object)
    """
    masks = boundaries.read('rle.pad', counts, size)
    paddings, new_height, new_width = _checked_paddings(paddings, masks.height, masks.width)
    rows, columns, top, bottom = boundaries.cut(masks.found, masks.height)
    (above, _), (left, _) = (tf.unstack(side) for side in tf.unstack(paddings))
    return _join(
        rows,
        columns + left,
        top + above,
        bottom + above,
        new_height,
        new_width,
        masks.number,
    )


def _join(rows, columns, top, bottom, height, width, num_masks) -> tf.Tensor:
    """Joins runs that touch, which are in order, and encodes them."""
    starts, ends = columns * height + top, columns * height + bottom
    apart = tf.not_equal(rows[1:], rows[:-1]) | tf.not_equal(starts[1:], ends[:-1])
    edge = tf.ones_like(rows[:1], tf.bool)
    first, last = tf.concat([edge, apart], 0), tf.concat([apart, edge], 0)
    found = boundaries.ForegroundRuns(
        tf.boolean_mask(rows, first), tf.boolean_mask(starts, first), tf.boolean_mask(ends, last)
    )
    return encoding.foreground(found, num_masks, height, width)


def _reversed_within(groups: tf.Tensor) -> tf.Tensor:
    """Returns the indices that turn each group of equal, neighbouring, rising values around.

    Groups 4 4 4 7 begin at 0 0 0 3 and end before 3 3 3 4; both, less 1 and less the own index,
    give 2 1 0 3.
    """
    before = ranges.rank(groups, groups, side='left')
    after = ranges.rank(groups, groups, side='right')
    return before + after - 1 - tf.range(tf.size(groups, tf.int64))


def _checked_crop_box(crop_box, height, width, num_masks) -> tf.Tensor:
    crop_box = validate.integers('rle.crop', 'crop_box', crop_box)
    validate.static_shape('rle.crop', 'crop_box', crop_box, [(4,)], '[4]')
    low, extent = crop_box[:2], crop_box[2:]
    room = tf.cast(tf.stack([width, height]), tf.int64) - low
    inside = tf.reduce_all((low >= 0) & (extent >= 1) & (extent <= room))

    def describe():
        return tf.strings.format(
            'expected `crop_box` [x, y, width, height] inside the {} × {} image; got {}. '
            'Clip it first.',
            [height, width, crop_box],
        )

    check = (inside | tf.equal(num_masks, 0), describe)
    with tf.control_dependencies(validate.first_fault('rle.crop', [check])):
        return tf.cast(crop_box, tf.int32)


def _checked_paddings(paddings, height, width) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    paddings = validate.integers('rle.pad', 'paddings', paddings)
    validate.static_shape('rle.pad', 'paddings', paddings, [(2, 2)], '[2, 2]')
    in_range = tf.reduce_all((paddings >= 0) & (paddings <= boundaries.MAX_PIXELS))
    clipped = tf.clip_by_value(paddings, 0, boundaries.MAX_PIXELS)
    new_size = tf.cast(tf.stack([height, width]), tf.int64) + tf.reduce_sum(clipped, 1)
    # three terms of at most 2³¹ each: their product is compared by division
    fits = new_size[0] <= boundaries.MAX_PIXELS // tf.maximum(new_size[1], 1)

    def describe():
        return tf.strings.format(
            'expected `paddings` ≥ 0 with at most {} pixels after; got {} around {} × {}. '
            'Pad less.',
            [tf.constant(boundaries.MAX_PIXELS), paddings, height, width],
        )

    with tf.control_dependencies(validate.first_fault('rle.pad', [(in_range & fits, describe)])):
        new_size = tf.cast(new_size, tf.int32)
    return tf.cast(paddings, tf.int32), new_size[0], new_size[1]
