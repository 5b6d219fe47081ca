"""Row-major runs of a crop, as annotation tools store masks, from column-major RLE and back.

No image is drawn. A mask compared with itself one column further left changes exactly where its
rows change, so the changes of all rows are spans too:

    mask        bounds of its columns         the same + height     both, sorted, in pairs
    0 1 1       height 2, ones at 2, 4, 5     4, 6, 7 ...           [2, 3) column 1, row 0
    0 0 1       -> [2, 3), [4, 6)             -> [4, 5), [6, 8)     [5, 6) column 2, row 1
                                                                    [6, 8) column 3, rows 0 and 1

Row 0 changes at columns 1 and 3, row 1 at columns 2 and 3. Sorted by row, these are the bounds of
row-major runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from segment_anything_tfds.source.record.rle import arguments
from segment_anything_tfds.source.record.rle import spans as spans_lib

_PORTION = 1 << 21  # changes that are sorted together: some 100 MB


class RowRuns(NamedTuple):
    """A mask as the runs of a crop around it.

    Attributes:
      left, top: the crop's first column and row in the image.
      width, height: of the crop, in pixels; 0 and 0 for an empty mask.
      runs: int64 [R], run lengths of the crop row by row, zeros first, the sum is width x height;
        [0] for an empty mask without a crop.
    """

    left: int
    top: int
    width: int
    height: int
    runs: np.ndarray


@arguments.takes_segmentation
def to_row_runs(
    counts: Sequence[bytes | str], size: Sequence[int], *, crop: bool = True
) -> list[RowRuns]:
    """Turns masks into row-major run lengths, each of the smallest crop that holds its mask.

    Args:
      counts: N compressed strings, N may be 0.
      size: [height, width] of all masks, in pixels; or [N, 2] with equal rows.
      crop: False for runs of the whole image, with left and top 0.

    Returns:
      N `RowRuns`: left, top, width, height, runs. An empty mask gives 0, 0, 0, 0 and `[0]`; with
      `crop=False` the image's size and one run of zeros.

    Raises:
      ValueError: a string is malformed or does not fit `size`.

    Example:
      >>> [(c.left, c.top, c.width, c.height, c.runs.tolist()) for c in to_row_runs(['42'], (2, 3))]
      [(2, 0, 1, 2, [0, 2])]
    """
    spans = spans_lib.read('to_row_runs', counts, size)
    boxes = _crops(spans) if crop else np.tile([0, 0, spans.width, spans.height], (len(counts), 1))
    found: list[RowRuns] = []
    heights = np.full(spans.num_masks, spans.height)
    for first, last, owners, columns, rows in _changes_across(
        spans.owners, spans.starts, spans.ends, heights
    ):
        left, top, width, height = boxes[first:last].T
        position = (rows - top[owners]) * width[owners] + columns - left[owners]
        owners, position = _sort_and_cancel(owners, position)
        lengths, splits = spans_lib.runs_of_changes(owners, position, width * height)
        parts = np.split(lengths, splits[1:-1])
        found += [
            RowRuns(*box, runs) for box, runs in zip(boxes[first:last].tolist(), parts, strict=True)
        ]
    return found


def from_row_runs(crops: Sequence[RowRuns | tuple], size: Sequence[int]) -> list[bytes]:
    """Encodes masks that are given as row-major runs of crops, as compressed strings.

    Args:
      crops: N tuples (left, top, width, height, runs), as `to_row_runs` gives them; runs start with
        zeros, and runs of length 0 are fine. N may be 0.
      size: [height, width] of the image, in pixels.

    Returns:
      N compressed strings, byte for byte as pycocotools writes these masks.

    Raises:
      ValueError: a crop leaves the image, or its runs are negative or do not sum to width x height.

    Example:
      >>> from_row_runs([(2, 0, 1, 2, [0, 2])], (2, 3))
      [b'42']
    """
    height, width = arguments.check_size('from_row_runs', 'size', size)
    crops = [RowRuns(*crop) for crop in crops]
    arrays = [_check_crop(n, crop, height, width) for n, crop in enumerate(crops)]
    boxes = np.array([crop[:4] for crop in crops], np.int64).reshape(-1, 4)
    owners, starts, ends = _spans_of_runs(arrays)
    counts: list[bytes] = []
    for first, last, owner, row, column in _changes_across(owners, starts, ends, boxes[:, 2]):
        left, top = boxes[first:last, 0], boxes[first:last, 1]
        position = (column + left[owner]) * height + row + top[owner]
        owner, position = _sort_and_cancel(owner, position)
        counts += spans_lib.encode_changes(owner, position, np.full(last - first, height * width))
    return counts


def _crops(spans: spans_lib.Spans) -> np.ndarray:
    """Gives left, top, width, height int64 [N, 4] of the smallest boxes; zeros for empty masks."""
    boxes = spans_lib.corners(spans)
    boxes[:, 2:] -= boxes[:, :2]
    return boxes


def _changes_across(
    owners: np.ndarray, starts: np.ndarray, ends: np.ndarray, lengths: np.ndarray
) -> Iterator[tuple[int, int, np.ndarray, np.ndarray, np.ndarray]]:
    """Finds where lines of pixels differ from the line before, for portions of masks.

    Args:
      owners, starts, ends: spans of N masks.
      lengths: int64 [N], pixels of a line: the height where lines are columns.

    Yields:
      The portion's first mask and the mask after its last; for each pixel that differs from its
      neighbour in the line before, its mask (counted from the portion's first), line and place in
      the line.
    """
    bounds = np.stack([starts, ends], axis=1).ravel()
    owners = np.repeat(owners, 2)
    # Two sequences that rise already: the stable sort merges them.
    stride = int(bounds.max(initial=0)) + int(lengths.max(initial=0)) + 1
    bounds = bounds + owners * stride
    merged = np.sort(np.concatenate([bounds, bounds + lengths[owners]]), kind='stable')
    starts, ends = merged[0::2], merged[1::2]
    owners = starts // stride
    totals = np.bincount(owners, ends - starts, minlength=len(lengths)).astype(np.int64)
    for first, last in spans_lib.portions(totals, _PORTION):
        chosen = slice(*np.searchsorted(owners, [first, last]))
        positions, origins = spans_lib.expand(starts[chosen], ends[chosen])
        owner = owners[chosen][origins]
        line, place = np.divmod(positions - owner * stride, np.maximum(lengths[owner], 1))
        yield first, last, owner - first, line, place


def _sort_and_cancel(owners: np.ndarray, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sorts changes; two at one place are none: a line ends with ones, the next begins so."""
    stride = int(positions.max(initial=0)) + 1
    keys, repeats = np.unique(owners * stride + positions, return_counts=True)
    keys = keys[repeats == 1]
    return np.divmod(keys, stride)


def _check_crop(index: int, crop: RowRuns, height: int, width: int) -> np.ndarray:
    box = np.asarray(crop[:4])
    runs = np.asarray(crop.runs)
    if box.dtype.kind not in 'iu' or runs.ndim != 1 or (runs.size and runs.dtype.kind not in 'iu'):
        raise ValueError(
            f'`coco_rle.from_row_runs`: expected `crops[{index}]` of integers (left, top, width, '
            f'height, runs); got {tuple(crop)!r:.80}.'
        )
    left, top, w, h = box.tolist()
    if min(left, top, w, h) < 0 or left + w > width or top + h > height:
        raise ValueError(
            f'`coco_rle.from_row_runs`: expected `crops[{index}]` inside the image of {width} x '
            f'{height}; got left, top, width, height {box.tolist()}. Pass size as [height, width].'
        )
    runs = runs.astype(np.int64)
    if runs.min(initial=0) < 0 or runs.max(initial=0) > w * h or runs.sum() != w * h:
        raise ValueError(
            f'`coco_rle.from_row_runs`: expected `crops[{index}]` with runs of at least 0 that sum '
            f'to {w * h}, width x height; got {runs[:8].tolist()}, sum {runs.sum()}.'
        )
    return runs


def _spans_of_runs(arrays: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Finds spans of ones of run lengths, positions within each mask."""
    sizes = np.array([len(runs) for runs in arrays], np.int64)
    lengths = np.concatenate([*arrays, np.zeros(0, np.int64)])
    owners = np.repeat(np.arange(len(sizes)), sizes)
    firsts = np.repeat(np.cumsum(sizes) - sizes, sizes)
    ends = np.cumsum(lengths)
    ends = ends - (ends - lengths)[firsts]
    kept = np.flatnonzero(((np.arange(len(owners)) - firsts) & 1 == 1) & (lengths > 0))
    return owners[kept], ends[kept] - lengths[kept], ends[kept]
