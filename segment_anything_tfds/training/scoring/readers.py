"""Masks to compare, from examples of the dataset and from COCO files."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from segment_anything_tfds.training.scoring.pairing import Masks


def from_examples(examples: Iterable[Mapping[str, Any]]) -> Iterable[Masks]:
    """Reads the masks of examples of the dataset.

    Args:
      examples: as `tfds.as_numpy` or `tfds.data_source` gives them.

    Yields:
      The masks of each image, with their ids.
    """
    for example in examples:
        image, annotations = example['image'], example['annotations']
        yield Masks(
            int(image['image_id']),
            (int(image['height']), int(image['width'])),
            list(annotations['segmentation']['counts']),
            np.asarray(annotations['id']).astype(np.int64).tolist(),
        )


def from_coco_results(path: str | os.PathLike) -> list[Masks]:
    """Reads the masks of a COCO results JSON: a list of `image_id`, `segmentation`, `id` if given.

    A COCO dataset with `annotations` is read too, as `sa1b export --format coco` writes it: there
    `sa_id` is the id in SA-1B. Ids, and scores, are used only where every entry has one.

    Args:
      path: the file.

    Returns:
      Masks by image.

    Raises:
      ValueError: no JSON, or an entry without what it must have; its index is named.
    """
    try:
        with open(path, 'rb') as file:
            content = json.load(file)
    except ValueError as error:
        raise ValueError(
            f'evaluate.from_coco_results: expected JSON in {os.fspath(path)}; got: {error}. '
            'Give a COCO results JSON.'
        ) from None
    entries = content.get('annotations') if isinstance(content, dict) else content
    if not isinstance(entries, list):
        raise ValueError(
            'evaluate.from_coco_results: expected a list, or a dataset with `annotations`; got'
            f' {type(content).__name__} in {os.fspath(path)}. Give a COCO results JSON.'
        )
    by_image: dict[int, list] = {}
    for index, entry in enumerate(entries):
        try:
            size = tuple(int(side) for side in entry['segmentation']['size'])
            counts = entry['segmentation']['counts'].encode()
            identifier = entry.get('sa_id', entry.get('id'))
            row = size, counts, identifier, entry.get('score')
            by_image.setdefault(int(entry['image_id']), []).append(row)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ValueError(
                'evaluate.from_coco_results: expected entries with `image_id` and a compressed '
                f'`segmentation` {{size, counts}}; got {type(error).__name__} {error} at index '
                f'{index} of {os.fspath(path)}. Encode masks with `rle.encode`.'
            ) from error
    return [_collect(image_id, rows) for image_id, rows in by_image.items()]


def _collect(image_id: int, rows: list) -> Masks:
    sizes, counts, ids, scores = zip(*rows, strict=True)
    complete = None not in ids and len(set(ids)) == len(ids)
    return Masks(
        image_id,
        sizes[0],
        list(counts),
        list(ids) if complete else None,
        None if None in scores else [float(score) for score in scores],
    )
