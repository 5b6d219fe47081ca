"""Images in the upper left corner of the model's square, as SAM's `ResizeLongestSide`, and back.

image 60 x 90, square of 64      resized to 43 x 64, which is its content; padding below
"""

from __future__ import annotations

import numpy as np
from PIL import Image


def fitted(size: tuple[int, int], square: int) -> tuple[int, int]:
    """Height and width of an image whose longer side is `square`."""
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


def back(
    size: tuple[int, int], content: tuple[int, int], square: int, grid: int
) -> tuple[np.ndarray, np.ndarray]:
    """From the mask decoder's logits to the image, as Meta's `postprocess_masks`.

    Logits go up to the square, the padding is cut off, and what is left is scaled to the image,
    each time bilinearly. All of it is linear, and rows do not mix with columns, so it is one matrix
    on either side: `rows @ logits @ columns.T`.

    Args:
      size: height and width of the image.
      content: height and width of the image inside of the square.
      square: side of that square.
      grid: side of the logits.

    Returns:
      `(rows, columns)`: float32 [H, grid] and [W, grid].
    """
    rows, columns = (
        _bilinear(inside, length) @ _bilinear(grid, square)[:inside]
        for length, inside in zip(size, content, strict=True)
    )
    return rows, columns


def _bilinear(count: int, length: int) -> np.ndarray:
    """Bilinear resizing of `count` values to `length`: float32 [length, count].

    A value's centre is at a half, and beyond the outermost centres values go on unchanged:
    2 to 4 gives [[1, 0], [0.75, 0.25], [0.25, 0.75], [0, 1]].
    """
    places = np.maximum((np.arange(length) + 0.5) * (count / length) - 0.5, 0)
    low = np.minimum(places.astype(int), count - 1)
    high, share = np.minimum(low + 1, count - 1), places - low
    matrix = np.zeros((length, count), np.float32)
    matrix[np.arange(length), low] += 1 - share
    matrix[np.arange(length), high] += share
    return matrix
