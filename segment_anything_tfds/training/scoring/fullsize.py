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
    """Cuts the smallest window around the pixels of a mask [h, w] that lies at (top, left)."""
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
    """Gives top, left, and the two masks on the smallest grid that holds both."""
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
    """Divides intersection by union; 1 for two empty masks."""
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
    """Gives the pixels of a mask no further than `distance` (chessboard) from its contour.

    The image's edge is contour, as in Cheng et al.'s `boundary-iou-api`.
    """
    side = 2 * distance + 1
    if min(mask.pixels.shape) < side:  # no pixel is further inside
        return mask
    inner = _eroded(_eroded(np.pad(mask.pixels, distance), side).T, side).T
    return mask._replace(pixels=mask.pixels & ~inner)


def _eroded(pixels: np.ndarray, side: int) -> np.ndarray:
    """Tells where `side` rows from a row on are all 1: bool [H - side + 1, W].

    For 5 rows: 2 rows are two times 1 row, 4 are two times 2, 5 are 4 and the 4 one further on.
    """
    span = 1
    while 2 * span <= side:
        pixels, span = pixels[:-span] & pixels[span:], 2 * span
    rest = side - span
    return pixels[:-rest] & pixels[rest:] if rest else pixels


def boundary_distance(size: tuple[int, int], ratio: float = 0.02) -> int:
    """Gives 2 % of the diagonal of an image of `size`, at least 1 pixel."""
    return max(1, round(ratio * float(np.hypot(*size))))
