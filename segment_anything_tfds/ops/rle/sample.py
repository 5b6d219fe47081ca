"""Random points in masks, straight from the runs."""

from __future__ import annotations

import tensorflow as tf

from segment_anything_tfds.ops import validate
from segment_anything_tfds.ops.rle.core import boundaries, number_line, ranges

LABELS = ('foreground', 'background', 'boundary-far')
RESOLUTION = 64  # columns and rows looked at for the point farthest from the boundary


@boundaries.takes_masks
def sample_points(
    counts: tf.Tensor,
    size: tf.Tensor,
    num_points: int,
    *,
    seed: tf.Tensor,
    label: str = 'foreground',
) -> tuple[tf.Tensor, tf.Tensor]:
    """Draws points of each mask at random, with replacement, without drawing the mask.

    Coordinates are whole numbers, x first: 3.0 is the centre of pixel column 3, as in SAM, whose
    prompt encoder adds the half pixel itself. To move points to an image scaled by s, use
    `(point + 0.5) * s - 0.5`.

    | label | points |
    |---|---|
    | `foreground` | uniform over the pixels of the mask |
    | `background` | uniform over the pixels outside the mask |
    | `boundary-far` | the pixel of the mask farthest from any pixel outside it (pixels beyond the |
    | | image count as outside), as in SAM 2's evaluation; the seed chooses among equals |

    `boundary-far` is exact for masks whose box has at most 64 columns and 64 rows. Larger ones are
    looked at in 64 evenly spaced columns and rows of their box, where vertical distances are exact
    and horizontal ones count in whole columns: gaps narrower than the spacing may be missed.

    Args:
      counts: string [N], compressed COCO RLE.
      size: integer [2] or [N, 2], [height, width] in pixels.
      num_points: Python int P ≥ 1, points of each mask.
      seed: integer [2]. Equal seeds give equal points.
      label: `'foreground'`, `'background'` or `'boundary-far'`.

    Returns:
      `point_coords`, float32 [N, P, 2], x and y in pixels, and `point_labels`, int32 [N, P]: 1 for
      a point in the mask, 0 for one outside, −1 (SAM's padding) with coordinates 0, 0 where there
      is no such pixel: an empty mask, or one that fills the image. Zero masks give [0, P, 2] and
      [0, P].

    Raises:
      ValueError: an unknown label, a `num_points` that is not a positive int, a seed of another
        shape than [2], wrong dtypes or static shapes.
      tf.errors.InvalidArgumentError: a malformed string, or a size that it does not fill.

    Example:
      >>> points, labels = rle.sample_points(['52203', '`0'], [4, 4], 1, seed=[1, 2])
      >>> labels.numpy().tolist()
      [[1], [-1]]
    """
    name = 'rle.sample_points'
    num_points = validate.positive_int(name, 'num_points', num_points)
    validate.choice(name, 'label', label, LABELS)
    seed = validate.seed(name, seed)
    masks = boundaries.read(name, counts, size)
    bits = tf.random.stateless_uniform(
        [masks.number, num_points], seed, minval=None, maxval=None, dtype=tf.int64, alg='philox'
    )
    bits &= tf.int64.max  # 63 bits: the modulus below is uniform to 2⁻³²
    height = tf.cast(tf.maximum(masks.height, 1), tf.int64)
    if label == 'boundary-far':
        line = number_line.lay_out(masks.found, masks.number, masks.height, masks.width)
        position, found = _farthest(line, bits, height)
    else:
        position, found = _uniform(masks, bits, label == 'foreground')
    position = tf.where(found, position, 0)
    points = tf.cast(tf.stack([position // height, position % height], 2), tf.float32)
    labels = tf.where(found, 0 if label == 'background' else 1, -1)
    return points, tf.ensure_shape(labels, [None, num_points])


def _uniform(
    masks: boundaries.Masks, bits: tf.Tensor, foreground: bool
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns int64 [N, P] positions in their mask, and bool [N, P], whether there is one.

    Foreground pixels are numbered on from mask to mask, and so are the others. A pixel's number
    tells its run, and how far it is from there:

        runs [5, 7), [9, 11) and [0, 4) of two masks of 16     before them 0 2 | 4, in all 8
        foreground pixel 3     from 2 on it is the second run's: 3 - 2 = 1 after 9 is 10
        background pixel 6     5 lie before the first run, 7 before the second: 6 + 2 = 8
    """
    number, found = masks.number, masks.found
    # Of each mask, `first` numbers its first foreground (or background) pixel, `splits` its first
    # run, and `offset` its first pixel of any kind.
    pixels = tf.cast(masks.height, tf.int64) * tf.cast(masks.width, tf.int64)
    before = tf.pad(tf.cumsum(tf.cast(found.ends - found.starts, tf.int64)), [[1, 0]])
    starts = tf.cast(found.starts, tf.int64)
    splits = ranges.rank(found.rows, tf.range(number + 1), side='left')
    first = ranges.take(before, splits)
    offset = tf.range(tf.cast(number, tf.int64) + 1) * pixels
    if not foreground:
        first = offset - first
    choices = (first[1:] - first[:-1])[:, tf.newaxis]
    pixel = first[:-1, tf.newaxis] + bits % tf.maximum(choices, 1)
    if foreground:
        run = ranges.rank(before, pixel, side='right') - 1
        position = ranges.take(tf.pad(starts, [[0, 1]]), run) + pixel - ranges.take(before, run)
    else:
        gaps = ranges.take(offset, found.rows) + starts - before[:-1]
        position = pixel - offset[:-1, tf.newaxis]
        position += ranges.take(before, ranges.rank(gaps, pixel, side='right'))
    return position, tf.broadcast_to(choices > 0, tf.shape(bits))


def _farthest(
    line: number_line.Line, bits: tf.Tensor, height: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Finds, as `_uniform`, a position of each mask: the one farthest from any pixel outside."""
    columns, rows = (
        _spread(line.low[:, 0], line.last[:, 0]),
        _spread(line.low[:, 1], line.last[:, 1]),
    )
    offset = tf.range(tf.shape(bits, tf.int64)[0]) * line.pixels

    def squared_distances(arguments):
        low, last, columns, rows, offset = arguments
        # Columns of a row, 2 1 3 pixels from the edge above or below: the last one is nearest to
        # the edge at the middle one, 1 across and 1 down, whose square is 2, and not 3 x 3.
        vertical = _vertical_distances(line, last, columns, rows, offset, height)
        across = tf.square(tf.cast(columns[:, tf.newaxis] - columns, tf.float32))
        nearest = tf.reduce_min(tf.square(vertical)[:, tf.newaxis] + across, axis=2)
        to_side = tf.minimum(columns - low[0], last[0] - columns) + 1
        return tf.minimum(nearest, tf.square(tf.cast(to_side, tf.float32)))

    squared = tf.map_fn(
        squared_distances,
        (tf.cast(line.low, tf.int64), tf.cast(line.last, tf.int64), columns, rows, offset),
        fn_output_signature=tf.TensorSpec([RESOLUTION, RESOLUTION], tf.float32),
    )
    # Of equals each is drawn alike. Squares 1 4 2 4: the largest are numbered 0 1 1 2, and of these
    # the first cell with number 1, or with number 2, is taken.
    squared = tf.reshape(squared, [-1, RESOLUTION * RESOLUTION])
    largest = tf.reduce_max(squared, 1, keepdims=True)
    equals = tf.cumsum(tf.cast(tf.equal(squared, largest), tf.int64), axis=1)
    cell = tf.raw_ops.LowerBound(
        sorted_inputs=equals, values=bits % equals[:, -1:] + 1, out_type=tf.int64
    )
    x = tf.gather(columns, cell % RESOLUTION, batch_dims=1)
    y = tf.gather(rows, cell // RESOLUTION, batch_dims=1)
    return x * height + y, tf.broadcast_to(largest > 0, tf.shape(bits))


def _spread(low: tf.Tensor, last: tf.Tensor) -> tf.Tensor:
    """Returns int64 [N, RESOLUTION], coordinates from `low` on: all of them, or evenly spaced ones.

    Where there are fewer than RESOLUTION, the rest lie past `last`.
    """
    low, last = tf.cast(low[:, tf.newaxis], tf.int64), tf.cast(last[:, tf.newaxis], tf.int64)
    step = tf.range(RESOLUTION, dtype=tf.int64)
    extent = tf.maximum(last - low + 1, RESOLUTION)
    return low + (2 * step + 1) * extent // (2 * RESOLUTION)


def _vertical_distances(line, last, columns, rows, offset, height) -> tf.Tensor:
    """Returns float32 [row, column], pixels to the nearest one outside in the same column, or 0."""
    top = offset + columns * height
    position = top + rows[:, tf.newaxis]
    run = ranges.rank(line.starts, position, side='right') - 1
    start = tf.maximum(ranges.take(line.starts, run), top)
    end = tf.minimum(ranges.take(line.ends, run), top + height)
    # In a run [2, 5) the rows 2, 3, 4 are 1, 2, 1 from the nearest one outside; between runs, `end`
    # lies before the position, and what comes out is not above 0.
    distance = tf.minimum(position - start + 1, end - position)
    inside = (columns <= last[0]) & (rows <= last[1])[:, tf.newaxis]
    return tf.cast(tf.where(inside, tf.maximum(distance, 0), 0), tf.float32)
