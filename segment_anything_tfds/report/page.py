"""One HTML page, complete in itself, to browse images and their masks.

The page holds the images as JPEG (reduced for the screen) and the annotations as they are; it
decodes the masks' run lengths itself. It needs no server and no network.
"""

from __future__ import annotations

import base64
import dataclasses
import io
import json
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from segment_anything_tfds.report import draw
from segment_anything_tfds.source.record import coco_rle

_TEMPLATE = pathlib.Path(__file__).with_name('page.html')
_SCRIPT = _TEMPLATE.with_suffix('.js')
_IMAGE_SIDE, _THUMBNAIL_SIDE = 1280, 96


@dataclasses.dataclass(frozen=True)
class Sample:
    """An image with its annotations.

    Attributes:
      name: what the page calls it, for example the file name.
      image: `uint8` [H, W, 3].
      annotations: objects with the keys of SA-1B's JSON; `segmentation` in COCO RLE.
    """

    name: str
    image: np.ndarray
    annotations: Sequence[Mapping[str, Any]]


def render(samples: Iterable[Sample]) -> str:
    """Writes the page, as HTML.

    Args:
      samples: at least one; each is taken, written and let go.

    Returns:
      The text of the HTML file.

    Raises:
      ValueError: with no samples.
    """
    data = [_to_json(sample) for sample in samples]
    if not data:
        raise ValueError(
            '`page.render`: expected `samples` with at least one image; got none. '
            'Choose other archives or a wider filter.'
        )
    page = _TEMPLATE.read_text(encoding='utf-8')
    page = page.replace('%SCRIPT%', _SCRIPT.read_text(encoding='utf-8'), 1)
    return page.replace('%DATA%', f'[{",".join(data)}]', 1)


def _to_json(sample: Sample) -> str:
    height, width = sample.image.shape[:2]
    text = json.dumps(
        {
            'name': sample.name,
            'width': width,
            'height': height,
            'image': _to_data_url(sample.image, _IMAGE_SIDE, 85),
            'thumbnail': _to_data_url(sample.image, _THUMBNAIL_SIDE, 75),
            'annotations': list(sample.annotations),
            'tree': _tree(sample.annotations, (height, width)),
            'colors': draw.palette(len(sample.annotations)).tolist(),
        }
    )
    return text.replace('<', '\\u003c')


def _tree(annotations: Sequence[Mapping[str, Any]], size: tuple[int, int]) -> dict[str, list]:
    """Tells which mask is part of which, in the order of the annotations."""
    counts = [row['segmentation']['counts'] for row in annotations]
    tree = coco_rle.hierarchy(counts, size)
    return {name: getattr(tree, name).tolist() for name in ('parents', 'depth', 'levels')}


def _to_data_url(image: np.ndarray, side: int, quality: int) -> str:
    buffer = io.BytesIO()
    draw.fit(image, side).save(buffer, 'JPEG', quality=quality, optimize=True)
    return 'data:image/jpeg;base64,' + base64.b64encode(buffer.getvalue()).decode()
