"""A canvas with soft edges that remembers which object covers which pixel."""

from __future__ import annotations

import dataclasses

import numpy as np
from PIL import Image, ImageDraw

SUPERSAMPLING = 4


@dataclasses.dataclass(frozen=True)
class Light:
    """Colours (RGB, 0 to 1) of a time of day."""

    zenith: tuple[float, float, float]
    horizon: tuple[float, float, float]
    sun: tuple[float, float, float]
    tint: tuple[float, float, float]
    grass: tuple[float, float, float]


LIGHTS = {
    'noon': Light(
        (0.22, 0.47, 0.80), (0.78, 0.89, 0.96), (1.0, 0.98, 0.9), (1, 1, 1), (0.37, 0.55, 0.20)
    ),
    'sunset': Light(
        (0.30, 0.32, 0.56), (0.99, 0.72, 0.47), (1.0, 0.88, 0.6), (1, 0.86, 0.72), (0.45, 0.44, 0.2)
    ),
    'morning': Light(
        (0.45, 0.63, 0.83), (0.98, 0.90, 0.80), (1.0, 0.95, 0.8), (1, 0.96, 0.9), (0.42, 0.60, 0.28)
    ),
    'autumn': Light(
        (0.34, 0.53, 0.75), (0.90, 0.92, 0.92), (1.0, 0.95, 0.85), (1, 0.95, 0.86), (0.58, 0.5, 0.2)
    ),
}


def noise(rng: np.random.Generator, shape: tuple[int, int], cell: float, octaves: int = 4):
    """Fractal noise [H, W], mean near 0, mostly within -1 and 1; `cell` is its largest feature."""
    total = np.zeros(shape, np.float32)
    for octave in range(octaves):
        grid = [max(2, round(side * 2**octave / cell) + 2) for side in shape]
        coarse = Image.fromarray(rng.standard_normal(grid).astype(np.float32))
        size = (shape[1], shape[0])
        total += np.asarray(coarse.resize(size, Image.Resampling.BICUBIC)) * 0.55**octave
    return total / 1.6


def mix(a, b, amount: np.ndarray) -> np.ndarray:
    """Colours from `a` to `b`, [..., 3], where `amount` goes from 0 to 1."""
    amount = np.clip(amount, 0, 1)[..., None]
    return np.asarray(a, np.float32) * (1 - amount) + np.asarray(b, np.float32) * amount


class Canvas:
    """A picture in the making."""

    def __init__(self, seed: int, height: int, width: int, light: str):
        self.rng = np.random.default_rng(seed)
        self.height, self.width, self.light_name = height, width, light
        self.light = LIGHTS[light]
        self.unit = min(height, width) / 100
        self.pixels = np.zeros((height, width, 3), np.float32)
        self.labels = np.full((height, width), -1, np.int32)
        self.names: list[str] = []
        self.rows, self.columns = np.mgrid[0:height, 0:width].astype(np.float32)
        self.sun = (width * self.rng.uniform(0.12, 0.88), height * self.rng.uniform(0.06, 0.2))

    def masks(self) -> dict[str, np.ndarray]:
        """What can be seen of every object, bool [H, W]; objects out of sight are left out."""
        masks = {name: self.labels == n for n, name in enumerate(self.names)}
        return {name: mask for name, mask in masks.items() if mask.any()}

    def render(self) -> np.ndarray:
        """The picture, uint8 [H, W, 3], with a little vignette and grain."""
        height, width = self.height, self.width
        radius = np.hypot(self.rows / height - 0.5, self.columns / width - 0.5)
        vignette = 1 - 0.28 * np.clip(radius - 0.35, 0, 1)[..., None]
        grain = self.rng.standard_normal((height, width, 1)).astype(np.float32) * 0.006
        tinted = self.pixels * np.asarray(self.light.tint, np.float32)
        return (np.clip(tinted * vignette + grain, 0, 1) * 255 + 0.5).astype(np.uint8)

    def paint(self, name: str | None, alpha: np.ndarray, color, corner=(0, 0)) -> None:
        """Paints [h, w] of coverage from `corner` on; without a name it is a shade, no object."""
        top, left = corner
        window = np.s_[top : top + alpha.shape[0], left : left + alpha.shape[1]]
        alpha = np.clip(alpha, 0, 1).astype(np.float32)
        pixels = self.pixels[window]
        color = np.broadcast_to(np.asarray(color, np.float32), pixels.shape)
        self.pixels[window] = pixels + (color - pixels) * alpha[..., None]
        if name is not None:
            if name not in self.names:
                self.names.append(name)
            self.labels[window][alpha >= 0.5] = self.names.index(name)

    def window(self, left: float, top: float, right: float, bottom: float):
        """Rows, columns and corner of the part of a box that is inside the picture."""
        x0, y0 = max(0, int(left) - 2), max(0, int(top) - 2)
        x1, y1 = min(self.width, int(right) + 3), min(self.height, int(bottom) + 3)
        inside = np.s_[y0 : max(y0, y1), x0 : max(x0, x1)]
        return self.rows[inside], self.columns[inside], (y0, x0)

    def polygon(self, name: str | None, points, color, texture: float = 0.0) -> None:
        xs, ys = zip(*points, strict=True)
        rows, _, (top, left) = self.window(min(xs), min(ys), max(xs), max(ys))
        if not rows.size:
            return
        height, width = rows.shape
        canvas = Image.new('L', (width * SUPERSAMPLING, height * SUPERSAMPLING))
        shifted = [((x - left) * SUPERSAMPLING, (y - top) * SUPERSAMPLING) for x, y in points]
        ImageDraw.Draw(canvas).polygon(shifted, fill=255)
        alpha = np.asarray(canvas.resize((width, height), Image.Resampling.BOX)) / 255
        color = np.asarray(color, np.float32) * np.ones((height, width, 1), np.float32)
        if texture:
            grain = noise(self.rng, (height, width), 8 * self.unit)
            color = color * (1 + texture * grain)[..., None]
        self.paint(name, alpha, color, (top, left))
