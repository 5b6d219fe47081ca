"""SA-1B for JAX, with Grain.

    tfds build segment_anything --imports segment_anything_tfds --file_format=array_record ...
    python examples/jax_grain.py DIR

`DIR` holds the dataset in the `array_record` format, which has random access. Grain shuffles,
transforms in NumPy and batches; `jax.numpy` takes the batches as they are.
"""

from __future__ import annotations

import sys

import grain

from segment_anything_tfds.grain import SA1B, Rows


def make_dataset(data_dir: str, batch_size: int = 4, seed: int = 0) -> grain.MapDataset:
    """Shuffled batches, the same for the same seed."""
    dataset = grain.MapDataset.source(SA1B(data_dir)).seed(seed).shuffle()
    return dataset.random_map(Rows(image_size=256, num_masks=8)).batch(batch_size)


def main(data_dir: str) -> int:
    try:
        import jax.numpy as xp
    except ImportError:
        import numpy as xp  # type: ignore[misc,no-redef]
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
