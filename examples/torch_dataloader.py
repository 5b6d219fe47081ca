"""SA-1B for PyTorch, with no TensorFlow in the workers.

    tfds build segment_anything --imports segment_anything_tfds --file_format=array_record ...
    python examples/torch_dataloader.py DIR

`DIR` holds the dataset in the `array_record` format, which has random access. Each worker reads
examples with `tfds.data_source` and draws masks with `segment_anything_tfds.coco_rle`, in NumPy.
"""

from __future__ import annotations

import io
import sys

import numpy as np
import tensorflow_datasets as tfds
import torch
from PIL import Image

from segment_anything_tfds.source.record import coco_rle

SIDE, GRID, NUM_MASKS = 256, 64, 8


class SegmentAnything(torch.utils.data.Dataset):
    """Images scaled and padded to a square, `NUM_MASKS` masks of each, and a point in each mask.

    An item is a dict: `image` uint8 [3, S, S], `masks` uint8 [K, m, m], `points` float32 [K, 2]
    (x, y) in pixels of the image, `valid` bool [K], `image_id` int.
    """

    def __init__(self, data_dir: str, split: str = 'train'):
        self.data_dir, self.split = data_dir, split
        self._source = None

    @property
    def source(self):
        """Opened in each worker, at first use."""
        if self._source is None:
            decoders = {'image': {'content': tfds.decode.SkipDecoding()}}
            self._source = tfds.data_source(
                'segment_anything', split=self.split, data_dir=self.data_dir, decoders=decoders
            )
        return self._source

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        example = self.source[index]
        annotations = example['annotations']
        seed = [index, torch.initial_seed() % 2**32]
        count = len(annotations['area'])
        chosen = np.random.default_rng(seed).permutation(count)[:NUM_MASKS]
        counts = [annotations['segmentation']['counts'][i] for i in chosen]
        size = int(example['image']['height']), int(example['image']['width'])
        scale = SIDE / max(size)
        height, width = (round(edge * scale) for edge in size)
        image = Image.open(io.BytesIO(example['image']['content'])).convert('RGB')
        pixels = np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))
        pixels = np.pad(pixels, [(0, SIDE - height), (0, SIDE - width), (0, 0)])
        rows, columns = (round(edge * GRID / SIDE) for edge in (height, width))
        drawn = coco_rle.decode_resized(counts, size, (max(rows, 1), max(columns, 1)))
        masks = np.zeros([NUM_MASKS, GRID, GRID], np.uint8)
        masks[: len(drawn), : drawn.shape[1], : drawn.shape[2]] = drawn
        points = np.zeros([NUM_MASKS, 2], np.float32)
        sampled, _ = coco_rle.sample_points(counts, size, 1, seed=seed)
        points[: len(drawn)] = (sampled[:, 0] + 0.5) * scale - 0.5
        return {
            'image': torch.from_numpy(np.ascontiguousarray(np.moveaxis(pixels, -1, 0))),
            'masks': torch.from_numpy(masks),
            'points': torch.from_numpy(points),
            'valid': torch.from_numpy(masks.any((1, 2))),
            'image_id': torch.tensor(int(example['image']['image_id'])),
            'has_tensorflow': torch.tensor('tensorflow' in sys.modules),
        }


def make_loader(data_dir: str, batch_size: int = 4, workers: int = 2, seed: int = 0):
    """Batches of shuffled examples; workers are fresh processes."""
    return torch.utils.data.DataLoader(
        SegmentAnything(data_dir),
        batch_size=batch_size,
        shuffle=True,
        num_workers=workers,
        multiprocessing_context='spawn' if workers else None,
        generator=torch.Generator().manual_seed(seed),
    )


def main(data_dir: str) -> int:
    images = 0
    for batch in make_loader(data_dir):
        if batch['has_tensorflow'].any():
            raise SystemExit('a worker imported TensorFlow')
        images += len(batch['image'])
        masks = int(batch['valid'].sum())
        print(f'{tuple(batch["image"].shape)} images, {masks} masks {tuple(batch["masks"].shape)}')
    print(f'{images} images; no worker imported TensorFlow')
    return images


if __name__ == '__main__':
    main(sys.argv[1])
