"""Runs of the pixels whose upscaled logit is above a threshold, without drawing them.

Logits are upscaled along the rows first: V [columns of the crop, small rows]. Down a column, the
rows that the model saw lie between two small rows each, four of them for SAM, and a pixel of the
crop lies between two rows of the model. So its logit is a point of the line that joins the model's
rows, and the mask begins and ends where that line crosses the threshold:

    small row        0                1                2        threshold 0
    V of column     +3               +2               -1
    model's rows       +2.9 ... +2.1    +1.6 +.9 +.1 -.6        joined by a line
    pixels           + + + + + + + + + + + + + + + - - - - -    crossing between +.1 and -.6

Between small rows on the same side nothing crosses, so only the others are looked at, which lie
along the border of the mask; no pixel is computed. What is kept of a mask are the positions where
it begins and ends, reading the crop column by column: COCO's runs.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from segment_anything_tfds.annotate import upscale
from segment_anything_tfds.training.prediction import enlarging


@dataclasses.dataclass(frozen=True)
class Runs:
    """The runs of one mask in an image or a crop, read column by column.

    Attributes:
      starts: int64 [R], ascending: positions where a run of the mask begins.
      ends: int64 [R]: the first position behind each.
    """

    starts: np.ndarray
    ends: np.ndarray

    @property
    def area(self) -> int:
        """Pixels of the mask."""
        return int((self.ends - self.starts).sum())


@dataclasses.dataclass(frozen=True)
class _Rows:
    """The model's rows between the small ones, and the crop's rows between the model's.

    Attributes:
      low: int [M]: row m of the model lies between small rows `low[m]` and `low[m] + 1`.
      share: float32 [M]: how far towards the second.
      first: int [Q + 1]: between small rows q and q + 1 lie the rows from `first[q]` to
        `first[q + 1]` - 1.
      shares: float32 [Q, K]: `share` of these, K of the most; the last repeats.
      positions: float64 [H], ascending: of the crop's rows among the model's.
    """

    low: np.ndarray
    share: np.ndarray
    first: np.ndarray
    shares: np.ndarray
    positions: np.ndarray


class Upscaled:
    """The logits of one mask at the size of its crop, as far as they rise above a floor.

    Args:
      grid: the maps of the crop.
      logits: float32 [h, w], small.
      floor: thresholds below it must not be asked for.
    """

    def __init__(self, grid: Grid, logits: np.ndarray, floor: float):
        self._grid = grid
        above = logits > floor
        rows, columns = np.flatnonzero(above.any(axis=1)), np.flatnonzero(above.any(axis=0))
        self.is_empty = not rows.size
        if self.is_empty:
            return
        # pixels that mix one of these columns: theirs are `first` to `first` + 2
        axis, reach = grid.columns, upscale.TAPS - 1
        self._left, right = np.searchsorted(
            axis.first, [columns[0] - reach, columns[-1] + 1]
        ).tolist()
        # One more on either side than can have pixels of the mask, where the crop goes on.
        self._begin = max(int(rows[0]) - 2, 0)
        end = min(int(rows[-1]) + 2, len(grid.rows.first) - 1)
        if self._left == right or self._begin >= end:  # enlarged out of existence, or padding
            self.is_empty = True
            return
        # below the last small row, it is repeated
        index = np.minimum(np.arange(self._begin, end + 1), len(logits) - 1)
        self._values = _mix(logits[index].T, axis, slice(self._left, right))

    def runs(self, threshold: float) -> Runs:
        """Gives the pixels above a threshold, at least the floor, as runs in the crop."""
        if self.is_empty:
            return Runs(*np.zeros((2, 0), np.int64))
        is_on = self._values > threshold
        # The sides of the first and of the last of the model's rows between two small ones.
        first = is_on[:, :-1].copy()
        last = first.copy()
        mixed = np.flatnonzero(is_on[:, 1:] != first)
        inner = self._inside(mixed, threshold, first, last)
        # Where the last of the model's rows above a small one and the first below it differ.
        column, between = np.divmod(
            np.flatnonzero(first[:, 1:] != last[:, :-1]), max(1, first.shape[1] - 1)
        )
        outer = column, self._grid.rows.first[between + 1 + self._begin] - 1
        crossings = self._crossings(
            *(np.concatenate(parts) for parts in zip(inner, outer, strict=True)), threshold
        )
        # What is on in the first of these rows begins with its column, what is on in the last ends
        # with it; where that is another column's beginning, both go.
        height = self._grid.size[0]
        top = (np.flatnonzero(first[:, 0]) + self._left) * height
        bottom = (np.flatnonzero(last[:, -1]) + self._left + 1) * height
        positions = np.concatenate([crossings, top, bottom])
        positions.sort()
        positions = _odd(positions)
        return Runs(positions[0::2], positions[1::2])

    def _inside(
        self, mixed: np.ndarray, threshold: float, first: np.ndarray, last: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Crossings between two of the model's rows that lie between the same small rows.

        Gives columns and the upper ones of the two rows; notes the sides of the first and last.
        """
        rows = self._grid.rows
        column, low = np.divmod(mixed, first.shape[1])
        share = rows.shares[low + self._begin]
        values = _between(
            self._values[column, low, None], self._values[column, low + 1, None], share
        )
        is_on = values > threshold
        first[column, low], last[column, low] = is_on[:, 0], is_on[:, -1]
        index, step = np.divmod(
            np.flatnonzero(is_on[:, 1:] != is_on[:, :-1]), max(1, is_on.shape[1] - 1)
        )
        return column[index], rows.first[low[index] + self._begin] + step

    def _crossings(self, column: np.ndarray, row: np.ndarray, threshold: float) -> np.ndarray:
        """Finds the first pixels behind crossings between the model's rows m and m + 1."""
        rows = self._grid.rows
        before, after = (
            _between(
                self._values[column, rows.low[m] - self._begin],
                self._values[column, rows.low[m] - self._begin + 1],
                rows.share[m],
            ).astype(np.float64)
            for m in (row, row + 1)
        )
        place = row + (threshold - before) / (after - before)
        pixel = np.searchsorted(rows.positions, place)
        # A pixel at the threshold is not above it.
        at = rows.positions[np.minimum(pixel, len(rows.positions) - 1)] == place
        later = np.flatnonzero(at & (after > threshold))
        pixel[later] = np.searchsorted(rows.positions, place[later], 'right')
        return (column + self._left) * self._grid.size[0] + pixel


