"""Archives of SA-1B's shape and size, made from a seed: `python benchmarks/archives.py FOLDER`.

1500 x 2250 JPEGs of about 0.8 MB, records of 100 annotations with `counts` of about 450
characters (75 KB), valid in every check, members in random order, gzip. A dozen pictures and
records are made and used again under new ids; pictures are compressed once, so that archives are
written as fast as the disk takes them.
"""

from __future__ import annotations

import argparse
import functools
import io
import json
import pathlib
import struct
import sys
import tarfile
import zlib
from collections.abc import Iterator

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask

sys.path.append(str(pathlib.Path(__file__).resolve().parent))

import masks

HEIGHT, WIDTH = masks.SIZE
NUM_DISTINCT = 12
NUM_ANNOTATIONS = 100
_GZIP_HEADER = b'\x1f\x8b\x08\0\0\0\0\0\0\xff'
_FINAL_BLOCK = b'\x03\x00'


def make_archives(
    folder: pathlib.Path, num_archives: int, images_per_archive: int, seed: int = 0
) -> list[pathlib.Path]:
    """Writes `sa_000000.tar`, `sa_000001.tar`, ... and returns their paths.

    Args:
      folder: where to write; made if absent.
      num_archives: number of archives.
      images_per_archive: images in each (SA-1B has 11,186).
      seed: seed of all randomness; ids and order differ from archive to archive.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f'sa_{number:06d}.tar' for number in range(num_archives)]
    for number, path in enumerate(paths):
        _write(path, number, images_per_archive, seed)
    return paths


def jpeg(seed: int, height: int = HEIGHT, width: int = WIDTH) -> bytes:
    """A JPEG with the noise and the smooth parts of a photograph: at 1500 x 2250 about 0.9 MB.

    Like a camera's, it is a little redundant: gzip saves 1 % of it and codes it symbol by symbol,
    so it takes as long to gunzip. Gzip merely stores a JPEG of pure noise, which takes no time.
    """
    rng = np.random.default_rng([seed, 1])
    pixels = np.full((height, width, 3), 110, np.float32)
    for cell, swing in ((500, 60), (90, 30), (24, 12)):
        grid = rng.standard_normal((height // cell + 2, width // cell + 2, 3)) * swing
        for channel in range(3):
            coarse = Image.fromarray(grid[..., channel].astype(np.float32))
            pixels[..., channel] += np.asarray(
                coarse.resize((width, height), Image.Resampling.BICUBIC)
            )
    pixels += rng.normal(0, 8, (height, width, 1)).astype(np.float32)
    buffer = io.BytesIO()
    Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(buffer, 'JPEG', quality=85)
    return buffer.getvalue()


def annotations(
    seed: int, num_annotations: int = NUM_ANNOTATIONS, size: tuple[int, int] = (HEIGHT, WIDTH)
) -> list[dict]:
    """Valid annotations of random masks; their ids are 0, 1, ..."""
    rng = np.random.default_rng([seed, 2])
    height, width = size
    rows = []
    for counts in masks.make(num_annotations, size=size, seed=seed):
        rle = {'size': list(size), 'counts': counts}
        area, (x, y, w, h) = int(coco_mask.area(rle)), coco_mask.toBbox(rle).tolist()
        rows.append(
            {
                'id': len(rows),
                'area': area,
                'bbox': [x, y, max(w - 1, 0.0), max(h - 1, 0.0)],
                'segmentation': {**rle, 'counts': counts.decode()},
                'predicted_iou': float(rng.uniform(0.88, 1.02)),
                'stability_score': float(rng.uniform(0.95, 1.0)),
                'point_coords': [[x + int(8 * w) / 16, y + int(8 * h) / 16]],
                'crop_box': [0.0, 0.0, float(width), float(height)],
            }
        )
    return rows


def record(image_id: int, rows: list[dict], size: tuple[int, int] = (HEIGHT, WIDTH)) -> bytes:
    """The JSON of an image: `rows` of `annotations`, under ids that no other image has."""
    image = {
        'image_id': image_id,
        'width': size[1],
        'height': size[0],
        'file_name': f'sa_{image_id}.jpg',
    }
    rows = [{**row, 'id': 1_000 * image_id + row['id']} for row in rows]
    return json.dumps({'image': image, 'annotations': rows}).encode()


@functools.cache
def _distinct(seed: int) -> tuple[bytes, bytes, list[dict]]:
    image = jpeg(seed)
    return image, _deflate(_pad(image)), annotations(seed)


def _write(path: pathlib.Path, number: int, num_images: int, seed: int) -> None:
    checksum = length = 0
    with path.open('wb') as file:
        file.write(_GZIP_HEADER)
        for data, compressed in _blocks(number, num_images, seed):
            file.write(_deflate(data) if compressed is None else compressed)
            checksum, length = zlib.crc32(data, checksum), length + len(data)
        file.write(_FINAL_BLOCK + struct.pack('<II', checksum, length % 2**32))


def _blocks(number: int, num_images: int, seed: int) -> Iterator[tuple[bytes, bytes | None]]:
    """The parts of a tar, each with its compressed form where that is known."""
    order = np.random.default_rng([seed, number]).permutation(2 * num_images)
    yield _header('.', None), None
    for member in order.tolist():
        index, is_record = divmod(member, 2)
        image_id = num_images * number + index + 1
        image, compressed, rows = _distinct(seed * NUM_DISTINCT + index % NUM_DISTINCT)
        if is_record:
            data = record(image_id, rows)
            yield _header(f'./sa_{image_id}.json', len(data)) + _pad(data), None
        else:
            yield _header(f'./sa_{image_id}.jpg', len(image)), None
            yield _pad(image), compressed
    yield bytes(2 * tarfile.BLOCKSIZE), None


def _header(name: str, size: int | None) -> bytes:
    member = tarfile.TarInfo(name)
    member.type = tarfile.DIRTYPE if size is None else tarfile.REGTYPE
    member.size, member.mode = size or 0, 0o644
    return member.tobuf(tarfile.GNU_FORMAT)


def _pad(data: bytes) -> bytes:
    return data + bytes(-len(data) % tarfile.BLOCKSIZE)


def _deflate(data: bytes) -> bytes:
    """A piece of a deflate stream that can stand after any other."""
    compressor = zlib.compressobj(6, zlib.DEFLATED, -15)
    return compressor.compress(data) + compressor.flush(zlib.Z_FULL_FLUSH)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('folder', type=pathlib.Path, help='where to write')
    parser.add_argument('--archives', type=int, default=4, help='default: %(default)s')
    parser.add_argument('--images', type=int, default=250, help='in each; default: %(default)s')
    parser.add_argument('--seed', type=int, default=0, help='default: %(default)s')
    arguments = parser.parse_args()
    paths = make_archives(arguments.folder, arguments.archives, arguments.images, arguments.seed)
    for path in paths:
        print(f'{path}: {path.stat().st_size:,} bytes')


if __name__ == '__main__':
    main()
