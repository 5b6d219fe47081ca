"""SA-1B for JAX, with Grain.

    tfds build segment_anything --imports segment_anything_tfds --file_format=array_record ...
    python examples/jax_grain.py DIR

`DIR` holds the dataset in the `array_record` format, which has random access. Grain shuffles,
transforms in NumPy and batches; `jax.numpy` takes the batches as they are.
"""

from __future__ import annotations

import io
import sys
from typing import Any

import grain
import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from segment_anything_tfds.source.record import coco_rle

SIDE, GRID, NUM_MASKS = 256, 64, 8


def prepare(example: dict, rng: np.random.Generator) -> dict[str, Any]:
    """Stretches image and masks to squares, as SAM 2 does; K masks, padded with empty ones.

    Gives `image` uint8 [S, S, 3], `masks` uint8 [K, m, m], `valid` bool [K] and `image_id` int64.
    """
    annotations = example['annotations']
    chosen = rng.permutation(len(annotations['area']))[:NUM_MASKS]
    counts = [annotations['segmentation']['counts'][i] for i in chosen]
    size = int(example['image']['height']), int(example['image']['width'])
    image = Image.open(io.BytesIO(example['image']['content'])).convert('RGB')
    masks = np.zeros([NUM_MASKS, GRID, GRID], np.uint8)
    masks[: len(counts)] = coco_rle.decode_resized(counts, size, (GRID, GRID))
    return {
        'image': np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BILINEAR)),
        'masks': masks,
        'valid': masks.any((1, 2)),
        'image_id': np.int64(example['image']['image_id']),
    }


def make_dataset(data_dir: str, batch_size: int = 4, seed: int = 0) -> grain.MapDataset:
    """Shuffled batches, the same for the same seed."""
    source = tfds.data_source(
        'segment_anything',
        split='train',
        data_dir=data_dir,
        decoders={'image': {'content': tfds.decode.SkipDecoding()}},
    )
    dataset = grain.MapDataset.source(source).seed(seed).shuffle()
    return dataset.random_map(prepare).batch(batch_size)


def main(data_dir: str) -> int:
    try:
        import jax.numpy as xp
    except ImportError:
        xp = np
    images = 0
    for batch in make_dataset(data_dir):
        masks = xp.asarray(batch['masks'])
        coverage = float(xp.mean(xp.max(masks, axis=1).astype('float32')))
        images += len(batch['image'])
        print(f'{batch["image"].shape} images, {masks.shape} masks cover {coverage:.1%}')
    print(f'{images} images; TensorFlow imported: {"tensorflow" in sys.modules}')
    return images


if __name__ == '__main__':
    main(sys.argv[1])
