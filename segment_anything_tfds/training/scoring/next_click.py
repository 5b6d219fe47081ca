"""Where a careful user would click next, at the size of the image."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from segment_anything_tfds.training.scoring import fullsize


class Click(NamedTuple):
    """A click at column `x` and row `y`; `label` 1 inside of the object, 0 outside, -1 none."""

    x: float
    y: float
    label: int


def center(mask: fullsize.Window) -> Click:
    """The pixel of a mask that is furthest from its edge, the first one of equals."""
    depth = _depth(mask.pixels)
    return _click(mask.top, mask.left, depth, 1) if depth.size else Click(0, 0, -1)


def anywhere(mask: fullsize.Window, rng: np.random.Generator) -> Click:
    """A pixel of a mask, each with equal probability."""
    rows, columns = np.nonzero(mask.pixels)
    if not rows.size:
        return Click(0, 0, -1)
    index = rng.integers(rows.size)
    return Click(float(mask.left + columns[index]), float(mask.top + rows[index]), 1)


def correction(truth: fullsize.Window, predicted: fullsize.Window) -> Click:
    """The pixel furthest inside of the largest error (Sofiiuk et al. 2021, `clicker.py`).

    Of the missed and the wrongly covered region the one that reaches deeper is clicked, the latter
    where both are equal. The image's edge is an edge. A perfect mask gives label -1.
    """
    top, left, object_, guess = fullsize.both(truth, predicted)
    missed, wrong = fullsize.cut(object_ & ~guess), fullsize.cut(guess & ~object_)
    inside_missed, inside_wrong = _depth(missed.pixels), _depth(wrong.pixels)
    deepest = inside_missed.max(initial=0), inside_wrong.max(initial=0)
    if not any(deepest):
        return Click(0, 0, -1)
    if deepest[0] > deepest[1]:
        return _click(top + missed.top, left + missed.left, inside_missed, 1)
    return _click(top + wrong.top, left + wrong.left, inside_wrong, 0)


def _depth(pixels: np.ndarray) -> np.ndarray:
    """Euclidean distance of each pixel of a region to the nearest one outside."""
    from scipy import ndimage

    if not pixels.size:
        return np.zeros((0, 0))
    return ndimage.distance_transform_edt(np.pad(pixels, 1))[1:-1, 1:-1]


def _click(top: int, left: int, depth: np.ndarray, label: int) -> Click:
    row, column = divmod(int(np.argmax(depth)), depth.shape[1])
    return Click(float(left + column), float(top + row), label)
