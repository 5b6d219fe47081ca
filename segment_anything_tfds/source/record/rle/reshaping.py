"""Crop, flip and rewrite masks, RLE in and RLE out; nothing is drawn."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from segment_anything_tfds.source.record.rle import arguments
from segment_anything_tfds.source.record.rle import spans as spans_lib

_AXES = ('horizontal', 'vertical')


@arguments.takes_segmentation
def normalize(counts: Sequence[bytes | str], size: Sequence[int]) -> list[bytes]:
    """Writes masks as pycocotools writes them: others put runs of length 0 between ones.

    Args:
      counts: N compressed strings, N may be 0.
      size: [height, width] of all masks, in pixels; or [N, 2] with equal rows.

    Returns:
      N compressed strings; equal masks give equal strings.

    Raises:
      ValueError: a string is malformed or does not fit `size`.

    Example:
      >>> normalize([b'11001'], (2, 2))  # runs 1 1 0 1 1 are runs 1 2 1
      [b'121']
    """
    return spans_lib.encode(spans_lib.read('normalize', counts, size))


@arguments.takes_segmentation
def flip(
    counts: Sequence[bytes | str], size: Sequence[int], *, axis: str = 'horizontal'
) -> list[bytes]:
    """Mirrors masks: `horizontal` swaps left and right, `vertical` swaps top and bottom.

    Args:
      counts: N compressed strings, N may be 0.
      size: [height, width] of all masks, in pixels; or [N, 2] with equal rows.
      axis: `'horizontal'` or `'vertical'`.

    Returns:
      N compressed strings of masks of the same size.

    Raises:
      ValueError: a string is malformed or does not fit `size`, or an unknown axis.

    Example:
      >>> flip([b'22'], (2, 2))
      [b'022']
    """
    if axis not in _AXES:
        raise ValueError(f'`coco_rle.flip`: expected `axis` to be one of {_AXES}; got {axis!r}.')
    spans = spans_lib.read('flip', counts, size)
    owners, columns, tops, bottoms = _cut(spans)
    if axis == 'horizontal':
        columns = spans.width - 1 - columns
    else:
        tops, bottoms = spans.height - bottoms, spans.height - tops
    return _join(owners, columns, tops, bottoms, spans)


@arguments.takes_segmentation
def crop(
    counts: Sequence[bytes | str], size: Sequence[int], crop_box: Sequence[int]
) -> list[bytes]:
    """Cuts a window out of masks.

    Args:
      counts: N compressed strings, N may be 0.
      size: [height, width] of all masks, in pixels; or [N, 2] with equal rows.
      crop_box: x, y, width, height in pixels, inside the image (the layout of `crop_box` in SA-1B's
        JSON).

    Returns:
      N compressed strings of masks of the size [height, width] of the `crop_box`.

    Raises:
      ValueError: a string is malformed or does not fit `size`, or a `crop_box` that is empty or
        reaches outside the image.

    Example:
      >>> crop([b'22'], (2, 2), (1, 0, 1, 2))
      [b'02']
    """
    spans = spans_lib.read('crop', counts, size)
    box = np.asarray(crop_box)
    room = [spans.width, spans.height]
    if (
        box.shape != (4,)
        or (box != np.floor(box)).any()
        or (box[:2] < 0).any()
        or (box[2:] < 1).any()
        or (box[:2] + box[2:] > room).any()
    ):
        raise ValueError(
            f'`coco_rle.crop`: expected `crop_box` [x, y, width, height] inside the image of '
            f'{spans.width} x {spans.height}; got {np.asarray(crop_box).tolist()!r:.80}. Clip it '
            'first.'
        )
    x, y, width, height = box.astype(np.int64).tolist()
    owners, columns, tops, bottoms = _cut(spans)
    columns = columns - x
    tops, bottoms = np.clip(tops - y, 0, height), np.clip(bottoms - y, 0, height)
    kept = (tops < bottoms) & (columns >= 0) & (columns < width)
    parts = (part[kept] for part in (owners, columns, tops, bottoms))
    return _join(*parts, spans._replace(height=height, width=width))


def _cut(spans: spans_lib.Spans) -> tuple[np.ndarray, ...]:
    """Cuts runs at the ends of columns: mask, column, first row, row after the last; each [P]."""
    columns, origins = spans_lib.expand(
        spans.starts // spans.height, (spans.ends - 1) // spans.height + 1
    )
    tops = np.maximum(spans.starts[origins] - columns * spans.height, 0)
    bottoms = np.minimum(spans.ends[origins] - columns * spans.height, spans.height)
    return spans.owners[origins], columns, tops, bottoms


def _join(
    owners: np.ndarray,
    columns: np.ndarray,
    tops: np.ndarray,
    bottoms: np.ndarray,
    spans: spans_lib.Spans,
) -> list[bytes]:
    """Sorts runs, joins those that touch, and encodes them with the size of `spans`."""
    starts, ends = columns * spans.height + tops, columns * spans.height + bottoms
    order = np.argsort(owners * spans.num_pixels + starts, kind='stable')
    owners, starts, ends = spans_lib.merge(owners[order], starts[order], ends[order])
    return spans_lib.encode(spans._replace(owners=owners, starts=starts, ends=ends))
