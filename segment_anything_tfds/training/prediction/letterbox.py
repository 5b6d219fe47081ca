"""Images in the upper left corner of the model's square, as SAM's `ResizeLongestSide`.

image 60 x 90, square of 64      resized to 43 x 64, which is its content; padding below
"""

from __future__ import annotations

import numpy as np
from PIL import Image


def fitted(size: tuple[int, int], square: int) -> tuple[int, int]:
    """Gives height and width of an image whose longer side is `square`."""
    scale = square / max(size)
    height, width = (int(side * scale + 0.5) for side in size)
    return max(1, height), max(1, width)


def place(image: np.ndarray, square: int) -> tuple[np.ndarray, tuple[int, int]]:
    """Resizes an image as PIL does, bilinear with antialiasing, and pads it.

    Args:
      image: RGB, uint8 [H, W, 3].
      square: side of the square.

    Returns:
      `(canvas, content)`: uint8 [square, square, 3], and height and width of the image in it.
    """
    height, width = fitted(image.shape[:2], square)
    resized = Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR)
    canvas = np.zeros((square, square, 3), np.uint8)
    canvas[:height, :width] = resized
    return canvas, (height, width)
