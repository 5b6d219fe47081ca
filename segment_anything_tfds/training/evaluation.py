"""How good are masks: a model's by clicks and boxes, results in a file, or another annotation set.

IoUs of models are taken on the recipe's mask grid, without masks too small to have a pixel there;
IoUs of run-length encoded masks are exact.
"""

from __future__ import annotations

import dataclasses
import json
import numbers
import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

SIZES = {'small': (0, 32**2), 'medium': (32**2, 96**2), 'large': (96**2, float('inf'))}
THRESHOLDS = (0.75, 0.9)


@dataclasses.dataclass(frozen=True)
class Masks:
    """The masks of one image.

    Attributes:
      image_id: int.
      size: (height, width) in pixels.
      counts: N compressed COCO RLE strings.
      ids: N annotation ids, or None where masks have none.
    """

    image_id: int
    size: tuple[int, int]
    counts: list[bytes]
    ids: list[int] | None = None


@dataclasses.dataclass
class Scores:
    """IoUs with the area of the true mask, and what they come to."""

    ious: list[float] = dataclasses.field(default_factory=list)
    areas: list[float] = dataclasses.field(default_factory=list)

    def add(self, ious: np.ndarray, areas: np.ndarray) -> None:
        """Adds pairs: float [N] and areas of the true masks in pixels [N]."""
        self.ious.extend(np.asarray(ious, float).tolist())
        self.areas.extend(np.asarray(areas, float).tolist())

    def summary(self) -> dict[str, Any]:
        """`count`, `mean_iou`, the mean by size, and the shares of pairs above `THRESHOLDS`.

        Sizes are COCO's: small below 32 x 32 pixels of the original image, large from 96 x 96 on.
        Means over nothing are None.
        """
        ious, areas = np.asarray(self.ious), np.asarray(self.areas)
        found = {'count': len(ious), 'mean_iou': _mean(ious)}
        for name, (low, high) in SIZES.items():
            found[f'mean_iou_{name}'] = _mean(ious[(areas >= low) & (areas < high)])
        for threshold in THRESHOLDS:
            found[f'share_above_{threshold:.2f}'] = _mean(ious > threshold)
        return found


def evaluate_model(
    model, batches, *, clicks: tuple[int, ...] = (1, 3, 5), progress: Callable | None = None
) -> dict[str, dict[str, Any]]:
    """Mean IoU of a model after some clicks, and with a box.

    The protocol of SAM (section 7.1) and SAM 2: the first click is the pixel of the mask furthest
    from its edge, each next one the pixel furthest inside the largest error, with the logits before
    passed on; of several outputs the one with the highest predicted IoU is judged. The box is the
    true one; take a recipe without jitter.

    Args:
      model: a `PromptableSegmenter`, or a KerasHub SAM, which is wrapped.
      batches: `(inputs, masks, valid)` as `Recipe.batches` gives them, with `boxes_xyxy` of every
        mask (`box_probability=1`, `point_probability=0`).
      clicks: numbers of clicks to judge.
      progress: called with the number of images after each batch.

    Returns:
      `Scores.summary()` by prompt: `'1_clicks'`, `'3_clicks'`, `'5_clicks'`, `'box'`.

    Raises:
      ValueError: clicks that are not positive ints.
    """
    clicks = tuple(clicks)
    if not clicks or any(not isinstance(n, numbers.Integral) or n < 1 for n in clicks):
        raise ValueError(
            f'evaluate.evaluate_model: expected `clicks` of ints >= 1; got {clicks!r}. '
            'Pass for instance (1, 3, 5).'
        )
    import keras

    from segment_anything_tfds.training.sam import promptable

    if not isinstance(model, promptable.PromptableSegmenter):
        model = promptable.PromptableSegmenter(model)
    scores = {f'{n}_clicks': Scores() for n in clicks} | {'box': Scores()}
    for batch in batches:
        inputs, masks, valid = keras.tree.map_structure(np.asarray, batch)
        shown = valid > 0
        areas = inputs['area'][shown]
        for name, ious in _judge(model, inputs, masks, clicks):
            scores[name].add(keras.ops.convert_to_numpy(ious)[shown], areas)
        if progress:
            progress(len(shown))
    return {name: found.summary() for name, found in scores.items()}


def compare(truth: Iterable[Masks], other: Iterable[Masks]) -> dict[str, Any]:
    """Mean IoU and shares above 0.75 and 0.90 between two sets of masks of the same images.

    SA-1B's mask quality (section 5 of the SAM paper): professionals improved the masks of 500
    images, and 94 % of the pairs had an IoU above 0.90, 97 % above 0.75. Masks are paired by `ids`
    where both sets have them, else each true mask with the other's nearest mask. A true mask
    without a partner counts with IoU 0; images that `other` lacks are counted and listed.

    Args:
      truth: masks by image, held in memory until their partner comes.
      other: masks by image, read until all partners are found; images that `truth` lacks are
        ignored.

    Returns:
      `Scores.summary()`, and `images`, `missing_images` (at most 20 of their ids), `num_missing`.

    Raises:
      ValueError: two sizes for one image, or a malformed RLE; the image is named.
    """
    waiting = {masks.image_id: masks for masks in truth}
    images, scores = len(waiting), Scores()
    for partner in other if waiting else ():
        if masks := waiting.pop(partner.image_id, None):
            scores.add(*_pair(masks, partner))
            if not waiting:
                break
    for masks in waiting.values():
        scores.add(*_pair(masks, Masks(masks.image_id, masks.size, [], [])))
    found = {'images': images, 'num_missing': len(waiting), 'missing_images': [*waiting][:20]}
    return {**scores.summary(), **found}


