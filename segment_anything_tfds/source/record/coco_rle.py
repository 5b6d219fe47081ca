"""COCO run-length encoding in NumPy: the checks of the build, and a twin of `ops.rle`.

A mask is read column by column; runs of zeros and ones alternate, zeros first, and sum to height x
width. Compressed `counts` hold six bits a character from 48 on: five of payload, low first, and
0x20 where more follow; 0x10 of a number's last character is its sign. From the fourth run on, a
run is stored as its difference to the run two before it. (Source: cocodataset/cocoapi
`common/maskApi.c`.) Nothing here needs TensorFlow, and nothing reads out of bounds.
"""

from __future__ import annotations

from segment_anything_tfds.source.record.rle.canvas import decode, decode_resized, encode
from segment_anything_tfds.source.record.rle.components import (
    Cleaned,
    Components,
    connected_components,
    remove_small_regions,
)
from segment_anything_tfds.source.record.rle.measures import area, run_lengths
from segment_anything_tfds.source.record.rle.points import sample_points
from segment_anything_tfds.source.record.rle.row_runs import RowRuns, from_row_runs, to_row_runs
from segment_anything_tfds.source.record.rle.spans import MAX_PIXELS
from segment_anything_tfds.source.record.rle.strings import PROBLEMS, Runs, encode_runs, parse

__all__ = [
    'MAX_PIXELS',
    'PROBLEMS',
    'Cleaned',
    'Components',
    'RowRuns',
    'Runs',
    'area',
    'connected_components',
    'decode',
    'decode_resized',
    'encode',
    'encode_runs',
    'from_row_runs',
    'parse',
    'remove_small_regions',
    'run_lengths',
    'sample_points',
    'to_row_runs',
]
