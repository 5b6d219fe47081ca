"""Images and masks of one's own, from files and arrays, as records of SA-1B."""

from __future__ import annotations

import io
import itertools
import os
import pathlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from segment_anything_tfds.exchange import imports, records
from segment_anything_tfds.exchange.readers import drawn, image_files, shapes
from segment_anything_tfds.source.record import coco_rle, jpeg

Picture = str | os.PathLike | bytes | np.ndarray
Masks = np.ndarray | str | os.PathLike | Sequence[Any]
_END = object()


def read(
    images: Iterable[Picture],
    masks: Iterable[Masks],
    *,
    labels: Iterable[Sequence[str]] | None = None,
    license: str = '',
    source: str = '',
    on_fault: records.OnFault = records.raise_fault,
) -> Iterator[imports.Imported]:
    """Reads records of images and masks; both may be generators, of which one item is held.

    Args:
      images: image files, as paths or bytes, or arrays uint8 [H, W, 3] or [H, W].
      masks: of each image its masks: an array [N, H, W], non-zero in each mask; an array [H, W]
        or a picture file, in which each value but 0 is a mask; or a sequence of arrays [H, W],
        picture files and COCO RLE, each of them one mask.
      labels: of each image a label for each mask.
      license, source: for the side table, where the images come from.
      on_fault: called with each fault; what has it is left out. By default the first one raises.

    Yields:
      Records in the order of the images. Images called `sa_<id>` keep their numbers, others are
      numbered from 1 on; so are the masks.

    Raises:
      ValueError: there are more images than masks, or the other way round.
      DataError: by default, an image or a mask cannot be taken.
    """
    report = drawn.Report('records.write', on_fault)
    converter = imports.Converter()
    numbers = itertools.count(1)
    names = itertools.repeat(None) if labels is None else labels
    both = itertools.zip_longest(images, masks, fillvalue=_END)
    for n, ((image, found), words) in enumerate(zip(both, names, strict=False)):
        if image is _END or found is _END:
            raise ValueError(
                f'`records.write`: expected as many `images` as `masks`; got {n} of one, more of '
                'the other. Give an image without masks an empty list.'
            )
        where = f'image {n}'
        with report.element(where):
            content, size = image_files.to_jpeg(_content(image), None, turned=False)
            counts = _counts(found, size)
            words = [''] * len(counts) if words is None else list(words)
            if len(words) != len(counts):
                raise drawn.Refused(
                    'import_invalid', f'expected {len(counts)} labels; got {len(words)}'
                )
            drawn_masks = [
                drawn.Mask(one, word, {'sa_id': next(numbers)}, f'{where} / mask {k}')
                for k, (one, word) in enumerate(zip(counts, words, strict=True))
            ]
            name = _name(image)
            picture = drawn.Picture(name, size, drawn_masks, where, license=license, source=source)
            yield converter.convert(picture, content, report, turned=False)


def _name(image: Picture) -> str:
    return os.fspath(image) if isinstance(image, (str, os.PathLike)) else ''


def _content(image: Picture) -> bytes:
    if isinstance(image, bytes):
        return image
    if not isinstance(image, np.ndarray):
        try:
            return pathlib.Path(image).read_bytes()
        except OSError as error:
            raise drawn.Refused('import_image', f'expected an image file; got {error}') from None
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or image.shape[2:] not in ((), (3,)):
        raise drawn.Refused(
            'import_image',
            f'expected an image uint8 [H, W, 3] or [H, W]; got {image.dtype} {list(image.shape)}',
        )
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, 'PNG')
    return buffer.getvalue()


def _counts(masks: Masks, size: tuple[int, int]) -> list[bytes]:
    """Gives compressed strings of one image's masks."""
    if isinstance(masks, (str, os.PathLike)):
        return _of_values(_picture(masks), size)
    if isinstance(masks, np.ndarray) and masks.ndim == 2:
        return _of_values(masks, size)
    if isinstance(masks, np.ndarray) and masks.ndim == 3:
        _check(masks.shape[1:], size)
        return coco_rle.encode(masks)
    return [_one(mask, size) for mask in masks]


def _one(mask: Any, size: tuple[int, int]) -> bytes:
    if isinstance(mask, Mapping):
        text = mask.get('counts')
        counts = text.decode('ascii', 'replace') if isinstance(text, bytes) else text
        return shapes.from_rle({**mask, 'counts': counts, 'size': list(mask.get('size', ()))}, size)
    pixels = _picture(mask) if isinstance(mask, (str, os.PathLike)) else np.asarray(mask)
    _check(pixels.shape, size)
    return coco_rle.encode(pixels[None])[0]


def _of_values(pixels: np.ndarray, size: tuple[int, int]) -> list[bytes]:
    """Makes a mask for each value but 0, from the least value on."""
    _check(pixels.shape, size)
    values = np.unique(pixels)
    return [coco_rle.encode((pixels == value)[None])[0] for value in values[values != 0]]


def _picture(path: str | os.PathLike) -> np.ndarray:
    """Reads the values of a picture of masks [H, W]; those of a palette are its indices."""
    try:
        with jpeg.strict_pillow(), Image.open(path) as image:
            pixels = np.asarray(image)
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise drawn.Refused('import_invalid', f'expected a picture of masks; got {error}') from None
    if pixels.ndim != 2:
        raise drawn.Refused(
            'import_invalid',
            f'expected {os.fspath(path)} to be grey, black and white, or of a palette; got '
            f'{pixels.shape[2]} channels',
        )
    return pixels


def _check(shape: tuple[int, ...], size: tuple[int, int]) -> None:
    if tuple(shape) != size:
        raise drawn.Refused(
            'import_size_mismatch',
            f'expected masks of (height, width) {size}, as the image; got {tuple(shape)}',
        )
