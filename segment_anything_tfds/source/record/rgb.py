"""Any picture that has one meaning as 8-bit RGB, as that."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageOps

_DEEP = ('I', 'I;16', 'I;16B', 'I;16L', 'I;16N')


def upright(image: Image.Image) -> Image.Image:
    """Turns a picture as its EXIF says, and brings it to 8 bits a channel and to RGB.

    16 bits are scaled down, transparent pixels lie over white, CMYK goes by Pillow's formula.

    Args:
      image: opened by Pillow.

    Returns:
      The picture in mode RGB.

    Raises:
      ValueError: pixels of another depth.
    """
    if image.mode == 'F':
        raise ValueError('expected 8 or 16 bits a channel; got floating-point pixels')
    image = ImageOps.exif_transpose(image)
    if image.mode in _DEEP:
        values = np.asarray(image)
        least, most = int(values.min()), int(values.max())
        if least < 0 or most > 65535:
            raise ValueError(f'expected 8 or 16 bits a channel; got values from {least} to {most}')
        # 0 to 65535 on 0 to 255: 65535 / 255 = 257.
        image = Image.fromarray((values / np.float32(257) + np.float32(0.5)).astype(np.uint8))
    if image.mode in ('RGBA', 'LA', 'PA') or 'transparency' in image.info:
        image = image.convert('RGBA')
        white = Image.new('RGBA', image.size, 'white')
        image = Image.alpha_composite(white, image)
    return image.convert('RGB')
