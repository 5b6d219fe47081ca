"""An example as one row of a batch, in NumPy: image, masks, a click and a box each."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from segment_anything_tfds.source.record import coco_rle

RESIZE = ('longest', 'square')


@dataclasses.dataclass(frozen=True)
class Rows:
    """Turns examples into rows of equal shape: `rows(example, rng)`.

    The NumPy twin of a plain `training.Recipe`: masks drawn at random, with one click in each and
    its box, without jitter, flips or filters.

    Attributes:
      image_size: side of the square image in pixels.
      mask_size: side of the masks, which cover the same square; a quarter of the image's if None.
      num_masks: masks K an image, drawn at random; fewer are padded with invalid ones. None for
        all, in their order, and nothing is padded.
      resize: `'longest'` keeps the aspect ratio and pads right and below (SAM), `'square'`
        stretches (SAM 2).
    """

    image_size: int = 1024
    mask_size: int | None = None
    num_masks: int | None = 64
    resize: str = 'longest'

    def __post_init__(self):
        if self.resize not in RESIZE:
            raise ValueError(
                f'SA1B: expected `resize` one of {RESIZE}; got {self.resize!r}. Choose one.'
            )
        for name in ('image_size', 'mask_size', 'num_masks'):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f'SA1B: expected `{name}` 1 or more; got {value}.')

    def __call__(self, example: Mapping[str, Any], rng: np.random.Generator) -> dict[str, Any]:
        """Makes a row.

        Args:
          example: of the data set, with the JPEG's bytes or a decoded image.
          rng: draws masks and clicks.

        Returns:
          `image` uint8 [S, S, 3]; `content_size` int32 [2], its height and width without padding;
          `masks` uint8 [K, m, m]; `point_coords` float32 [K, 1, 2], (x, y) in pixels of the image;
          `point_labels` int32 [K, 1], -1 for padding; `boxes_xyxy` float32 [K, 4], centres of the
          corner pixels; `valid` float32 [K], 1 for a mask with at least one drawn pixel; `image_id`
          int64.
        """
        size = int(example['image']['height']), int(example['image']['width'])
        content = self._content(size)
        counts = self._chosen(example['annotations']['segmentation']['counts'], rng)
        scale = np.array(content[::-1]) / np.array(size[::-1])
        points, labels = coco_rle.sample_points(counts, size, 1, seed=int(rng.integers(2**31)))
        corners = coco_rle.bbox(counts, size, convention='xyxy_inclusive')
        masks = self._masks(counts, size, content)
        # Whole numbers are centres of pixels, half a pixel from their edge: at twice the size,
        # 3 becomes 3.5 * 2 - 0.5 = 6.5, between the two pixels that show it.
        row = {
            'masks': masks,
            'point_coords': ((points + 0.5) * scale - 0.5).astype(np.float32),
            'point_labels': labels.astype(np.int32),
            'boxes_xyxy': ((corners + 0.5) * np.tile(scale, 2) - 0.5).astype(np.float32),
            'valid': masks.any(axis=(1, 2)).astype(np.float32),
        }
        row = {name: padded(value, self.num_masks, name) for name, value in row.items()}
        return {
            'image': self._image(example['image']['content'], content),
            'content_size': np.array(content, np.int32),
            **row,
            'image_id': np.int64(example['image']['image_id']),
        }

    def _content(self, size: tuple[int, int]) -> tuple[int, int]:
        if self.resize == 'square':
            return self.image_size, self.image_size
        scale = self.image_size / max(size)
        height, width = (max(1, int(side * scale + 0.5)) for side in size)
        return height, width

    def _chosen(self, counts: Sequence[bytes], rng: np.random.Generator) -> list[bytes]:
        if self.num_masks is None:
            return list(counts)
        return [counts[n] for n in rng.permutation(len(counts))[: self.num_masks]]

    def _masks(self, counts, size, content) -> np.ndarray:
        side = self.mask_size or max(1, self.image_size // 4)
        height, width = (max(1, round(edge * side / self.image_size)) for edge in content)
        masks = np.zeros((len(counts), side, side), np.uint8)
        masks[:, :height, :width] = coco_rle.decode_resized(counts, size, (height, width))
        return masks

    def _image(self, image: Any, content: tuple[int, int]) -> np.ndarray:
        if isinstance(image, bytes):
            picture = Image.open(io.BytesIO(image)).convert('RGB')
        else:
            picture = Image.fromarray(np.asarray(image))
        height, width = content
        square = np.zeros((self.image_size, self.image_size, 3), np.uint8)
        square[:height, :width] = picture.resize((width, height), Image.Resampling.BILINEAR)
        return square


def padded(rows: np.ndarray, count: int | None, name: str) -> np.ndarray:
    """Fills rows [N, ...] up to [count, ...] with 0, or -1 for `point_labels`."""
    if count is None or len(rows) >= count:
        return rows
    rest = np.full((count - len(rows), *rows.shape[1:]), PADDING.get(name, 0), rows.dtype)
    return np.concatenate([rows, rest])


PADDING = {'point_labels': -1}
