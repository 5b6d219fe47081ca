"""Where the generator looks: crops of the image, and the grid of points on each.

    layer 0        layer 1              layer 2
    +-------+      +---+-+---+          4 x 4 crops that
    |       |      |   | |   |          overlap half as far
    |       |      +---+-+---+          as those of layer 1
    |       |      +---+-+---+
    |       |      |   | |   |
    +-------+      +---+-+---+

A crop's points are prompts in the pixels of that crop.
"""

from __future__ import annotations

import dataclasses
import itertools
import math

import numpy as np

from segment_anything_tfds.annotate import settings as settings_lib


@dataclasses.dataclass(frozen=True)
class Crop:
    """A part of an image.

    Attributes:
      layer: 0 for the whole image, i for one of the 2^i x 2^i crops of layer i.
      left: first column of the image in it, in pixels.
      top: first row.
      right: first column after it.
      bottom: first row below it.
    """

    layer: int
    left: int
    top: int
    right: int
    bottom: int

    @property
    def size(self) -> tuple[int, int]:
        """[height, width] in pixels."""
        return self.bottom - self.top, self.right - self.left

    @property
    def box_xywh(self) -> list[float]:
        """The `crop_box` of SA-1B: its right and lower ends are exclusive."""
        height, width = self.size
        return [float(self.left), float(self.top), float(width), float(height)]


def crops(size: tuple[int, int], settings: settings_lib.Settings) -> list[Crop]:
    """Gives the whole image and its crops, layer by layer, column by column.

    Where an image is so small that a crop would have no pixel, that crop is left out.

    Args:
      size: [height, width] of the image.
      settings: of which `crop_n_layers` and `crop_overlap_ratio` count.

    Returns:
      At least one crop.

    Example:
      >>> [crop.box_xywh for crop in crops((6, 9), settings_lib.get(crop_n_layers=1))][:2]
      [[0.0, 0.0, 9.0, 6.0], [0.0, 0.0, 6.0, 4.0]]
    """
    height, width = size
    found = [Crop(0, 0, 0, width, height)]
    for layer in range(1, settings.crop_n_layers + 1):
        count = 2**layer
        overlap = int(settings.crop_overlap_ratio * min(size) * (2 / count))
        # 2 crops of a width of 90 that overlap by 20: (20 + 90) / 2 = 55 wide, from 0 and from 35
        wide, high = (math.ceil((overlap * (count - 1) + side) / count) for side in (width, height))
        lefts, tops = ([(side - overlap) * k for k in range(count)] for side in (wide, high))
        for left, top in itertools.product(lefts, tops):
            crop = Crop(layer, left, top, min(left + wide, width), min(top + high, height))
            if min(crop.size) > 0:
                found.append(crop)
    return found


def point_grids(settings: settings_lib.Settings) -> list[np.ndarray]:
    """Gives the points of each layer, float64 [P, 2] (x, y) in 0 to 1, row by row.

    Example:
      >>> point_grids(settings_lib.get(points_per_side=2))[0].tolist()
      [[0.25, 0.25], [0.75, 0.25], [0.25, 0.75], [0.75, 0.75]]
    """
    if settings.point_grids is not None:
        return list(settings.point_grids)
    factor = settings.crop_n_points_downscale_factor
    sides = [
        int(settings.points_per_side / factor**layer) for layer in range(settings.crop_n_layers + 1)
    ]
    return [_grid(side) for side in sides]


def _grid(side: int) -> np.ndarray:
    middle = 1 / (2 * side)
    offsets = np.linspace(middle, 1 - middle, side)
    x, y = np.meshgrid(offsets, offsets)
    return np.stack([x, y], axis=-1).reshape(-1, 2)


def points(crop: Crop, grids: list[np.ndarray]) -> np.ndarray:
    """Gives the points of a crop, float64 [P, 2] (x, y) in its pixels; SAM adds half a pixel."""
    height, width = crop.size
    return grids[crop.layer] * np.array([width, height])
