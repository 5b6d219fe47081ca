"""What people do first with SA-1B, three lines each.

    python examples/dataset_helpers.py DIR

`DIR` holds the dataset `segment_anything`, as `tfds.load` or `tfds build` prepared it.
"""

from __future__ import annotations

import sys

import tensorflow as tf
import tensorflow_datasets as tfds

import segment_anything_tfds  # noqa: F401  (registers the dataset)
from segment_anything_tfds import training
from segment_anything_tfds.training.data import datasets


def images_with_50_to_150_masks(data_dir: str) -> tf.data.Dataset:
    dataset = tfds.load('segment_anything', split='train', data_dir=data_dir)
    return dataset.filter(datasets.num_masks(50, 150))


def only_large_objects(data_dir: str) -> tf.data.Dataset:
    dataset = tfds.load('segment_anything', split='train', data_dir=data_dir)
    return dataset.map(datasets.keep_masks(min_area=96**2))


def only_small_objects(data_dir: str) -> tf.data.Dataset:
    dataset = tfds.load('segment_anything', split='train', data_dir=data_dir)
    return dataset.map(datasets.keep_masks(max_area=32**2))


def mixed_with(other: tf.data.Dataset, data_dir: str) -> tf.data.Dataset:
    dataset = tfds.load('segment_anything', split='train', data_dir=data_dir)
    return tf.data.Dataset.sample_from_datasets([dataset, other], weights=[0.9, 0.1], seed=1)


def train_and_validation(data_dir: str) -> tuple[tf.data.Dataset, tf.data.Dataset]:
    dataset = tfds.load('segment_anything', split='train', data_dir=data_dir)
    held_out = lambda example: datasets.is_held_out(example['image']['image_id'], 0.2)  # noqa: E731
    return dataset.filter(lambda example: ~held_out(example)), dataset.filter(held_out)


def with_copy_paste(data_dir: str) -> tf.data.Dataset:
    dataset = tfds.load('segment_anything', split='train', data_dir=data_dir)
    seeds = tf.data.Dataset.random(1, rerandomize_each_iteration=True).batch(2)
    pairs = tf.data.Dataset.zip(dataset, dataset.shuffle(100, seed=1), seeds)
    return pairs.map(lambda example, source, seed: training.copy_paste(example, source, seed=seed))


def main(data_dir: str) -> dict[str, int]:
    train, validation = train_and_validation(data_dir)
    large = only_large_objects(data_dir)
    counts = {
        'images with 50 to 150 masks': images_with_50_to_150_masks(data_dir),
        'images, only large objects': large,
        'images, only small objects': only_small_objects(data_dir),
        'images, mixed': mixed_with(large, data_dir),
        'images to train': train,
        'images to validate': validation,
        'images with pasted objects': with_copy_paste(data_dir),
    }
    counts = {name: sum(1 for _ in dataset) for name, dataset in counts.items()}
    for name, count in counts.items():
        print(f'{count:6} {name}')
    return counts


if __name__ == '__main__':
    main(sys.argv[1])
