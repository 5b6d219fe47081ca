"""Masks that are like SA-1B's in number, size, area and length, made from a seed.

Each mask is a star-shaped region with a rough outline; some have holes. Areas are log-uniform, and
at 1500 × 2250 the mean of 100 `counts` is about 450 characters, as in SA-1B.
"""

from __future__ import annotations

import numpy as np
from pycocotools import mask as coco_mask

SIZE = (1500, 2250)


def make(
    num_masks: int = 100,
    *,
    size: tuple[int, int] = SIZE,
    seed: int = 0,
    areas: tuple[float, float] = (3e-5, 0.1),
    roughness: float = 0.07,
) -> list[bytes]:
    """Returns the `counts` of random masks.

    Args:
      num_masks: number of masks.
      size: height and width, pixels.
      seed: seed of all randomness.
      areas: least and largest area, as a fraction of the image; areas are log-uniform between.
      roughness: height of the waves of the outline, as a fraction of the radius.
    """
    rng = np.random.default_rng(seed)
    low, high = np.log(areas)
    pixels = size[0] * size[1] * np.exp(rng.uniform(low, high, num_masks))
    return [encode(_blob(rng, size, area, roughness)) for area in pixels]


def stripes(num_runs: int, *, size: tuple[int, int] = SIZE) -> bytes:
    """Returns the `counts` of one mask of about `num_runs` runs of equal length."""
    pixels = np.arange(size[0] * size[1])
    on = (pixels * num_runs // pixels.size) % 2
    return encode(on.astype(np.uint8).reshape(size[1], size[0]).T)


def encode(mask: np.ndarray) -> bytes:
    """Returns the compressed `counts` of a uint8 [H, W] mask."""
    return coco_mask.encode(np.asfortranarray(mask))['counts']


def _blob(rng: np.random.Generator, size, area: float, roughness: float) -> np.ndarray:
    """Draws a region of about `area` pixels, whose radius is a random Fourier series."""
    height, width = size
    aspect = np.exp(rng.uniform(-0.7, 0.7))
    radius = np.sqrt(area / np.pi)
    waves = np.arange(1, 40)
    amplitude = rng.normal(size=waves.size) * roughness / waves
    phase = rng.uniform(0, 2 * np.pi, waves.size)
    centre = rng.uniform(0, 1, 2) * [height, width]
    reach = 1.8 * radius * max(aspect, 1 / aspect)
    y0, x0 = np.maximum(centre - reach, 0).astype(int)
    y1, x1 = np.minimum(centre + reach + 1, size).astype(int)
    dy = (np.arange(y0, y1)[:, None] - centre[0]) * aspect
    dx = (np.arange(x0, x1)[None, :] - centre[1]) / aspect
    angles = np.linspace(-np.pi, np.pi, 2049)
    series = 1 + np.sum(amplitude * np.cos(waves * angles[:, None] + phase), axis=1)
    outline = radius * np.clip(series, 0.2, 1.8)
    distance = np.hypot(dy, dx)
    limit = np.interp(np.arctan2(dy, dx), angles, outline)
    region = distance <= limit
    if rng.random() < 0.3:
        hole = rng.uniform(0.1, 0.4)
        region &= np.hypot(dy - 0.3 * radius, dx) > hole * radius
    mask = np.zeros(size, np.uint8)
    mask[y0:y1, x0:x1] = region
    return mask
