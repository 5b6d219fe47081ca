"""The pixel of a region that lies deepest inside: the centre of the largest disc in it.

A distance transform of all pixels is the slowest part of an evaluation, and only its largest value
is wanted. Blocks of 8 x 8 pixels that lie in the region as a whole, with their distance D to the
nearest block that does not, in blocks, say where it can be:

    . . . . . . .         0 0 0 0 0 0 0      A pixel is less than 5 pixels away from the middle of
    . 1 1 1 1 1 .         0 1 1 1 1 1 0      its block, so its depth is 8 D, give or take 10, and
    . 1 1 1 1 1 .    D =  0 1 2 2 2 1 0      the deepest one is not where D is less than the
    . 1 1 1 1 1 .         0 1 1 1 1 1 0      greatest D by 20 / 8 or more.
    . . . . . . .         0 0 0 0 0 0 0

What is left are a few blocks, whose pixels look for the nearest of those around the region.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

BLOCKS = (8, 2)  # small ones where no large one lies deep enough
_THIN = 4  # blocks; where D is smaller everywhere, too many blocks would be left


class Deepest(NamedTuple):
    """A pixel, and the square of its distance to the nearest one outside: 0 of an empty region."""

    squared: int
    row: int
    column: int


_NONE = Deepest(0, 0, 0)


def deepest(region: np.ndarray, least: int = 0) -> Deepest:
    """Finds the deepest pixel of a region, of equals the first, row by row.

    Args:
      region: bool [H, W]; beyond its edges all is outside.
      least: a region that is clearly less deep, squared, is not looked into any further.

    Returns:
      The pixel; (0, 0, 0) for an empty region, and for one that is less deep than `least`.

    Example:
      >>> deepest(np.ones((5, 9), bool))
      Deepest(squared=9, row=2, column=2)
    """
    from scipy import ndimage

    if not region.any():
        return _NONE
    for block in BLOCKS:
        give = (block - 1) * math.sqrt(2)  # two pixels' distances to the middles of their blocks
        # one pixel in front, at least one behind, and a whole number of blocks: 5 become 1 + 5 + 2
        padded = np.pad(region, [(1, block - (side + 1) % block) for side in region.shape])
        distance = ndimage.distance_transform_edt(_whole_blocks(padded, block))
        most = distance.max()
        if (block * most + give) ** 2 < least:
            return _NONE
        if most >= _THIN:
            corners = block * np.argwhere(distance >= most - 2 * give / block)
            return _deepest_of(corners, block, padded, math.ceil(block * most + give))
    depth = ndimage.distance_transform_edt(padded)
    row, column = np.unravel_index(depth.argmax(), depth.shape)
    return _found(depth[row, column], row, column)


def _whole_blocks(padded: np.ndarray, side: int) -> np.ndarray:
    """Blocks without a pixel outside of the region: bool [H / side, W / side].

    The bools of a row of a block are compared all at once, as one number of as many bytes.
    """
    height, width = padded.shape
    rows = np.logical_and.reduce(padded.reshape(height // side, side, width), axis=1)
    return rows.view(f'u{side}') == int('01' * side, 16)


def _deepest_of(corners: np.ndarray, side: int, padded: np.ndarray, reach: int) -> Deepest:
    """Gives the deepest pixel of whole blocks, which start at `corners`, int [n, 2].

    First one pixel in the middle of each; no other is further from it than the first corner. No
    pixel is deeper than `reach`, so what is further away does not matter.
    """
    from scipy import spatial

    origin = np.maximum(corners.min(axis=0) - reach, 0)
    end = corners.max(axis=0) + side + reach
    rim = _rim(padded[origin[0] : end[0], origin[1] : end[1]]) + origin
    around = spatial.cKDTree(rim, balanced_tree=False, compact_nodes=False)
    depth, _ = around.query(corners + side // 2)
    left = corners[depth >= depth.max() - side // 2 * math.sqrt(2)]
    offsets = np.stack(np.mgrid[:side, :side], axis=-1).reshape(-1, 2)
    pixels = (left[:, None] + offsets).reshape(-1, 2)
    depth, _ = around.query(pixels)
    equals = pixels[depth == depth.max()]
    # `lexsort` goes by its last key first, here the rows
    return _found(depth.max(), *equals[np.lexsort(equals.T[::-1])[0]])


def _found(depth: float, row: int, column: int) -> Deepest:
    """Gives the pixel of a padded region, whose padding is one pixel above and to the left."""
    return Deepest(round(float(depth) ** 2), int(row) - 1, int(column) - 1)


def _rim(padded: np.ndarray) -> np.ndarray:
    """Finds the pixels outside of a region that touch it, int [n, 2]; the nearest is among them."""
    touched = np.zeros_like(padded)
    touched[1:] |= padded[:-1]
    touched[:-1] |= padded[1:]
    touched[:, 1:] |= padded[:, :-1]
    touched[:, :-1] |= padded[:, 1:]
    return np.argwhere(touched & ~padded)
