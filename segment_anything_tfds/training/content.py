"""Which pixels of a padded image, or of a mask over it, are the image's own.

The image lies in the top left corner of its square; the padding is right and below. A share is the
height and width of the image in parts of the square, so one share serves every resolution:

    image 3 x 4 in a square of 4: share [0.75, 1]    masks of 2 x 2: centres at 0.25 and 0.75
    1 1 1 1                                          1 1
    1 1 1 1                                          0 0    0.75 is not below 0.75
    1 1 1 1
    0 0 0 0
"""

from __future__ import annotations

from keras import ops


def inside(share, height: int, width: int):
    """Tells which pixels have their centre inside of the content.

    Args:
      share: float [..., 2], height and width of the content in parts of the square.
      height: of the grid in pixels.
      width: of the grid in pixels.

    Returns:
      bool [..., height, width].

    Example:
      >>> ops.convert_to_numpy(inside(ops.array([0.75, 1.0]), 4, 4))[:, 0].tolist()
      [True, True, True, False]
    """
    y = (ops.arange(height, dtype='float32') + 0.5) / height
    x = (ops.arange(width, dtype='float32') + 0.5) / width
    rows, columns = y < share[..., :1], x < share[..., 1:]
    return ops.logical_and(rows[..., :, None], columns[..., None, :])
