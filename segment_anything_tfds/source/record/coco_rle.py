"""COCO run-length encoding in NumPy: the checks of the build, and a twin of `ops.rle`.

A mask is read column by column; runs of zeros and ones alternate, zeros first, and sum to height x
width. Compressed `counts` hold six bits a character from 48 on: five of payload, low first, and
0x20 where more follow; 0x10 of a number's last character is its sign. From the fourth run on, a
run is stored as its difference to the run two before it. (Source: cocodataset/cocoapi
`common/maskApi.c`.) Nothing here needs TensorFlow, and nothing reads out of bounds.

Wherever `counts, size` stand in a signature, a dict with these two keys may stand in their place:
`decode(segmentation)`, `decode_resized(segmentation, (256, 256))`, `iou(one, other)`. A dict of one
mask, as SA-1B's JSON has it, counts as a list of one.
"""

from __future__ import annotations

from segment_anything_tfds.source.record.rle.arguments import MAX_PIXELS
from segment_anything_tfds.source.record.rle.canvas import decode, decode_resized, encode
from segment_anything_tfds.source.record.rle.components import (
    Cleaned,
    Components,
    connected_components,
    remove_small_regions,
)
from segment_anything_tfds.source.record.rle.measures import area, bbox, is_empty, run_lengths
from segment_anything_tfds.source.record.rle.nesting import LEVELS, Hierarchy, hierarchy, leaf_map
from segment_anything_tfds.source.record.rle.overlap import intersection_area, iou, nms
from segment_anything_tfds.source.record.rle.points import contains, sample_points
from segment_anything_tfds.source.record.rle.reshaping import crop, flip, normalize
from segment_anything_tfds.source.record.rle.row_runs import RowRuns, from_row_runs, to_row_runs
from segment_anything_tfds.source.record.rle.strings import PROBLEMS, Runs, encode_runs, parse

__all__ = [
    'LEVELS',
    'MAX_PIXELS',
    'PROBLEMS',
    'Cleaned',
    'Components',
    'Hierarchy',
    'RowRuns',
    'Runs',
    'area',
    'bbox',
    'connected_components',
    'contains',
    'crop',
    'decode',
    'decode_resized',
    'encode',
    'encode_runs',
    'flip',
    'from_row_runs',
    'hierarchy',
    'intersection_area',
    'iou',
    'is_empty',
    'leaf_map',
    'nms',
    'normalize',
    'parse',
    'remove_small_regions',
    'run_lengths',
    'sample_points',
    'to_row_runs',
]
