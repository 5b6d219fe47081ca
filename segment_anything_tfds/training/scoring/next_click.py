"""Where a careful user would click next, at the size of the image."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from segment_anything_tfds.training.scoring import depth, fullsize


class Click(NamedTuple):
    """A click at column `x` and row `y`; `label` 1 inside of the object, 0 outside, -1 none."""

    x: float
    y: float
    label: int


_NONE = Click(0.0, 0.0, -1)


def center(mask: fullsize.Window) -> Click:
    """Finds the pixel of a mask that is furthest from its edge, the first one of equals."""
    return _click(mask, depth.deepest(mask.pixels), 1)


def anywhere(mask: fullsize.Window, rng: np.random.Generator) -> Click:
    """Draws a pixel of a mask, each with equal probability."""
    rows, columns = np.nonzero(mask.pixels)
    if not rows.size:
        return _NONE
    index = rng.integers(rows.size)
    return Click(float(mask.left + columns[index]), float(mask.top + rows[index]), 1)


def correction(truth: fullsize.Window, predicted: fullsize.Window) -> Click:
    """Finds the pixel furthest inside of the largest error (Sofiiuk et al. 2021, `clicker.py`).

    Of the missed and the wrongly covered region the one that reaches deeper is clicked, the latter
    where both are equal. The image's edge is an edge. A perfect mask gives label -1.
    """
    top, left, object_, guess = fullsize.both(truth, predicted)
    missed, wrong = (fullsize.cut(x, top, left) for x in (object_ & ~guess, guess & ~object_))
    if missed.area > wrong.area:  # the larger one first: the other one may be clearly less deep
        inside_missed = depth.deepest(missed.pixels)
        inside_wrong = depth.deepest(wrong.pixels, inside_missed.squared)
    else:
        inside_wrong = depth.deepest(wrong.pixels)
        inside_missed = depth.deepest(missed.pixels, inside_wrong.squared)
    if inside_missed.squared > inside_wrong.squared:
        return _click(missed, inside_missed, 1)
    return _click(wrong, inside_wrong, 0)


def _click(region: fullsize.Window, found: depth.Deepest, label: int) -> Click:
    if not found.squared:
        return _NONE
    return Click(float(region.left + found.column), float(region.top + found.row), label)
