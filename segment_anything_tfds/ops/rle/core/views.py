"""Which part of an image a result shows, and where: one geometry for both ways of resizing."""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from segment_anything_tfds.ops import validate
from segment_anything_tfds.ops.rle.core import boundaries, drawing, ranges

MAX_OUTPUT = 2**33  # bytes of one result
MAX_SIDE = 2**20  # of image and target, where they differ: look-up tables are that long


class Axis(NamedTuple):
    """One axis of a view: `extent` source pixels from `start` on fill `content` target pixels.

    Attributes:
      start, extent: scalars, both int64 or both float64, in source pixels.
      offset, content: int32 scalars, in target pixels.
      source, target: int32 scalars, pixels of the image and of the result.
    """

    start: tf.Tensor
    extent: tf.Tensor
    offset: tf.Tensor
    content: tf.Tensor
    source: tf.Tensor
    target: tf.Tensor

    def samples_before(self) -> tf.Tensor:
        """Returns int32 [source + 1], content pixels whose centre lies before each source pixel."""
        # 5 pixels on 3: centres at 1/6, 3/6 and 5/6 of 5 lie in pixels 0, 2 and 4, so before the
        # pixels 0 to 5 there are 0 1 1 2 2 3 of them: pixels 1 and 3 are not sampled.
        content = tf.cast(self.content, self.start.dtype)
        centre = 2 * tf.range(content) + 1
        if self.start.dtype.is_integer:
            sampled = self.start + centre * self.extent // (2 * content)
        else:
            sampled = tf.floor(self.start + centre * self.extent / (2 * content))
        return tf.searchsorted(sampled, tf.cast(tf.range(self.source + 1), sampled.dtype))

    def to_content(self, positions: tf.Tensor) -> tf.Tensor:
        """Maps source pixels to content pixels; float64, like `positions`."""
        start, extent = (tf.cast(part, tf.float64) for part in (self.start, self.extent))
        scale = tf.cast(self.content, tf.float64) / extent
        return (tf.cast(positions, tf.float64) - start) * scale


class View(NamedTuple):
    """Both axes, and whether left and right are swapped."""

    y: Axis
    x: Axis
    flip: tf.Tensor


