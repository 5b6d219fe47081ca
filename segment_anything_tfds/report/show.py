"""Examples of a dataset as one picture, masks drawn: `tfds.show_examples` for nested images."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from PIL import Image

from segment_anything_tfds.report import draw
from segment_anything_tfds.source.record import coco_rle


def show_examples(
    examples: Iterable[Mapping[str, Any]],
    *,
    count: int = 9,
    side: int = 512,
    max_masks: int | None = None,
    points: bool = False,
) -> np.ndarray:
    """Draws the first examples of a dataset on one sheet, with all masks over the images.

    `tfds.show_examples` needs an image at the top level; here it is nested: this takes its place.

    Args:
      examples: a `tf.data.Dataset` or any iterable of examples of `segment_anything`, not batched;
        images decoded, or JPEGs as `decoders=recipe.decoders` leaves them.
      count: how many to draw at most.
      side: longer side, in pixels, at which masks are drawn.
      max_masks: the largest masks an image that are drawn; None for all.
      points: draw `point_coords` too.

    Returns:
      `uint8` [H, W, 3], RGB; `PIL.Image.fromarray` makes a picture of it.

    Raises:
      ValueError: no examples, batches of them, or those of another dataset.

    Example:
      >>> sheet = show_examples(dataset, count=4)
    """
    pictures, captions = [], []
    for example, _ in zip(_as_numpy(examples), range(count), strict=False):
        pictures.append(_draw(example, side, max_masks, points))
        number = len(example['annotations']['area'])
        captions.append(f'{example["image"]["file_name"].decode()}: {number} masks')
    if not pictures:
        raise ValueError(
            'show.show_examples: expected `examples` of one example or more; got none. '
            'Choose another split.'
        )
    return draw.contact_sheet(pictures, captions, cell=side)


def _as_numpy(examples: Iterable) -> Iterator[Mapping[str, Any]]:
    for example in examples:
        if not (isinstance(example, Mapping) and {'image', 'annotations'} <= set(example)):
            raise ValueError(
                'show.show_examples: expected `examples` of the dataset `segment_anything`; got '
                f'{type(example).__name__}{[*example] if isinstance(example, Mapping) else ""}. '
                'Pass what `tfds.load` gives.'
            )
        yield _leaves_as_numpy(example)


def _leaves_as_numpy(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _leaves_as_numpy(part) for name, part in value.items()}
    return value.numpy() if hasattr(value, 'numpy') else value


def _pixels(content: bytes | np.ndarray) -> np.ndarray:
    if isinstance(content, bytes):
        return np.asarray(Image.open(io.BytesIO(content)).convert('RGB'))
    image = np.asarray(content)
    if image.ndim != 3:
        raise ValueError(
            'show.show_examples: expected `examples` with images of shape [H, W, 3]; got '
            f'{image.shape}. Pass them before they are batched.'
        )
    return image


def _draw(example: Mapping[str, Any], side: int, max_masks: int | None, points: bool) -> np.ndarray:
    image = np.asarray(draw.fit(_pixels(example['image']['content']), side))
    annotations = example['annotations']
    size = int(example['image']['height']), int(example['image']['width'])
    largest = np.argsort(-np.asarray(annotations['area']).astype(np.int64), kind='stable')[
        :max_masks
    ]
    counts = [annotations['segmentation']['counts'][i] for i in largest]
    masks = coco_rle.decode_resized(counts, size, image.shape[:2])
    scale = np.array(image.shape[1::-1]) / (size[1], size[0])
    at = np.asarray(annotations['point_coords'])[largest].reshape(-1, 2) * scale
    return draw.overlay(image, masks, points=at if points else None)
