"""A picture that notebooks show, programs read as an array, and people save."""

from __future__ import annotations

import io
import os

import numpy as np
from PIL import Image


class Picture:
    """An RGB image.

    A notebook shows it where it is the value of a cell; `numpy.asarray` gives its pixels.

    Attributes:
      pixels: `uint8` [H, W, 3].

    Example:
      >>> picture = Picture(np.zeros([2, 3, 3], np.uint8))
      >>> picture.size
      (3, 2)
      >>> np.asarray(picture).shape
      (2, 3, 3)
    """

    def __init__(self, pixels: np.ndarray):
        self.pixels = pixels

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.pixels.shape[1], self.pixels.shape[0]

    @property
    def shape(self) -> tuple[int, ...]:
        """(H, W, 3)."""
        return self.pixels.shape

    def image(self) -> Image.Image:
        """Gives the picture for Pillow."""
        return Image.fromarray(self.pixels)

    def save(self, path: str | os.PathLike) -> None:
        """Writes a file, in the format that its name ends with, such as `.png` or `.jpg`."""
        self.image().save(path)

    def to_png(self) -> bytes:
        """Gives the picture as the bytes of a PNG."""
        buffer = io.BytesIO()
        self.image().save(buffer, 'PNG')
        return buffer.getvalue()

    def _repr_png_(self) -> bytes:
        return self.to_png()

    def __array__(self, dtype=None, copy: bool | None = None) -> np.ndarray:
        made = np.array(self.pixels, dtype) if copy else np.asarray(self.pixels, dtype)
        return made

    def __repr__(self) -> str:
        return f'Picture({self.size[0]} x {self.size[1]})'
