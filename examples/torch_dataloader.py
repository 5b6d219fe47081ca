"""SA-1B for PyTorch, with no TensorFlow in the workers.

    tfds build segment_anything --imports segment_anything_tfds --file_format=array_record ...
    python examples/torch_dataloader.py DIR

`DIR` holds the dataset in the `array_record` format, which has random access.
"""

from __future__ import annotations

import sys

import torch

from segment_anything_tfds.torch import SA1B, collate


class Watched(SA1B):
    """Says of each item whether the worker that made it has imported TensorFlow."""

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return {
            **super().__getitem__(index),
            'tensorflow': torch.tensor('tensorflow' in sys.modules),
        }


def make_loader(data_dir: str, batch_size: int = 4, workers: int = 2, seed: int = 0):
    """Batches of shuffled examples; workers are fresh processes."""
    return torch.utils.data.DataLoader(
        Watched(data_dir, image_size=256, num_masks=8),
        batch_size=batch_size,
        shuffle=True,
        num_workers=workers,
        multiprocessing_context='spawn' if workers else None,
        generator=torch.Generator().manual_seed(seed),
        collate_fn=collate,
    )


def main(data_dir: str) -> int:
    images = 0
    for batch in make_loader(data_dir):
        if batch['tensorflow'].any():
            raise SystemExit('a worker imported TensorFlow')
        images += len(batch['image'])
        masks = int(batch['valid'].sum())
        print(f'{tuple(batch["image"].shape)} images, {masks} masks {tuple(batch["masks"].shape)}')
    print(f'{images} images; no worker imported TensorFlow')
    return images


if __name__ == '__main__':
    main(sys.argv[1])
