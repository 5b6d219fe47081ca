"""The images that a tool's files name: found below given folders only, and turned into JPEGs."""

from __future__ import annotations

import io
import pathlib
from collections.abc import Sequence

from PIL import Image, ImageOps

from segment_anything_tfds.exchange.readers import drawn, json_values
from segment_anything_tfds.source.record import jpeg

_LARGEST = 1 << 28  # bytes of a file
_PIXELS = 1 << 28
_ORIENTATION = 0x0112
_MODES = ('1', 'L', 'P', 'RGB', 'RGBA', 'LA', 'CMYK', 'YCbCr')


class ImageFiles:
    """Finds images by name.

    Args:
      folders: where to look, one after the other.
      by_name_alone: whether the folders of a name may be ignored, as where a user has said where
        the images are.
    """

    def __init__(self, folders: Sequence[pathlib.Path], *, by_name_alone: bool = False):
        self._folders = [pathlib.Path(folder) for folder in folders]
        self._by_name_alone = by_name_alone

    def read(self, name: str) -> bytes:
        """Gives the file of this name.

        Raises:
          Refused: there is none, or the name leads out of the folders.
        """
        parts = pathlib.PurePosixPath(name.replace('\\', '/')).parts
        leads_out = not parts or '..' in parts or parts[0].endswith((':', '/')) or '\0' in name
        if leads_out and not (self._by_name_alone and parts and parts[-1] != '..'):
            raise drawn.Refused(
                'import_path_outside',
                f'expected the name of an image below its folder; got {name!r}. Say where images '
                'are with --images',
            )
        tries = [] if leads_out else [pathlib.Path(*parts)]
        tries += [pathlib.Path(parts[-1])]
        for folder in self._folders:
            for inner in tries:
                path = folder / inner
                if not path.is_file():
                    continue
                if not path.resolve().is_relative_to(folder.resolve()):
                    raise drawn.Refused(
                        'import_path_outside', f'expected {name!r} below {folder}; got a link out'
                    )
                return _read(path)
        places = ', '.join(map(str, self._folders))
        raise drawn.Refused(
            'import_image', f'expected the image {name!r} in {places}; got no such file'
        )


def _read(path: pathlib.Path) -> bytes:
    size = path.stat().st_size
    if size > _LARGEST:
        raise drawn.Refused('import_image', f'expected at most {_LARGEST} bytes; got {size}')
    return path.read_bytes()


def to_jpeg(
    data: bytes, size: tuple[int, int] | None, *, turned: bool
) -> tuple[bytes, tuple[int, int]]:
    """Makes a JPEG as SA-1B's, without a rotation in its EXIF data.

    Args:
      data: an image file of a common kind.
      size: (height, width) that its masks have, where they say so.
      turned: whether the tool shows images as EXIF data rotate them. Where not,
        `size` decides, and without one they stay as they are stored.

    Returns:
      The bytes, as they came where they are a JPEG that needs no turning, else encoded anew with
      quality 95 and without chroma subsampling; and (height, width).

    Raises:
      Refused: it cannot be read, or has another size.
    """
    try:
        with jpeg.strict_pillow(), Image.open(io.BytesIO(data)) as image:
            if image.width * image.height > _PIXELS:
                raise drawn.Refused('import_image', f'expected < 2^28 pixels; got {image.size}')
            turn = image.getexif().get(_ORIENTATION, 1) != 1
            if turn and not turned:
                turn = size not in (None, (image.height, image.width))
            if image.format == 'JPEG' and not turn and _is_whole(data):
                found = data, (image.height, image.width)
            else:
                found = _encode(ImageOps.exif_transpose(image) if turn else image)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        if isinstance(error, drawn.Refused):
            raise
        detail = f'expected an image; got {json_values.explain(error)}'
        raise drawn.Refused('import_image', detail) from None
    if size is not None and found[1] != tuple(size):
        raise drawn.Refused(
            'import_size_mismatch',
            f'expected an image of (height, width) {tuple(size)}, as its masks; got {found[1]}',
        )
    return found


def _is_whole(data: bytes) -> bool:
    try:
        jpeg.check(data)
    except jpeg.JpegError as error:
        if error.reason != 'jpeg_unsupported':
            raise
        return False
    return True


def _encode(image: Image.Image) -> tuple[bytes, tuple[int, int]]:
    if image.mode not in _MODES:
        raise drawn.Refused(
            'import_image', f'expected an image of 8 bits a channel; got mode {image.mode}'
        )
    buffer = io.BytesIO()
    image.convert('RGB').save(buffer, 'JPEG', quality=95, subsampling=0)
    return buffer.getvalue(), (image.height, image.width)