def limit_output(
    where: str, num_masks: tf.Tensor, target: tf.Tensor, itemsize: int
) -> list[tf.Operation]:
    """Checks that N × h × w values fit `MAX_OUTPUT`, and a mask and all columns `MAX_PIXELS`."""
    target = tf.cast(target, tf.int64)
    height, width = tf.unstack(tf.clip_by_value(target, 0, boundaries.MAX_PIXELS))
    # `drawing` numbers the columns of all masks in int32, one more a mask than are drawn. Divided,
    # not multiplied, since N × height × width may pass int64.
    divisor = tf.maximum(tf.cast(num_masks, tf.int64), 1)
    fits = (height * width <= boundaries.MAX_PIXELS) & (width < boundaries.MAX_PIXELS // divisor)
    fits &= tf.minimum(height * width, boundaries.MAX_PIXELS) <= MAX_OUTPUT // itemsize // divisor

    def describe():
        return tf.strings.format(
            'expected a result of at most {} bytes, {} pixels a mask and as many columns in all; '
            'got {} masks of {} at {} bytes a pixel. Draw fewer masks at a time, or smaller.',
            [
                tf.constant(MAX_OUTPUT, tf.int64),
                tf.constant(boundaries.MAX_PIXELS),
                num_masks,
                target,
                tf.constant(itemsize),
            ],
        )

    return validate.first_fault(where, [(fits, describe)])


def make(
    where: str,
    size: tf.Tensor,
    target_size: tf.Tensor,
    window: tf.Tensor | None,
    placement: tf.Tensor | None,
    flip: tf.Tensor | bool,
) -> View:
    """Checks the arguments of `rle.decode_resized` and returns the view.

    Args:
      where: the public function to name in errors.
      size: int32 [2], of the image.
      target_size: integer [2].
      window: integer or float [4], or None for the whole image.
      placement: integer [4], or None for the whole result.
      flip: bool scalar.
    """
    target = validate.integers(where, 'target_size', target_size)
    validate.static_shape(where, 'target_size', target, [(2,)], '[2]')
    target = tf.ensure_shape(target, [2])
    window = _window(where, size, window)
    if placement is None:
        placement = tf.concat([[0, 0], target], 0)
    placement = validate.integers(where, 'placement', placement)
    validate.static_shape(where, 'placement', placement, [(4,)], '[4]')
    placement = tf.ensure_shape(placement, [4])
    flip = tf.convert_to_tensor(flip)
    if not flip.dtype.is_bool:
        raise ValueError(f'{where}: expected `flip` of bool; got {flip.dtype.name}. Cast it.')
    validate.static_shape(where, 'flip', flip, [()], '[]')
    checks = _checks_of(size, target, window, placement)
    with tf.control_dependencies(validate.first_fault(where, checks)):
        placement, target = tf.cast(placement, tf.int32), tf.cast(target, tf.int32)
        window = tf.identity(window)
    y, x = (
        Axis(window[k], window[k + 2], placement[k], placement[k + 2], size[k], target[k])
        for k in range(2)
    )
    return View(y, x, flip)


def _window(where: str, size: tf.Tensor, window: tf.Tensor | None) -> tf.Tensor:
    if window is None:
        return tf.concat([[0, 0], tf.cast(tf.maximum(size, 1), tf.int64)], 0)
    window = tf.convert_to_tensor(window)
    if not (window.dtype.is_integer or window.dtype.is_floating):
        raise ValueError(
            f'{where}: expected `window` of numbers; got {window.dtype.name}. '
            'Pass [y, x, height, width] in pixels.'
        )
    validate.static_shape(where, 'window', window, [(4,)], '[4]')
    window = tf.ensure_shape(window, [4])
    return tf.cast(window, tf.int64 if window.dtype.is_integer else tf.float64)


def _checks_of(size, target, window, placement) -> list[validate.Check]:
    room = target - placement[:2]
    inside = (placement >= 0) & (placement <= MAX_SIDE)
    limit = tf.cast(boundaries.MAX_PIXELS, window.dtype)

    def wrong_source():
        return tf.strings.format(
            'expected `size` of sides of at most {}; got {}. Decode and resize the image itself.',
            [tf.constant(MAX_SIDE), size],
        )

    def wrong_target():
        return tf.strings.format(
            'expected `target_size` [height, width] from 1 to {}; got {}. Pass pixels.',
            [tf.constant(MAX_SIDE), target],
        )

    def wrong_window():
        return tf.strings.format(
            'expected `window` [y, x, height, width], finite and with a positive extent; got {}. '
            'Pass source pixels.',
            [window],
        )

    def wrong_placement():
        return tf.strings.format(
            'expected `placement` [y, x, height, width], not empty and inside the target {}; '
            'got {}. Pass target pixels.',
            [target, placement],
        )

    placed = inside & tf.concat([room >= 1, (placement[2:] >= 1) & (placement[2:] <= room)], 0)
    return [
        (tf.reduce_all(size <= MAX_SIDE), wrong_source),
        (tf.reduce_all((target >= 1) & (target <= MAX_SIDE)), wrong_target),
        (tf.reduce_all(tf.abs(window) <= limit) & tf.reduce_all(window[2:] > 0), wrong_window),
        (tf.reduce_all(placed), wrong_placement),
    ]


def sample(
    found: boundaries.ForegroundRuns, view: View
) -> tuple[boundaries.ForegroundRuns, drawing.Grid]:
    """Moves runs onto the grid of those source columns and target rows that are sampled.

    Runs that no sample hits drop out here, before anything is expanded. A column that several
    target columns sample stays one column; the grid's edges say how wide it is drawn.
    """
    rows, columns = view.y.samples_before(), view.x.samples_before()
    source_height = tf.maximum(view.y.source, 1)
    hit = tf.cast(columns[1:] > columns[:-1], tf.int32)
    found = _in_sampled_columns(found, source_height, hit)
    # With 5 columns on 3, as above, hit is 1 0 1 0 1, and the columns that are kept begin at
    # 0 h h 2h 2h: what lies in a column that is not hit shrinks to nothing at the next one's start.
    height = rows[-1] - rows[0]
    first = height * tf.cumsum(tf.pad(hit, [[0, 1]]), exclusive=True)
    span = tf.stack([found.starts, found.ends])
    column = tf.truncatediv(span, source_height)
    row = ranges.take(rows - rows[0], span - column * source_height)
    span = ranges.take(first, column) + row * ranges.take(tf.pad(hit, [[0, 1]]), column)
    moved = boundaries.select(
        boundaries.ForegroundRuns(found.rows, span[0], span[1]), span[0] < span[1]
    )
    edges = tf.concat([tf.boolean_mask(columns[:-1], hit > 0), columns[-1:]], 0)
    edges = view.x.offset + tf.where(view.flip, view.x.content - edges, edges)
    size = tf.stack([view.y.target, view.x.target])
    return moved, drawing.Grid(height, edges, view.y.offset + rows[0], size)


def _in_sampled_columns(found: boundaries.ForegroundRuns, height, hit) -> boundaries.ForegroundRuns:
    """Drops most of what no sample hits, which is cheaper here: short runs in other columns."""
    column = tf.truncatediv(found.starts, height)
    longer = found.ends > (column + 1) * height
    return boundaries.select(found, longer | (ranges.take(hit, column) > 0))
