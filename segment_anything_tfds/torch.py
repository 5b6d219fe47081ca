"""SA-1B for PyTorch: `segment_anything_tfds.torch.SA1B`, a data set with random access.

    from segment_anything_tfds.torch import SA1B, collate

    data = SA1B('~/tensorflow_datasets', image_size=1024, hold_out='28-29')
    loader = torch.utils.data.DataLoader(data, 4, shuffle=True, num_workers=8, collate_fn=collate)

Workers read prepared `array_record` files and draw masks in NumPy; none imports TensorFlow.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from segment_anything_tfds.arrays import archive_splits, random_access
from segment_anything_tfds.arrays import rows as rows_lib

try:
    import torch
except ImportError as error:
    raise ImportError(
        'segment_anything_tfds.torch: expected PyTorch; got none. Install torch.'
    ) from error

__all__ = ['SA1B', 'collate']

Transform = Callable[[dict[str, Any], np.random.Generator], Any]


class SA1B(torch.utils.data.Dataset):
    """Images on a square, masks of each, and a click and a box for each mask.

    An item is a dict of tensors: `image` uint8 [3, S, S]; `content_size` int32 [2], its height and
    width without padding; `masks` uint8 [K, m, m]; `point_coords` float32 [K, 1, 2], (x, y) in
    pixels of the image; `point_labels` int32 [K, 1], -1 for padding; `boxes_xyxy` float32 [K, 4];
    `valid` float32 [K], 1 for masks that are there; `image_id` int64 [].

    Which masks and clicks are drawn follows from PyTorch's seed: equal runs draw the same, whatever
    the number of workers from 1 on (without workers equal runs draw others), and epochs differ.

    Args:
      data_dir: folder that holds the data set, prepared as `array_record`.
      archives: a selection such as `'20-29+130'`; None for all that are prepared.
      split: `'train'`, `'validation'` (what is held out), `'all'`, or slices of them by archives.
      hold_out: archives to hold out of `'train'`, whole, by their numbers.
      image_size: side S of the square image in pixels.
      mask_size: side m of the masks; a quarter of the image's if None.
      num_masks: masks K an image; None for all of them, which `collate` pads.
      resize: `'longest'` (SAM) or `'square'` (SAM 2).
      transform: takes an example, with the JPEG's bytes, and a NumPy generator, and gives the item;
        in place of all of the above.

    Raises:
      FileNotFoundError: there is no such folder.
      ValueError: nothing is prepared there, in another format, or without these archives.
    """

    def __init__(
        self,
        data_dir: str | os.PathLike,
        *,
        archives: archive_splits.Selection = None,
        split: str = 'train',
        hold_out: archive_splits.Selection = None,
        image_size: int = 1024,
        mask_size: int | None = None,
        num_masks: int | None = 64,
        resize: str = 'longest',
        transform: Transform | None = None,
    ):
        self.examples = random_access.Examples(
            data_dir, archives=archives, split=split, hold_out=hold_out
        )
        self.rows = rows_lib.Rows(image_size, mask_size, num_masks, resize)
        self.transform = transform

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int) -> Any:
        example = self.examples[index]
        rng = np.random.default_rng([_epoch_seed(), index % len(self)])
        if self.transform is not None:
            return self.transform(example, rng)
        row = self.rows(example, rng)
        row['image'] = np.ascontiguousarray(np.moveaxis(row['image'], -1, 0))
        return {name: torch.as_tensor(value) for name, value in row.items()}


def collate(items: Sequence[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """Stacks items into a batch; those with fewer masks get invalid ones.

    Args:
      items: of `SA1B`.

    Returns:
      A dict of tensors with a leading batch dimension.
    """
    most = max(len(item['valid']) for item in items)
    batch = {}
    for name, first in items[0].items():
        values = [item[name] for item in items]
        if name in ('masks', 'point_coords', 'point_labels', 'boxes_xyxy', 'valid'):
            values = [torch.as_tensor(rows_lib.padded(v.numpy(), most, name)) for v in values]
        batch[name] = torch.stack(values) if isinstance(first, torch.Tensor) else values
    return batch


def _epoch_seed() -> int:
    """Gives the loader's seed of this epoch, the same in all workers; without one, the next."""
    info = torch.utils.data.get_worker_info()
    if info is not None:
        return (info.seed - info.id) % 2**63  # a worker's seed is the loader's plus its number
    return int(torch.randint(2**62, ()))