def _odd(positions: np.ndarray) -> np.ndarray:
    """Drops pairs of equal positions of sorted ones: what begins where something ends goes on."""
    # 3 5 5 8 leaves 3 8: a run that ends at 5 goes on with one that begins there
    begins = np.flatnonzero(np.diff(positions, prepend=-1))
    counts = np.diff(begins, append=len(positions))
    return positions[begins[counts % 2 == 1]]


def _between(low: np.ndarray, high: np.ndarray, share: np.ndarray) -> np.ndarray:
    return low * (1 - share) + high * share


def _mix(values: np.ndarray, axis: upscale.Axis, pixels: slice) -> np.ndarray:
    """Mixes some of the pixels of an axis, float32 [P, ...], from all small ones, [length, ...]."""
    values = np.ascontiguousarray(values)
    first, weights = axis.first[pixels], axis.weights[pixels, :, None]
    mixed = weights[:, 0] * values[first]
    for tap in range(1, upscale.TAPS):
        mixed += weights[:, tap] * values[first + tap]
    return mixed


class Grid:
    """The maps from small logits to the pixels of a crop.

    Args:
      low_size: [h, w] of the logits.
      model_size: side of the square that the model sees, in pixels.
      content_size: [height, width] of the crop's picture in that square.
      size: [height, width] of the crop.
    """

    def __init__(
        self,
        low_size: tuple[int, int],
        model_size: int,
        content_size: tuple[int, int],
        size: tuple[int, int],
    ):
        self.size = size
        self.columns = upscale.axis(low_size[1], model_size, content_size[1], size[1])
        self.rows = _rows(low_size[0], model_size, content_size[0], size[0])


def _rows(length: int, model_length: int, content_length: int, crop_length: int) -> _Rows:
    low, _, share = (x[:content_length] for x in enlarging.neighbours(length, model_length))
    first = np.searchsorted(low, np.arange(low[-1] + 2))
    most = int(np.diff(first).max())
    members = np.minimum(first[:-1, None] + np.arange(most), first[1:, None] - 1)
    model_row, _, within = enlarging.neighbours(content_length, crop_length)
    positions = model_row + within.astype(np.float64)
    return _Rows(low, share, first, share[members], positions)
