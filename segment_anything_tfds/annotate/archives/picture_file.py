"""One picture file as the JPEG that goes into an archive, and its pixels.

A JPEG that is fit for an archive as it is stays as it is, byte for byte. Everything else is turned
as its EXIF says, brought to 8 bits a channel and to RGB, made smaller where it is too large, and
encoded anew. What has no single meaning as one RGB picture is refused by name.
"""

from __future__ import annotations

import dataclasses
import io
import numbers
import warnings

import numpy as np
from PIL import Image, UnidentifiedImageError

from segment_anything_tfds.source.record import jpeg as jpeg_lib
from segment_anything_tfds.source.record import rgb

QUALITY = 95
MAX_SIDE = 65_500  # of a JPEG
_ORIENTATION = 0x0112  # the EXIF tag


@dataclasses.dataclass(frozen=True)
class Limits:
    """How large pictures may be; larger ones are made smaller.

    Attributes:
      short_side: of the shorter side in pixels, 1500 in SA-1B; `None` for any.
      max_side: of the longer side; `None` for any.

    Raises:
      ValueError: a limit is not a positive whole number.
    """

    short_side: int | None = 1500
    max_side: int | None = None

    def __post_init__(self) -> None:
        for name in ('short_side', 'max_side'):
            value = getattr(self, name)
            if value is None:
                continue
            if not isinstance(value, numbers.Integral) or isinstance(value, bool) or value < 1:
                raise ValueError(
                    f'`annotate.write_archives`: expected `{name}` to be a whole number, 1 or '
                    f'more, or None; got {value!r}.'
                )
            object.__setattr__(self, name, int(value))  # NumPy's are no numbers to JSON

    def fit(self, size: tuple[int, int]) -> tuple[int, int]:
        """Gives the [width, height] that a picture of this [width, height] gets."""
        scale = min(
            1.0,
            (self.short_side or min(size)) / min(size),
            (self.max_side or max(size)) / max(size),
        )
        if scale == 1:
            return size
        width, height = (max(1, round(side * scale)) for side in size)
        return width, height


@dataclasses.dataclass(frozen=True)
class Picture:
    """A picture, ready for an archive.

    Attributes:
      jpeg: the file.
      pixels: uint8 [H, W, 3], what it decodes to.
      original_size: [height, width] as the user's own file states it, before turning.
      is_original: whether `jpeg` is the user's own file, byte for byte.
    """

    jpeg: bytes
    pixels: np.ndarray
    original_size: tuple[int, int]
    is_original: bool


class PictureError(ValueError):
    """A file that gives no picture; `reason` is a slug of `reasons.REASONS`."""

    def __init__(self, reason: str, message: str):
        self.reason = reason
        super().__init__(message)

    def __reduce__(self):
        return type(self), (self.reason, str(self))


def load(data: bytes, limits: Limits) -> Picture:
    """Reads one picture file.

    Args:
      data: the file, of any format that Pillow reads.
      limits: how large it may be.

    Returns:
      The picture.

    Raises:
      PictureError: the file is none, is damaged, or holds what has no single meaning as an RGB
        picture: several pages or frames, or pixels that are no 8 or 16 bits.
    """
    try:
        with jpeg_lib.strict_pillow(), warnings.catch_warnings():
            warnings.simplefilter('ignore')  # of sizes, which are judged here, and of odd EXIF
            with Image.open(io.BytesIO(data)) as image:
                return _read(data, image, limits)
    except UnidentifiedImageError:
        raise PictureError(
            'picture_unknown',
            f'expected a picture that Pillow reads; got {len(data)} bytes, {data[:16]!r}',
        ) from None
    except Image.DecompressionBombError:
        raise _too_large(f'more than {2 * Image.MAX_IMAGE_PIXELS:,} pixels') from None
    except PictureError:
        raise
    except Exception as error:  # Pillow's readers raise what they like on damage
        got = f'{type(error).__name__}: {error}'
        raise PictureError(
            'picture_damaged', f'expected a picture that decodes; got {got}'
        ) from None


def _read(data: bytes, image: Image.Image, limits: Limits) -> Picture:
    _check_kind(image)
    image.load()
    original = image.height, image.width
    is_fit = (
        image.format == 'JPEG'
        and image.mode in ('RGB', 'L')
        and image.getexif().get(_ORIENTATION, 1) == 1
        and limits.fit(image.size) == image.size
        and _is_well_formed(data)
    )
    if is_fit:
        return Picture(data, np.asarray(image.convert('RGB')), original, True)
    image = _to_rgb(image)
    size = limits.fit(image.size)
    if max(size) > MAX_SIDE:
        raise _too_large(f'{size[0]} x {size[1]}, where a JPEG ends at {MAX_SIDE}')
    if size != image.size:
        image = image.resize(size, Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, 'JPEG', quality=QUALITY)
    written = buffer.getvalue()
    pixels = np.asarray(Image.open(io.BytesIO(written)).convert('RGB'))
    return Picture(written, pixels, original, False)


def _check_kind(image: Image.Image) -> None:
    """Refuses what is more than one picture; phones add a second one to JPEGs, as MPO."""
    frames = 1 if image.format == 'MPO' else getattr(image, 'n_frames', 1)
    if frames > 1:
        raise PictureError(
            'picture_animated',
            f'expected one picture; got {image.format} with {frames} frames or pages. Save the one '
            'that you want as a file of its own',
        )


def _is_well_formed(data: bytes) -> bool:
    try:
        jpeg_lib.check(data)
    except jpeg_lib.JpegError:
        return False
    return True


def _to_rgb(image: Image.Image) -> Image.Image:
    try:
        return rgb.upright(image)
    except ValueError as error:
        raise PictureError('picture_depth', str(error)) from None


def _too_large(got: str) -> PictureError:
    return PictureError(
        'picture_too_large', f'expected a picture of a size that can be handled; got {got}'
    )
