"""Runs of the pixels whose upscaled logit is above a threshold, without drawing them.

Logits are upscaled along the rows first: V [columns of the crop, small rows]. Down a column, each
pixel mixes three small rows with weights that are not negative and sum to 1. So where all three lie
above the threshold, or none does, the pixel's side is known without computing it, and so is that of
all its neighbours that mix the same three rows (a group, about 9 pixels for 1500 of 171 rows):

    small row     0    1    2    3    4          threshold 0
    V of column  +3   +2   +2   -1   -4
    group 0: rows 0-2  + + +   all pixels on
    group 1: rows 1-3  + + -   mixed: its pixels are computed,  on on on off off ...
    group 2: rows 2-4  + - -   mixed
                       - - -   (further down) all pixels off

Only mixed groups are computed, which lie along the border of the mask. What is kept of a mask are
the positions where it begins and ends, reading the crop column by column: COCO's runs.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from segment_anything_tfds.annotate import upscale

_BLOCK = 1 << 20  # pixels that are computed at once


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
class _Groups:
    """Rows of the crop, grouped by the three small rows that they mix.

    Attributes:
      first: int [G], ascending: a group mixes small rows `first` to `first + 2`.
      rows: int [G + 1]: group g has the rows from `rows[g]` to `rows[g + 1]` - 1.
      weights: float32 [3, G, L] of their rows, L of the largest group; the last row repeats.
    """

    first: np.ndarray
    rows: np.ndarray
    weights: np.ndarray


class Upscaled:
    """The logits of one mask at the size of its crop, as far as they rise above a floor.

    Args:
      grid: the maps of the crop.
      logits: float32 [h, w], small.
      floor: thresholds below it must not be asked for.
    """

    def __init__(self, grid: Grid, logits: np.ndarray, floor: float):
        self._grid, self._floor = grid, floor
        above = logits > floor
        rows, columns = np.flatnonzero(above.any(axis=1)), np.flatnonzero(above.any(axis=0))
        self.is_empty = not rows.size
        if self.is_empty:
            return
        axis, groups = grid.columns, grid.groups
        reach = upscale.TAPS - 1
        self._left, self._right = np.searchsorted(
            axis.first, [columns[0] - reach, columns[-1] + 1]
        ).tolist()
        self._begin, self._end = np.searchsorted(
            groups.first, [rows[0] - reach, rows[-1] + 1]
        ).tolist()
        if self._left == self._right or self._begin == self._end:  # enlarged out of existence
            self.is_empty = True
            return
        low = slice(groups.first[self._begin], groups.first[self._end - 1] + upscale.TAPS)
        self._offset = low.start
        self._values = _mix(logits[low].T, axis, slice(self._left, self._right))

    def runs(self, threshold: float) -> Runs:
        """The pixels above a threshold, at least the floor, as runs in the crop."""
        if self.is_empty:
            return Runs(*np.zeros((2, 0), np.int64))
        height = self._grid.size[0]
        first = self._grid.groups.first[self._begin : self._end] - self._offset
        if first[-1] - first[0] == len(first) - 1:  # a slice is taken faster than a list
            first = slice(first[0], first[-1] + 1)
        is_on = self._values > threshold
        differs = is_on[:, 1:] != is_on[:, :-1]
        mixed = (differs[:, :-1] | differs[:, 1:])[:, first]
        # The sides of each group's first and last pixel, between two groups that are off.
        num_groups = mixed.shape[1]
        top = np.zeros((len(is_on), num_groups + 2), bool)
        top[:, 1:-1] = is_on[:, : 1 - upscale.TAPS][:, first]
        bottom = top.copy()
        inner = self._compute(np.flatnonzero(mixed), num_groups, threshold, top, bottom)
        changes = np.flatnonzero(top.ravel()[1:] != bottom.ravel()[:-1]) + 1
        column, group = np.divmod(changes, num_groups + 2)
        rows = self._grid.groups.rows[self._begin : self._end + 1]
        bounds = np.concatenate([[rows[0]], rows])  # of the group before, the groups, the one after
        outer = (column + self._left) * height + bounds[group]
        positions = np.concatenate([outer, *inner])
        positions.sort()
        return _merged(positions)

    def _compute(
        self,
        mixed: np.ndarray,
        num_groups: int,
        threshold: float,
        top: np.ndarray,
        bottom: np.ndarray,
    ) -> list[np.ndarray]:
        """Positions where pixels in mixed groups change sides; notes the sides of their ends."""
        groups, height = self._grid.groups, self._grid.size[0]
        positions = []
        step = max(1, _BLOCK // groups.weights.shape[2])
        for start in range(0, len(mixed), step):
            column, group = np.divmod(mixed[start : start + step], num_groups)
            absolute = group + self._begin
            low = groups.first[absolute] - self._offset
            values = groups.weights[0, absolute] * self._values[column, low, None]
            for tap in range(1, upscale.TAPS):
                values += groups.weights[tap, absolute] * self._values[column, low + tap, None]
            is_on = values > threshold
            top[column, group + 1], bottom[column, group + 1] = is_on[:, 0], is_on[:, -1]
            changes = np.flatnonzero(is_on[:, 1:] != is_on[:, :-1])
            index, row = np.divmod(changes, is_on.shape[1] - 1)
            origin = (column[index] + self._left) * height + groups.rows[absolute[index]]
            positions.append(origin + row + 1)
        return positions


def _mix(values: np.ndarray, axis: upscale.Axis, pixels: slice) -> np.ndarray:
    """Some of the pixels of an axis, float32 [P, ...], from all small ones, [length, ...]."""
    values = np.ascontiguousarray(values)
    first, weights = axis.first[pixels], axis.weights[pixels, :, None]
    mixed = weights[:, 0] * values[first]
    for tap in range(1, upscale.TAPS):
        mixed += weights[:, tap] * values[first + tap]
    return mixed


def _merged(positions: np.ndarray) -> Runs:
    """Runs from the positions where the mask begins and ends; equal ones cancel out."""
    starts, ends = positions[0::2], positions[1::2]
    if (starts[1:] == ends[:-1]).any():
        apart = np.flatnonzero(starts[1:] != ends[:-1])
        starts = np.concatenate([starts[:1], starts[apart + 1]])
        ends = np.concatenate([ends[apart], ends[-1:]])
    return Runs(starts, ends)


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
        rows = upscale.axis(low_size[0], model_size, content_size[0], size[0])
        self.columns = upscale.axis(low_size[1], model_size, content_size[1], size[1])
        self.groups = _group(rows)


def _group(axis: upscale.Axis) -> _Groups:
    first, begins = np.unique(axis.first, return_index=True)
    rows = np.append(begins, len(axis.first))
    longest = int(np.diff(rows).max())
    members = np.minimum(begins[:, None] + np.arange(longest), rows[1:, None] - 1)
    return _Groups(first, rows, np.ascontiguousarray(np.moveaxis(axis.weights[members], -1, 0)))
