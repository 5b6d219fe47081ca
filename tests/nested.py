"""Masks that lie in each other: random ones, and scenes that know which object is part of which."""

from __future__ import annotations

import pathlib
import sys

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / 'dummy_data'))

import canvas
import make
import scenes

MOVES = [(0, 0), (-1, 0), (1, 0), (0, -1), (0, 1)]


def boxes_in_boxes(seed, num=12, size=(40, 50)):
    """Masks uint8 [N, H, W] of boxes, many inside others, some with noise, one empty."""
    rng = np.random.default_rng(seed)
    masks = np.zeros((num, *size), np.uint8)
    placed = [(0, 0, *size)]
    for mask in masks[1:]:
        top, left, bottom, right = placed[rng.integers(len(placed))]
        y = np.sort(rng.integers(top, bottom + 1, 2))
        x = np.sort(rng.integers(left, right + 1, 2))
        mask[y[0] : y[1], x[0] : x[1]] = 1
        if rng.random() < 0.3:
            mask ^= rng.random(size) < 0.02
        if y[1] - y[0] > 3 and x[1] - x[0] > 3:
            placed.append((y[0], x[0], y[1], x[1]))
    return masks


def planted(seed, size=(600, 900), max_ratio=0.9):
    """A scene's masks uint8 [N, H, W], its tree as parents [N], and which parts bear a move [N].

    The parent of a part is the smallest object that it belongs to and that is not nearly the same:
    a balloon's envelope is 96 % of the balloon, so both are parts of the picture. A part bears a
    move if, moved by two pixels along an axis or one along both, it keeps 90 % of its pixels.
    """
    lights = list(canvas.LIGHTS)
    found = make.find_masks(scenes.landscape(seed, *size, lights[seed % len(lights)]))
    names = sorted(name for name, mask in found.items() if mask.any() and name != 'speck')
    areas = {name: found[name].sum() for name in names}
    parents, bears = [], []
    for name in names:
        belongs = [n for n in names if name.startswith(f'{n} ')] + ['picture'] * (name != 'picture')
        belongs = [n for n in belongs if areas[name] < max_ratio * areas[n]]
        parents.append(names.index(min(belongs, key=areas.get)) if belongs else -1)
        kept = [
            found[name] & moved(found[name], y, x) for y, x in ((2, 0), (0, 2), (1, 1), (1, -1))
        ]
        bears.append(min(mask.sum() for mask in kept) >= 0.9 * areas[name])
    return np.stack([found[name] for name in names]).astype(np.uint8), parents, np.array(bears)


def moved(mask, down, right):
    """A mask, moved by some pixels; what leaves the image is lost, the border moves in."""
    rows = np.clip(np.arange(mask.shape[0]) - down, 0, mask.shape[0] - 1)
    columns = np.clip(np.arange(mask.shape[1]) - right, 0, mask.shape[1] - 1)
    return mask[rows][:, columns]


def jittered(masks, seed):
    """Each mask is moved by at most one pixel."""
    rng = np.random.default_rng(seed)
    return np.stack([moved(mask, *MOVES[rng.integers(len(MOVES))]) for mask in masks])
