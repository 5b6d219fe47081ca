"""Masks at the size of their image, kept as the part of the image that they touch.

An object covers 0.6 % of its image in the median, so a mask is a window and the pixels in it:

    0 0 0 0 0
    0 0 1 1 0      Window(top=1, left=2, pixels=[[1, 1],
    0 0 1 0 0                                    [1, 0]])
    0 0 0 0 0
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from segment_anything_tfds.training.prediction import letterbox


class Window(NamedTuple):
    """A mask: bool `pixels` [h, w] whose first lies at (`top`, `left`); all else is 0."""

    top: int
    left: int
    pixels: np.ndarray

    @property
    def area(self) -> int:
        """Pixels of the mask."""
        return int(np.count_nonzero(self.pixels))

    @property
    def corners(self) -> tuple[int, int, int, int]:
        """First and last column and row, as (x0, y0, x1, y1), of a mask cut by `cut`."""
        height, width = self.pixels.shape
        return self.left, self.top, self.left + width - 1, self.top + height - 1


NOTHING = Window(0, 0, np.zeros((0, 0), bool))


def cut(pixels: np.ndarray, top: int = 0, left: int = 0) -> Window:
    """The smallest window around the pixels of a mask [h, w] that lies at (top, left)."""
    rows = np.flatnonzero(pixels.any(axis=1))
    if not rows.size:
        return NOTHING
    columns = np.flatnonzero(pixels.any(axis=0))
    (y0, y1), (x0, x1) = rows[[0, -1]], columns[[0, -1]]
    return Window(top + int(y0), left + int(x0), pixels[y0 : y1 + 1, x0 : x1 + 1])


def from_rle(counts: bytes, size: tuple[int, int]) -> Window:
    """Decodes a compressed COCO RLE of an image of `size` (height, width)."""
    from pycocotools import mask as coco_mask

    segmentation = {'size': list(size), 'counts': counts}
    x, y, width, height = coco_mask.toBbox(segmentation).astype(int)
    if not width or not height:
        return NOTHING
    pixels = coco_mask.decode(segmentation)[y : y + height, x : x + width]
    return Window(int(y), int(x), np.ascontiguousarray(pixels).view(bool))


def both(a: Window, b: Window) -> tuple[int, int, np.ndarray, np.ndarray]:
    """Top, left, and the two masks on the smallest grid that holds both."""
    parts = [window for window in (a, b) if window.pixels.size] or [NOTHING]
    top, left = min(part.top for part in parts), min(part.left for part in parts)
    bottom = max(part.top + part.pixels.shape[0] for part in parts)
    right = max(part.left + part.pixels.shape[1] for part in parts)
    grids = np.zeros((2, bottom - top, right - left), bool)
    for grid, part in zip(grids, (a, b), strict=True):
        if part.pixels.size:
            y, x = part.top - top, part.left - left
            grid[y : y + part.pixels.shape[0], x : x + part.pixels.shape[1]] = part.pixels
    return top, left, grids[0], grids[1]


def iou(a: Window, b: Window) -> float:
    """Intersection over union; 1 for two empty masks."""
    height = min(a.top + a.pixels.shape[0], b.top + b.pixels.shape[0])
    width = min(a.left + a.pixels.shape[1], b.left + b.pixels.shape[1])
    top, left = max(a.top, b.top), max(a.left, b.left)
    inside = 0
    if height > top and width > left:
        first = a.pixels[top - a.top : height - a.top, left - a.left : width - a.left]
        second = b.pixels[top - b.top : height - b.top, left - b.left : width - b.left]
        inside = int(np.count_nonzero(first & second))
    union = a.area + b.area - inside
    return inside / union if union else 1.0


def boundary(mask: Window, distance: int) -> Window:
    """Pixels of a mask no further than `distance` (chessboard) from its contour.

    The image's edge is contour, as in Cheng et al.'s `boundary-iou-api`.
    """
    from scipy import ndimage

    if not mask.pixels.size:
        return mask
    padded = np.pad(mask.pixels, 1)
    depth = ndimage.distance_transform_cdt(padded, 'chessboard')[1:-1, 1:-1]
    return mask._replace(pixels=mask.pixels & (depth <= distance))


def boundary_distance(size: tuple[int, int], ratio: float = 0.02) -> int:
    """2 % of the diagonal of an image of `size`, at least 1 pixel."""
    return max(1, round(ratio * float(np.hypot(*size))))


class Upscaler:
    """From the mask decoder's logits to masks of the image, as SAM's `postprocess_masks`.

    Of the product `rows @ logits @ columns.T` only the part is computed where a logit above 0
    reaches.

    Args:
      size: height and width of the image.
      content: height and width of the image inside of the model's square.
      square: side of that square.
      grid: side of the logits.
    """

    def __init__(self, size: tuple[int, int], content: tuple[int, int], square: int, grid: int):
        self._rows, self._columns = letterbox.back(size, content, square, grid)

    def __call__(self, logits: np.ndarray) -> Window:
        """The mask of logits [grid, grid]."""
        positive = logits > 0
        near = np.flatnonzero(positive.any(axis=1)), np.flatnonzero(positive.any(axis=0))
        if not near[0].size:
            return NOTHING
        spans = [
            _reached(matrix, cells[0], cells[-1])
            for matrix, cells in zip((self._rows, self._columns), near, strict=True)
        ]
        if not all(len(span) for span in spans):
            return NOTHING
        rows, columns = self._rows[_slice(spans[0])], self._columns[_slice(spans[1])]
        inner = (
            _slice(np.flatnonzero(rows.any(axis=0))),
            _slice(np.flatnonzero(columns.any(axis=0))),
        )
        pixels = rows[:, inner[0]] @ logits[inner] @ columns[:, inner[1]].T > 0
        return cut(pixels, int(spans[0][0]), int(spans[1][0]))


def _reached(matrix: np.ndarray, first: int, last: int) -> np.ndarray:
    """Rows of the matrix to which cells from `first` to `last` contribute."""
    return np.flatnonzero(matrix[:, first : last + 1].any(axis=1))


def _slice(indices: np.ndarray) -> slice:
    return slice(int(indices[0]), int(indices[-1]) + 1)
