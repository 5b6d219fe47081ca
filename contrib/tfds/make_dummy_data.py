"""Writes `dummy_data/`, what the test case of TFDS reads: `python contrib/tfds/make_dummy_data.py`.

A links file as Meta's, with rows that are no archives, and one archive with one pair.
"""

from __future__ import annotations

import gzip
import io
import json
import pathlib
import tarfile

import numpy as np
from PIL import Image
from pycocotools import mask as coco

FOLDER = pathlib.Path(__file__).resolve().parent / 'dummy_data'
IMAGE_ID, HEIGHT, WIDTH = 226381, 48, 64
LINKS = """\
file_name\tcdn_link
sa_000020.tar\thttps://links.example.invalid/20.tar?oe=64F0A1B2
sa_images_ids.txt\thttps://links.example.invalid/ids.txt?oe=64F0A1B2
sa_co_gold.tar\thttps://links.example.invalid/gold.tar?oe=64F0A1B2
"""


def make() -> None:
    """Writes the folder; it has the same bytes each time."""
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / 'segment_anything_links.txt').write_text(LINKS)
    files = {'.json': json.dumps(_record()).encode(), '.jpg': _jpeg()}
    with (
        (FOLDER / 'sa_000020.tar').open('wb') as stored,
        gzip.GzipFile('', 'wb', fileobj=stored, mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode='w', format=tarfile.USTAR_FORMAT) as tar,
    ):
        for ending, data in files.items():
            member = tarfile.TarInfo(f'./sa_{IMAGE_ID}{ending}')
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))


def _jpeg() -> bytes:
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    pixels = np.stack([4 * columns, 5 * rows, 2 * (rows + columns)], -1).astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, 'JPEG')
    return out.getvalue()


def _record() -> dict:
    image = {'image_id': IMAGE_ID, 'width': WIDTH, 'height': HEIGHT}
    image['file_name'] = f'sa_{IMAGE_ID}.jpg'
    return {'image': image, 'annotations': [_annotation(1, 4, 6), _annotation(2, 30, 20)]}


def _annotation(number: int, x: int, y: int) -> dict:
    mask = np.zeros((HEIGHT, WIDTH), np.uint8, order='F')
    mask[y : y + 10, x : x + 20] = 1
    rle = coco.encode(mask)
    return {
        'id': 333521560 + number,
        'segmentation': {'size': [HEIGHT, WIDTH], 'counts': rle['counts'].decode()},
        'area': int(mask.sum()),
        'bbox': [float(x), float(y), 19.0, 9.0],  # SA-1B's end on the last pixel
        'predicted_iou': 0.9375,
        'stability_score': 0.96875,
        'point_coords': [[x + 10.5, y + 5.5]],
        'crop_box': [0.0, 0.0, float(WIDTH), float(HEIGHT)],
    }


if __name__ == '__main__':
    make()
