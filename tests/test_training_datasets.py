"""Helpers on the whole dataset, and copy-paste."""

import numpy as np
import pytest
import tensorflow as tf

from segment_anything_tfds import training
from segment_anything_tfds.ops import boxes, rle
from segment_anything_tfds.training.data import datasets


@pytest.fixture(scope='module')
def examples(prepared_dummy):
    dataset = prepared_dummy.as_dataset(split='train')
    return [example for example in dataset if len(example['annotations']['area']) > 5][:4]


def test_num_masks_counts():
    example = {'annotations': {'area': tf.zeros([60])}}
    assert datasets.num_masks(60, 60)(example) and datasets.num_masks(60)(example)
    assert not datasets.num_masks(61)(example) and not datasets.num_masks(0, 59)(example)
    with pytest.raises(ValueError, match=r'num_masks: expected .*got 5 and 4'):
        datasets.num_masks(5, 4)


def test_keep_masks_keeps_all_columns_together(examples):
    for example in examples:
        kept = datasets.keep_masks(min_area=200, max_area=5000, min_predicted_iou=0.9)(example)
        area = example['annotations']['area'].numpy().astype(int)
        right = (area >= 200) & (area <= 5000)
        right &= example['annotations']['predicted_iou'].numpy() >= 0.9
        expected = tf.nest.map_structure(lambda x, r=right: x.numpy()[r], example['annotations'])
        tf.nest.map_structure(np.testing.assert_array_equal, kept['annotations'], expected)


def test_held_out_is_the_same_everywhere():
    ids = np.arange(20000, dtype=np.uint64) * 11 + 5
    plain = datasets.is_held_out(ids, 0.1)
    for tensor in (tf.constant(ids), tf.constant(ids.astype(np.int64))):
        np.testing.assert_array_equal(datasets.is_held_out(tensor, 0.1), plain)
    assert 0.09 < plain.mean() < 0.11
    assert plain[datasets.is_held_out(ids, 0.05)].all()
    assert (datasets.is_held_out(ids, 0.1, salt=1) != plain).any()
    golden = [i for i in range(100) if datasets.is_held_out(i, 0.05)]
    assert golden == GOLDEN, 'a held-out part must never change'


GOLDEN = [10, 21, 48, 68, 83]


def test_held_out_fraction_is_checked():
    with pytest.raises(ValueError, match=r'is_held_out: expected `fraction` .*got 2'):
        datasets.is_held_out(1, 2)


@pytest.mark.parametrize('seed', range(3))
def test_copy_paste_keeps_everything_in_step(examples, seed):
    example, source = examples[seed], examples[(seed + 1) % 4]
    pasted = training.copy_paste(example, source, seed=tf.constant([3, seed]))
    annotations = pasted['annotations']
    counts, size = annotations['segmentation']['counts'], annotations['segmentation']['size']
    masks = rle.decode(counts, size).numpy()
    old = rle.decode(
        example['annotations']['segmentation']['counts'],
        example['annotations']['segmentation']['size'],
    ).numpy()
    assert pasted['image']['content'].shape == example['image']['content'].shape
    own = set(example['annotations']['id'].numpy())
    from_source = ~np.isin(annotations['id'].numpy(), list(own))
    over = masks[from_source].any(0)
    changed = (pasted['image']['content'].numpy() != example['image']['content'].numpy()).any(-1)
    assert not changed[~over].any() and over.any()
    by_id = dict(zip(example['annotations']['id'].numpy(), old, strict=True))
    for identity, mask in zip(
        annotations['id'].numpy()[~from_source], masks[~from_source], strict=True
    ):
        np.testing.assert_array_equal(mask, by_id[identity] * ~over)
    np.testing.assert_array_equal(annotations['area'], masks.sum((1, 2)))
    assert masks.any((1, 2)).all()
    at = annotations['point_coords'].numpy()[:, 0].astype(int)
    assert masks[np.arange(len(masks)), at[:, 1], at[:, 0]].all()
    frames = boxes.convert(
        annotations['bbox'], 'sa1b_rel_yxyx', 'xyxy_inclusive', image_size=size[0]
    )
    for mask, frame in zip(masks, frames.numpy(), strict=True):
        rows, columns = np.nonzero(mask)
        expected = [columns.min(), rows.min(), columns.max(), rows.max()]
        np.testing.assert_allclose(frame, expected, atol=1e-2)
    for key, column in annotations.items():
        if key != 'segmentation':
            assert column.dtype == example['annotations'][key].dtype


def test_copy_paste_feeds_a_recipe(examples):
    pasted = training.copy_paste(examples[0], examples[1], seed=tf.constant([1, 1]))
    recipe = training.recipes.get('sam_jitter', image_size=64, mask_size=32, num_masks=4)
    _, masks, valid = recipe(pasted, tf.constant([1, 2]))
    assert valid.numpy().any() and masks.shape == (4, 32, 32)


def test_without_objects_nothing_is_pasted(examples):
    source = datasets.keep_masks(min_area=10**9)(examples[1])
    pasted = training.copy_paste(examples[0], source, seed=tf.constant([1, 1]))
    np.testing.assert_array_equal(pasted['image']['content'], examples[0]['image']['content'])
    assert len(pasted['annotations']['area']) <= len(examples[0]['annotations']['area'])
