"""Small valid images, records and archives, for tests to use or to damage."""

import functools
import io
import json
import pathlib
import tarfile

import numpy as np
from PIL import Image
from pycocotools import mask as coco

HEIGHT, WIDTH = 60, 90


@functools.lru_cache(maxsize=512)
def jpeg(seed: int, height: int = HEIGHT, width: int = WIDTH) -> bytes:
    """A JPEG with smooth random content."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (6, 9, 3), dtype=np.uint8))
    out = io.BytesIO()
    coarse.resize((width, height), Image.Resampling.BICUBIC).save(out, 'JPEG')
    return out.getvalue()


def annotation(annotation_id: int, mask: np.ndarray) -> dict:
    """An annotation of SA-1B for a non-empty mask uint8 [H, W]."""
    height, width = mask.shape
    rle = coco.encode(np.asfortranarray(mask))
    rows, columns = np.nonzero(mask)
    x, y = float(columns.min()), float(rows.min())
    return {
        'id': annotation_id,
        'area': int(mask.sum()),
        'bbox': [x, y, float(columns.max()) - x, float(rows.max()) - y],
        'segmentation': {'size': [height, width], 'counts': rle['counts'].decode()},
        'predicted_iou': 0.9 + annotation_id % 10 / 128,
        'stability_score': 0.95,
        'point_coords': [[float(columns[0]), float(rows[0])]],
        'crop_box': [0.0, 0.0, float(width), float(height)],
    }


def record(image_id: int, masks: int = 3, height: int = HEIGHT, width: int = WIDTH) -> dict:
    """A record of SA-1B with random rectangular masks."""
    rng = np.random.default_rng(image_id)
    annotations = []
    for index in range(masks):
        y, x = rng.integers(0, height - 4), rng.integers(0, width - 4)
        mask = np.zeros((height, width), np.uint8)
        mask[y : y + rng.integers(1, height - y), x : x + rng.integers(1, width - x)] = 1
        annotations.append(annotation(image_id * 1000 + index, mask))
    image = {
        'image_id': image_id,
        'width': width,
        'height': height,
        'file_name': f'sa_{image_id}.jpg',
    }
    return {'image': image, 'annotations': annotations}


def members(first_id: int, count: int, masks: int = 3) -> dict[str, bytes]:
    """The files of an archive, by name."""
    files = {}
    for image_id in range(first_id, first_id + count):
        files[f'./sa_{image_id}.jpg'] = jpeg(image_id)
        files[f'./sa_{image_id}.json'] = json.dumps(record(image_id, masks)).encode()
    return files


def write_archive(path: pathlib.Path, files: dict[str, bytes], *, gzip: bool = True) -> None:
    """Writes files into a tar, in a random but repeatable order."""
    names = sorted(files)
    np.random.default_rng(len(names)).shuffle(names)
    with tarfile.open(path, 'w:gz' if gzip else 'w') as tar:
        for name in names:
            info = tarfile.TarInfo(name)
            info.size = len(files[name])
            tar.addfile(info, io.BytesIO(files[name]))


def write_archives(folder: pathlib.Path, archives: int, images: int = 4, masks: int = 3) -> None:
    """Writes `sa_000000.tar` and so on, with distinct image ids."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(archives):
        path = folder / f'sa_{number:06d}.tar'
        write_archive(path, members(1 + number * 1000, images, masks))
