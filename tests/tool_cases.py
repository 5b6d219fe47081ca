"""Archives with all kinds of masks, for the formats of annotation tools."""

import json
import pathlib

import numpy as np
import samples
from pycocotools import mask as coco_mask

DUMMY_DATA = pathlib.Path(__file__).resolve().parent.parent / 'dummy_data'
_REAL_AT_ONCE = 120  # masks of a real size that become one image


def odd_masks(height, width, seed=0):
    """uint8 [N, H, W]: holes, many parts, single pixels, lines, full, empty."""
    rng = np.random.default_rng(seed)
    masks = np.zeros([13, height, width], np.uint8)
    y, x = np.mgrid[:height, :width]
    distance = np.hypot(y - height / 2, x - width / 2) / max(1, min(height, width) / 2)
    masks[0] = (distance < 0.9) & (distance > 0.5)  # a hole
    masks[1] = ((distance < 0.9) & (distance > 0.6)) | (distance < 0.3)  # a part in a hole
    masks[2] = (y // 3 + x // 3) % 2  # many parts, which touch at corners
    masks[3] = rng.random((height, width)) < 0.5
    masks[4] = rng.random((height, width)) < 0.02
    masks[5] = 1
    # masks[6] is empty
    masks[7, 0, 0] = masks[8, -1, -1] = masks[9, height // 2, width // 2] = 1
    masks[10, :, width // 2] = masks[11, height // 2] = 1
    masks[12, 0, :] = masks[12, -1, :] = masks[12, :, 0] = masks[12, :, -1] = 1
    return masks


def blobs(count, height, width):
    """uint8 [N, H, W]: discs with ragged edges, of many sizes."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:height, :width]
    masks = np.zeros([count, height, width], np.uint8)
    for mask in masks:
        dy, dx = y - rng.uniform(0, height), x - rng.uniform(0, width)
        wobble = 1 + 0.2 * np.sin(rng.integers(3, 9) * np.arctan2(dy, dx))
        mask[:] = np.hypot(dy, dx) < wobble * np.exp(rng.uniform(1, np.log(height / 2)))
    return masks


def encode(masks):
    """`counts` as pycocotools writes them."""
    return [coco_mask.encode(np.asfortranarray(mask))['counts'] for mask in masks]


def annotation(identity, counts, size):
    """An annotation of SA-1B, of any mask; its box and area are pycocotools'."""
    rle = {'size': [int(side) for side in size], 'counts': counts}
    x, y, w, h = coco_mask.toBbox(rle).tolist()
    return {
        'id': identity,
        'area': int(coco_mask.area(rle)),
        'bbox': [x, y, max(w - 1, 0.0), max(h - 1, 0.0)],
        'segmentation': {**rle, 'counts': counts.decode()},
        'predicted_iou': 0.88 + identity % 97 / 641,
        'stability_score': 1 - identity % 89 / 1789,
        'point_coords': [[identity % size[1] + 0.0625, identity % size[0] + 0.5]],
        'crop_box': [0.0, 0.0, float(size[1]), float(size[0])],
    }


def pair(image_id, counts, size):
    """The two files of an image, by name."""
    rows = [annotation(9_000_000 + 1000 * image_id + n, one, size) for n, one in enumerate(counts)]
    image = {'image_id': image_id, 'width': int(size[1]), 'height': int(size[0])}
    content = {'image': {**image, 'file_name': f'sa_{image_id}.jpg'}, 'annotations': rows}
    return {
        f'./sa_{image_id}.jpg': samples.jpeg(image_id, *size),
        f'./sa_{image_id}.json': json.dumps(content).encode(),
    }


def write_odd(path, first_id=50_001):
    """An archive of odd masks, some of them on odd sizes."""
    files = {}
    for n, size in enumerate([(64, 96), (37, 53), (1, 40), (40, 1), (1, 1)]):
        files |= pair(first_id + n, encode(odd_masks(*size)), size)
    samples.write_archive(path, files)


def write_real(path, shared_data, first_id=60_001):
    """An archive of real masks."""
    import rle_cases  # which imports TensorFlow

    files = {}
    for size, counts in rle_cases.real(shared_data).items():
        for start in range(0, len(counts), _REAL_AT_ONCE):
            files |= pair(first_id, counts[start : start + _REAL_AT_ONCE], size)
            first_id += 1
    samples.write_archive(path, files)
