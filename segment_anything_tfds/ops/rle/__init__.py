"""COCO RLE in the input graph: masks are drawn, measured and changed without leaving TensorFlow.

Inputs are what the dataset gives: `counts` string [N], compressed COCO RLE, and `size`, uint64 or
another integer type, [2] or [N, 2], each [height, width]. All masks of one call share one size. N
may be 0 and static dimensions may be unknown. Everything works eagerly, in `tf.function`, in
`Dataset.map` and in a SavedModel: no `py_function`, no custom op. XLA has no strings, so under
`jit_compile=True` there is only `decode_runs`; make its runs before, with `to_runs`. Map over masks
of several sizes with `tf.map_fn`: `tf.vectorized_map` runs the checks' errors whether they hold or
not.

Wherever `counts, size` stand in a signature, the example's segmentation, a dict with these two
keys, may stand in their place: `rle.decode(example['annotations']['segmentation'])`,
`rle.decode_resized(segmentation, (256, 256))`, `rle.iou(one, other)`. So may what
`transforms.read_masks` gave, which is read once for several operations. Python numbers may be
scalars of NumPy too.

A malformed string, a string that does not fill its size, or a size out of range raises
`tf.errors.InvalidArgumentError`, which names the mask and the numbers, before anything larger than
the strings is allocated. Wrong dtypes and static shapes raise `ValueError` while tracing.
"""

from __future__ import annotations

import tensorflow as tf

from segment_anything_tfds.ops import validate
from segment_anything_tfds.ops.rle.core import boundaries, parsing
from segment_anything_tfds.ops.rle.decoding import decode, decode_resized, patch_shares
from segment_anything_tfds.ops.rle.device import decode_runs, to_runs
from segment_anything_tfds.ops.rle.encoding import encode
from segment_anything_tfds.ops.rle.geometry import crop, flip, pad
from segment_anything_tfds.ops.rle.measure import area, bbox, centroid, is_empty
from segment_anything_tfds.ops.rle.membership import contains, leaf_map
from segment_anything_tfds.ops.rle.pairs import intersection_area, iou, nms
from segment_anything_tfds.ops.rle.sample import sample_points
from segment_anything_tfds.ops.rle.sets import difference, intersection, union
from segment_anything_tfds.ops.rle.tree import LEVELS, Hierarchy, hierarchy


@boundaries.takes_masks
def run_lengths(counts: tf.Tensor, size: tf.Tensor | None = None) -> tf.RaggedTensor:
    """Returns the lengths of the runs of each mask.

    Runs are in column-major order, zeros first: even runs are background, odd runs are foreground.
    With no masks, the result has no rows.

    Args:
      counts: string [N], compressed COCO RLE.
      size: integer [2] or [N, 2], [height, width] in pixels, which the runs must fill; unchecked
        where not given.

    Returns:
      int32 [N, (R)], pixels.

    Raises:
      ValueError: wrong dtypes or static shapes.
      tf.errors.InvalidArgumentError: a string is malformed, or does not fill a given size.

    Example:
      >>> rle.run_lengths(['52203'])
      <tf.RaggedTensor [[5, 2, 2, 2, 5]]>
    """
    if size is None and not isinstance(counts, boundaries.Masks):
        counts = validate.vector('rle.run_lengths', 'counts', counts, tf.string)
        runs = boundaries.Runs(*parsing.parse('rle.run_lengths', counts))
    else:
        runs = boundaries.read('rle.run_lengths', counts, size).runs
    return tf.RaggedTensor.from_row_splits(runs.lengths, runs.row_splits, validate=False)


__all__ = [
    'LEVELS',
    'Hierarchy',
    'area',
    'bbox',
    'centroid',
    'contains',
    'crop',
    'decode',
    'decode_resized',
    'decode_runs',
    'difference',
    'encode',
    'flip',
    'hierarchy',
    'intersection',
    'intersection_area',
    'iou',
    'is_empty',
    'leaf_map',
    'nms',
    'pad',
    'patch_shares',
    'run_lengths',
    'sample_points',
    'to_runs',
    'union',
]
