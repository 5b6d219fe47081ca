"""The mask decoder's small logits at the size of their image, as Meta's `postprocess_masks`.

Logits go up to the model's square, the padding is cut off, and what is left is scaled to the image,
each time bilinearly. All of it is linear, and rows do not mix with columns, so it is one matrix on
either side: `rows @ logits @ columns.T`. A row of the image mixes two or three of the small rows,
so a band of rows takes a small product:

    rows 0 to 31 of 1500 = weights [32, 3] @ the first 3 of 64 small rows
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

_BAND = 32  # rows whose logits stay in the processor's cache


class _Axis(NamedTuple):
    """From small pixels to those of the image: `weights` [P, grid], 0 but for `first` to `stop`."""

    weights: np.ndarray
    first: np.ndarray
    stop: np.ndarray

    def reached(self, cells: np.ndarray) -> tuple[int, int]:
        """Gives first and last pixel, exclusive, that cells, ascending, contribute to."""
        # past all pixels that mix only cells before the first one; then all up to the last one
        begin = np.searchsorted(self.stop, cells[0], side='right')
        return int(begin), int(np.searchsorted(self.first, cells[-1], side='right'))

    def bands(self, small: np.ndarray, begin: int, end: int) -> Iterator[tuple[slice, np.ndarray]]:
        """Enlarges [grid, n] to pixels `begin` to `end`: a band at a time, and where it goes."""
        for pixel in range(begin, end, _BAND):
            last = min(pixel + _BAND, end)
            # `first` and `stop` rise, so these are all cells that the band mixes
            cells = slice(self.first[pixel], self.stop[last - 1])
            band = self.weights[pixel:last, cells] @ small[cells]
            yield slice(pixel - begin, last - begin), band


class Enlarger:
    """Enlarges logits to an image.

    Args:
      size: height and width of the image.
      content: height and width of the image inside of the model's square.
      square: side of that square.
      grid: side of the logits.
    """

    def __init__(self, size: tuple[int, int], content: tuple[int, int], square: int, grid: int):
        self._size = size
        self._rows, self._columns = (
            _axis(length, inside, square, grid)
            for length, inside in zip(size, content, strict=True)
        )

    def logits(self, small: np.ndarray) -> np.ndarray:
        """Enlarges logits [grid, grid] to float32 [H, W]."""
        height, width = self._size
        large = np.empty(self._size, np.float32)
        for place, band in self._rows.bands(self._widened(small, 0, width), 0, height):
            large[place] = band
        return large

    def mask(self, small: np.ndarray) -> tuple[int, int, np.ndarray]:
        """Tells where the logits of an image are above 0, as far as a small one above 0 reaches.

        Args:
          small: logits [grid, grid].

        Returns:
          `(top, left, pixels)`: bool [h, w], whose first pixel lies at (`top`, `left`) of the
          image; beyond it nothing is above 0.
        """
        positive = small > 0
        cells = [np.flatnonzero(positive.any(axis=axis)) for axis in (1, 0)]
        if not cells[0].size:
            return 0, 0, np.zeros((0, 0), bool)
        top, bottom = self._rows.reached(cells[0])
        left, right = self._columns.reached(cells[1])
        pixels = np.empty((max(0, bottom - top), max(0, right - left)), bool)
        for place, band in self._rows.bands(self._widened(small, left, right), top, bottom):
            np.greater(band, 0, out=pixels[place])
        return top, left, pixels

    def _widened(self, small: np.ndarray, left: int, right: int) -> np.ndarray:
        """Gives the small rows with the image's columns from `left` to `right`: [grid, w]."""
        wide = np.empty((len(small), max(0, right - left)), np.float32)
        for place, band in self._columns.bands(small.T, left, right):
            wide[:, place] = band.T
        return wide


def _axis(length: int, inside: int, square: int, grid: int) -> _Axis:
    low, high, share = neighbours(grid, square)
    # From the grid to the square, then from its part with the image in it to the image: a product
    # of two matrices, of which the second has two numbers a row.
    small = np.zeros((square, grid), np.float32)
    everyone = np.arange(square)
    small[everyone, low] += 1 - share
    small[everyone, high] += share
    low, high, share = neighbours(inside, length)
    weights = (1 - share[:, None]) * small[low] + share[:, None] * small[high]
    counts = weights != 0
    first, behind = counts.argmax(axis=1), counts[:, ::-1].argmax(axis=1)
    return _Axis(weights, first, grid - behind)


def neighbours(source: int, target: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gives the source pixels around each target pixel's centre, and the share of the second.

    Centres are at halves, and beyond the outermost ones values go on unchanged: 2 pixels make 4 of
    the shares 0, 0.25 and 0.75 of the second, and the second itself. In float32 step by step, as
    PyTorch computes it: so the same pixels lie on a mask's border.

    Args:
      source: number of pixels along a side.
      target: number of pixels along the resized side.

    Returns:
      int [target], int [target] and float32 [target].
    """
    scale = np.float32(source) / np.float32(target)
    position = scale * (np.arange(target, dtype=np.float32) + np.float32(0.5)) - np.float32(0.5)
    position = np.maximum(position, np.float32(0))
    low = np.minimum(position.astype(np.int64), source - 1)
    return low, np.minimum(low + 1, source - 1), position - low.astype(np.float32)
