"""Writes the archives and the links file of this folder, from a seed: `python dummy_data/make.py`.

The pictures are painted by `scenes.py`; nothing here is data of SA-1B, but everything has its
format: one plain tar, one in gzip, one with a folder inside; members in random order.
"""

from __future__ import annotations

import argparse
import gzip
import io
import json
import pathlib
import sys
import tarfile

import numpy as np
from PIL import Image

FOLDER = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(FOLDER), str(FOLDER.parent)]

import canvas  # noqa: E402
import scenes  # noqa: E402

from segment_anything_tfds.source.record import coco_rle  # noqa: E402
from segment_anything_tfds.source.remote import links_file  # noqa: E402

SEED = 20230405
MTIME = 1680652800
SHAPES = [(600, 900), (600, 800), (900, 600), (600, 900), (640, 640)]
IMAGES_PER_ARCHIVE = len(SHAPES)
LINK = (
    'https://links.example.invalid/m1/v/t6/{key}.tar?ccb=10-5&oh=00_{sign}&oe={oe}&_nc_sid=0fdd51'
)
EXPIRED = '64F0A1B2'  # As in a copy of the file that is found years later.


def make(folder: pathlib.Path, seed: int = SEED) -> list[pathlib.Path]:
    """Writes the three archives and the links file; the same seed gives the same bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    written = [make_archive(folder, number, seed) for number in range(3)]
    written.append(folder / links_file.FILE_NAME)
    written[-1].write_bytes(make_links(seed).encode())
    return written


def make_archive(folder: pathlib.Path, number: int, seed: int = SEED) -> pathlib.Path:
    """Writes one archive: 0 is plain, 1 in gzip, 2 has a folder inside."""
    rng = np.random.default_rng([seed, number])
    files = {}
    for index in range(IMAGES_PER_ARCHIVE):
        image_id = 2001 + 13 * (IMAGES_PER_ARCHIVE * number + index)
        image, record = make_pair(image_id, number, index, seed)
        files[f'sa_{image_id}.jpg'], files[f'sa_{image_id}.json'] = image, record
    names = sorted(files)
    rng.shuffle(names)
    prefix = f'sa_{number:06d}' if number == 2 else '.'
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode='w', format=tarfile.USTAR_FORMAT) as tar:
        _add(tar, prefix, None)
        for name in names:
            _add(tar, f'{prefix}/{name}', files[name])
    path = folder / f'sa_{number:06d}.tar'
    data = buffer.getvalue()
    path.write_bytes(gzip.compress(data, mtime=0) if number == 1 else data)
    return path


def make_pair(image_id: int, number: int, index: int, seed: int = SEED) -> tuple[bytes, bytes]:
    """One JPEG and its record. The last image of archive 1 has no annotations."""
    height, width = SHAPES[index]
    light = list(canvas.LIGHTS)[(index + number) % len(canvas.LIGHTS)]
    scene = scenes.landscape(seed + image_id, height, width, light)
    masks = {} if (number, index) == (1, IMAGES_PER_ARCHIVE - 1) else find_masks(scene)
    buffer = io.BytesIO()
    Image.fromarray(scene.render()).save(buffer, 'JPEG', quality=88)
    image = {
        'image_id': image_id,
        'width': width,
        'height': height,
        'file_name': f'sa_{image_id}.jpg',
    }
    annotations = annotate(masks, image_id, seed)
    return buffer.getvalue(), json.dumps({'image': image, 'annotations': annotations}).encode()


def find_masks(scene: scenes.Scene) -> dict[str, np.ndarray]:
    """Masks bool [H, W] of objects, of wholes made of parts, and of the odd cases."""
    masks = scene.masks()
    wholes = {name.split(' ')[0] for name in masks if name.startswith('house')}
    wholes |= {' '.join(name.split(' ')[:2]) for name in masks if name.startswith('balloon')}
    for whole in sorted(wholes):
        parts = [mask for name, mask in masks.items() if name.startswith(whole + ' ')]
        if len(parts) > 1:
            masks[whole] = np.any(parts, axis=0)
    masks['picture'] = np.ones((scene.height, scene.width), bool)
    speck = np.zeros((scene.height, scene.width), bool)
    speck[tuple(np.argwhere(masks['flowers'])[0])] = True
    masks['speck'] = speck
    return masks


def annotate(masks: dict[str, np.ndarray], image_id: int, seed: int = SEED) -> list[dict]:
    """SA-1B annotations of masks that are not empty, in random order."""
    rng = np.random.default_rng([seed, image_id])
    names = sorted(masks)
    rng.shuffle(names)
    ids = 400_000_000 + 7_000 * image_id + np.cumsum(rng.integers(1, 90, len(names)))
    counts = coco_rle.encode(np.stack([masks[name] for name in names])) if names else []
    return [
        _annotate_mask(masks[name], string, int(number), rng)
        for name, string, number in zip(names, counts, ids, strict=True)
    ]


def _annotate_mask(mask: np.ndarray, counts: bytes, number: int, rng: np.random.Generator) -> dict:
    rows, columns = np.nonzero(mask)
    pick = rng.integers(len(rows))
    x, y = float(columns.min()), float(rows.min())
    right, bottom = float(columns.max()), float(rows.max())
    return {
        'id': number,
        'area': len(rows),
        'bbox': [x, y, right - x, bottom - y],
        'segmentation': {'size': list(mask.shape), 'counts': counts.decode()},
        'predicted_iou': float(rng.uniform(0.88, 1.02)),
        'stability_score': float(rng.uniform(0.95, 1.0)),
        'point_coords': [
            [
                float(columns[pick] + rng.integers(16) / 16),
                float(rows[pick] + rng.integers(16) / 16),
            ]
        ],
        'crop_box': _crop_box(x, y, right, bottom, *mask.shape),
    }


def _crop_box(
    x: float, y: float, right: float, bottom: float, height: int, width: int
) -> list[float]:
    """The quarter of the image (with a margin) that an object lies in, else the whole image."""
    wide, tall = 0.6 * width // 1, 0.6 * height // 1
    for left, top in ((0, 0), (width - wide, 0), (0, height - tall), (width - wide, height - tall)):
        if left < x and top < y and right < left + wide - 1 and bottom < top + tall - 1:
            return [float(left), float(top), wide, tall]
    return [0.0, 0.0, float(width), float(height)]


def make_links(seed: int = SEED) -> str:
    """A links file as SA-1B's: a header, no order, rows that are not archives, no last line end."""
    rng = np.random.default_rng([seed, 99])
    alphabet = np.array(list('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-'))
    names = [
        'sa_000002.tar',
        'sa_images_ids.txt',
        'sa_000000.tar',
        'sa_co_gold.tar',
        'sa_000001.tar',
    ]
    rows = ['file_name\tcdn_link']
    for name in names:
        key, sign = (''.join(rng.choice(alphabet, size)) for size in (86, 38))
        rows.append(f'{name}\t{LINK.format(key=key, sign=sign, oe=EXPIRED)}')
    return '\n'.join(rows)


def _add(tar: tarfile.TarFile, name: str, data: bytes | None) -> None:
    member = tarfile.TarInfo(name)
    member.mtime = MTIME
    if data is None:
        member.type, member.mode = tarfile.DIRTYPE, 0o755
        tar.addfile(member)
    else:
        member.size = len(data)
        tar.addfile(member, io.BytesIO(data))


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--folder', type=pathlib.Path, default=FOLDER, help='where to write')
    parser.add_argument('--seed', type=int, default=SEED)
    arguments = parser.parse_args()
    for path in make(arguments.folder, arguments.seed):
        print(f'{path.name}: {path.stat().st_size:,} bytes')
