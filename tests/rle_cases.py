"""Masks for tests of the RLE operations, and pycocotools as the judge."""

import json

import hypothesis.strategies as st
import numpy as np
import tensorflow as tf
from pycocotools import mask as coco_mask

KINDS = ('noise', 'sparse', 'blocks', 'empty', 'full', 'first', 'last')


@st.composite
def mask_stacks(draw, max_masks=5, max_side=13, min_masks=0):
    """uint8 [N, H, W]: noise, rectangles, empty, full, single pixels; sides from 1 pixel."""
    height, width = draw(st.integers(1, max_side)), draw(st.integers(1, max_side))
    kinds = draw(st.lists(st.sampled_from(KINDS), min_size=min_masks, max_size=max_masks))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    masks = np.zeros([len(kinds), height, width], np.uint8)
    for mask, kind in zip(masks, kinds, strict=True):
        fill(mask, kind, rng)
    return masks


def fill(mask, kind, rng):
    """Draws one kind of mask into uint8 [H, W]."""
    height, width = mask.shape
    if kind in ('noise', 'sparse'):
        mask[:] = rng.random(mask.shape) < (0.5 if kind == 'noise' else 0.1)
    elif kind == 'blocks':
        for _ in range(2):
            y, x = rng.integers(0, height), rng.integers(0, width)
            mask[y : rng.integers(y, height) + 1, x : rng.integers(x, width) + 1] = 1
    elif kind == 'full':
        mask[:] = 1
    elif kind == 'first':
        mask[0, 0] = 1
    elif kind == 'last':
        mask[-1, -1] = 1


def blobs(count, size, seed=0):
    """uint8 [N, H, W]: wobbly discs of many sizes, some over the border."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: size[0], : size[1]]
    masks = np.zeros([count, *size], np.uint8)
    for mask in masks:
        radius = np.exp(rng.uniform(np.log(2), np.log(max(3, min(size) / 2))))
        dy, dx = y - rng.uniform(0, size[0]), x - rng.uniform(0, size[1])
        angle = np.arctan2(dy, dx)
        wobble = sum(
            rng.normal(0, 0.3 / k) * np.cos(k * angle + rng.uniform(0, 6)) for k in (2, 3, 5)
        )
        mask[:] = np.hypot(dy, dx) < radius * (1 + wobble)
    return masks


def encode(masks):
    """List of `counts` bytes as pycocotools writes them."""
    return [coco_mask.encode(np.asfortranarray(mask))['counts'] for mask in masks]


def coco(counts, size):
    """What pycocotools takes."""
    return [{'size': [int(n) for n in size], 'counts': one} for one in counts]


def as_tensors(masks):
    """`counts` as a NumPy array of strings, of length 0 too, and `size` as the dataset has it."""
    return np.array(encode(masks), object), np.array(masks.shape[1:], np.uint64)


def real(shared_data):
    """Real compressed RLE: {(height, width): list of counts}."""
    found = {}
    for name in ('real_annotations.json', 'sav_000001_auto.json'):
        for segmentation in _segmentations(json.loads((shared_data / name).read_text())):
            size = tuple(segmentation['size'])
            found.setdefault(size, []).append(segmentation['counts'].encode())
    return found


def _segmentations(part):
    if isinstance(part, dict) and isinstance(part.get('counts'), str):
        yield part
    elif isinstance(part, (dict, list)):
        for inner in part.values() if isinstance(part, dict) else part:
            yield from _segmentations(inner)


def compiled(*kinds):
    """`tf.function` for tensors of unknown shape: 's' strings [N], 'z' a size, 'i' four int32."""
    specs = {
        's': tf.TensorSpec([None], tf.string),
        'z': tf.TensorSpec([2], tf.uint64),
        'i': tf.TensorSpec([4], tf.int32),
    }
    return tf.function(input_signature=[specs[kind] for kind in kinds])
