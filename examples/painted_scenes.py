"""Scenes painted as `dummy_data/make.py` does, and what `train_tiny_sam.py` makes of them."""

from __future__ import annotations

import json
import multiprocessing
import pathlib
import sys

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / 'dummy_data')]

import make  # noqa: E402  (dummy_data/make.py)

TRAINED = 10**9  # image ids of the scenes that are trained on; those of dummy_data lie below
HELD_OUT = 2 * 10**9


def painted(first: int, count: int, processes: int) -> list[tuple[bytes, dict]]:
    """Scenes of consecutive image ids."""
    with multiprocessing.get_context('spawn').Pool(processes) as pool:
        return pool.map(paint, range(first, first + count), 8)


def paint(image_id: int) -> tuple[bytes, dict]:
    """A JPEG and its record, of one of the shapes and lights of `dummy_data`.

    `point_coords` are the middles of the masks, where somebody would click.
    """
    from segment_anything_tfds.training.scoring import fullsize, next_click

    index = image_id % len(make.SHAPES)
    jpeg, text = make.make_pair(image_id, image_id // 5 % 4 + 2, index, seed=0)
    record = json.loads(text)
    for row in record['annotations']:
        counts, size = row['segmentation']['counts'].encode(), row['segmentation']['size']
        middle = next_click.center(fullsize.from_rle(counts, size))
        row['point_coords'] = [[middle.x, middle.y]]
    return jpeg, record


def as_example(scene: tuple[bytes, dict]) -> dict:
    """The scene as an example of the dataset."""
    jpeg, record = scene
    image, rows = record['image'], record['annotations']
    height, width = image['height'], image['width']
    boxes = np.array([row['bbox'] for row in rows], np.float32)
    low, high = boxes[:, 1::-1], boxes[:, 1::-1] + boxes[:, :1:-1]
    return {
        'image': {
            'content': jpeg,
            'height': np.uint64(height),
            'width': np.uint64(width),
            'image_id': np.uint64(image['image_id']),
        },
        'annotations': {
            'area': np.array([row['area'] for row in rows], np.uint64),
            'bbox': np.concatenate([low, high], 1) / np.array([height, width] * 2, np.float32),
            'point_coords': np.array([row['point_coords'] for row in rows], np.float64),
            'predicted_iou': np.array([row['predicted_iou'] for row in rows]),
            'stability_score': np.array([row['stability_score'] for row in rows]),
            'segmentation': {
                'counts': np.array([row['segmentation']['counts'].encode() for row in rows])
            },
        },
    }


def dataset_of(scenes: list[tuple[bytes, dict]], seed: int):
    """The scenes as an endless shuffled `tf.data.Dataset` of examples."""
    import tensorflow as tf

    examples = [as_example(scene) for scene in scenes]

    def spec(value, ragged: bool):
        if isinstance(value, dict):
            return {
                name: spec(part, ragged or name == 'annotations') for name, part in value.items()
            }
        value = np.asarray(value)
        dtype = tf.string if value.dtype.kind == 'S' else value.dtype
        return tf.TensorSpec([None, *value.shape[1:]] if ragged else value.shape, dtype)

    dataset = tf.data.Dataset.from_generator(
        lambda: iter(examples), output_signature=spec(examples[0], False)
    )
    return dataset.cache().shuffle(len(examples), seed=seed).repeat()