def from_examples(examples: Iterable[Mapping[str, Any]]) -> Iterable[Masks]:
    """The masks of examples of the dataset, as `tfds.as_numpy` or `tfds.data_source` gives them."""
    for example in examples:
        image, annotations = example['image'], example['annotations']
        yield Masks(
            int(image['image_id']),
            (int(image['height']), int(image['width'])),
            list(annotations['segmentation']['counts']),
            np.asarray(annotations['id']).astype(np.int64).tolist(),
        )


def from_coco_results(path: str | os.PathLike) -> list[Masks]:
    """The masks of a COCO results JSON: a list of `image_id`, `segmentation`, optionally `id`.

    A COCO dataset with `annotations` is read too, as `sa1b export --format coco` writes it: there
    `sa_id` is the id in SA-1B. Ids are used only where every entry has one.

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
            by_image.setdefault(int(entry['image_id']), []).append((size, counts, identifier))
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ValueError(
                'evaluate.from_coco_results: expected entries with `image_id` and a compressed '
                f'`segmentation` {{size, counts}}; got {type(error).__name__} {error} at index '
                f'{index} of {os.fspath(path)}. Encode masks with `rle.encode`.'
            ) from error
    return [_collect(image_id, rows) for image_id, rows in by_image.items()]


def _collect(image_id: int, rows: list) -> Masks:
    ids = [identifier for _, _, identifier in rows]
    complete = None not in ids and len(set(ids)) == len(ids)
    return Masks(image_id, rows[0][0], [counts for _, counts, _ in rows], ids if complete else None)


def _pair(truth: Masks, other: Masks) -> tuple[np.ndarray, np.ndarray]:
    """IoU of each true mask with its partner [N], and areas [N]."""
    if tuple(truth.size) != tuple(other.size):
        raise ValueError(
            f'evaluate.compare: expected masks of size {tuple(truth.size)} for image '
            f'{truth.image_id}; got {tuple(other.size)}. Compare sets of the same images.'
        )
    ious, areas = _measure(truth, other)
    if not other.counts or not truth.counts:
        return np.zeros(len(truth.counts)), areas
    if truth.ids is None or other.ids is None:
        return ious.max(1), areas
    column = {identifier: index for index, identifier in enumerate(other.ids)}
    found = [column.get(identifier, -1) for identifier in truth.ids]
    paired = ious[np.arange(len(found)), found]
    return np.where(np.asarray(found) >= 0, paired, 0.0), areas


def _measure(truth: Masks, other: Masks) -> tuple[np.ndarray, np.ndarray]:
    """IoU of each true mask with each of the others [N, M], and areas of the true masks [N]."""
    import tensorflow as tf

    from segment_anything_tfds.ops import rle

    try:
        ious = rle.iou(truth.counts, other.counts, truth.size)
        return ious.numpy(), rle.area(truth.counts, truth.size).numpy()
    except tf.errors.InvalidArgumentError as error:
        raise ValueError(
            f'evaluate.compare: expected compressed COCO RLE of size {tuple(truth.size)} for image '
            f'{truth.image_id}; got: {error.message}'
        ) from None


def _judge(model, inputs, masks, clicks):
    """Yields (name, IoU [B, K]) for the box and for each number of clicks."""
    from keras import ops

    from segment_anything_tfds.training import corrections, losses, metrics

    truth = ops.cast(masks, 'float32')
    embeddings = model.encode(inputs['image'], inputs.get('content_size'))
    labels = inputs['point_labels'][..., :1]
    nothing = {
        'image': inputs['image'],
        'point_coords': ops.zeros_like(inputs['point_coords'][..., :1, :]),
        'point_labels': -ops.ones_like(labels),
    }
    if 'content_size' in inputs:
        nothing['content_size'] = inputs['content_size']
    box = {name: inputs[name] for name in ('boxes_xyxy', 'has_box')}
    outputs = model.decode(embeddings, {**nothing, **box})
    inside = losses.inside_of(outputs, truth)
    yield 'box', losses.mask_iou(truth, metrics.choose_mask(outputs)[0], inside)
    logits, prompts = -ops.ones_like(truth), None
    for number in range(1, max(clicks) + 1):
        point, label = corrections.correction_center(
            truth, logits, inside=None if inside is None else inside > 0
        )
        if prompts is None:
            prompts = first_click(nothing, point, label, truth.shape)
        else:
            prompts = model.corrected(prompts, truth, outputs, point=point, label=label)
        outputs = model.decode(embeddings, prompts)
        logits = metrics.choose_mask(outputs)[0]
        if number in clicks:
            yield f'{number}_clicks', losses.mask_iou(truth, logits, inside)


def first_click(nothing, point, label, shape):
    """Prompts of one click; `point` [B, K, 2] in pixels of masks of `shape` [B, K, h, w]."""
    from keras import ops

    height, width = nothing['image'].shape[1:3]
    scale = ops.array([width / shape[-1], height / shape[-2]])
    return {
        **nothing,
        'point_coords': ((point + 0.5) * scale - 0.5)[..., None, :],
        'point_labels': ops.cast(label, nothing['point_labels'].dtype)[..., None],
    }


def _mean(values: np.ndarray) -> float | None:
    return round(float(np.mean(values)), 6) if len(values) else None
