"""Membership, nesting, maps of smallest masks, shares of patches; and segmentation dicts."""

import functools

import harness
import hypothesis as hp
import hypothesis.strategies as st
import nested
import numpy as np
import pytest
import reference
import rle_cases
import tensorflow as tf
from pycocotools import mask as coco_mask

from segment_anything_tfds.ops import prompts, rle, transforms
from segment_anything_tfds.source.record import coco_rle

SETTINGS = hp.settings(deadline=None, max_examples=60)


@tf.function(
    input_signature=[
        tf.TensorSpec([None], tf.string),
        tf.TensorSpec([2], tf.uint64),
        tf.TensorSpec([None, 2], tf.float64),
    ]
)
def nesting(counts, size, points):
    return rle.contains(counts, size, points), rle.leaf_map(counts, size)


@functools.cache
def hierarchy(**options):
    signature = [tf.TensorSpec([None], tf.string), tf.TensorSpec([2], tf.uint64)]
    return tf.function(functools.partial(rle.hierarchy, **options), input_signature=signature)


@hp.given(rle_cases.mask_stacks(max_masks=8), st.integers(0, 2**32))
@SETTINGS
def test_points_and_maps_equal_the_drawn_masks(masks, seed):
    height, width = masks.shape[1:]
    points = np.random.default_rng(seed).uniform(-3, [width + 3, height + 3], [40, 2])
    points[:20] = np.round(points[:20])
    found, leaves = nesting(*rle_cases.as_tensors(masks), points)
    padded = np.pad(masks, [(0, 0), (4, 4), (4, 4)])
    x, y = np.floor(points + 0.5).astype(int).T + 4
    np.testing.assert_array_equal(found, padded[:, y, x].T == 1)
    expected = np.full([height, width], -1)
    for n in sorted(range(len(masks)), key=lambda n: (-int(masks[n].sum()), -n)):
        expected[masks[n] == 1] = n
    np.testing.assert_array_equal(leaves, expected)


def test_points_that_are_none():
    odd = [[np.nan, 1], [1, np.inf], [-np.inf, 0], [1.49, 1.49], [1.5, 0], [1, -0.5], [1, -0.51]]
    found = rle.contains(['22'], [2, 2], odd).numpy()[:, 0].tolist()
    assert found == [False, False, False, True, False, True, False]
    assert rle.contains(['22'], [2, 2], np.int32([[1, 1]])).numpy().tolist() == [[True]]


def test_clicks_on_real_masks(shared_data):
    """10,200 clicks, all pixels drawn by pycocotools."""
    rng = np.random.default_rng(0)
    for size, counts in rle_cases.real(shared_data).items():
        counts = counts[:60]
        drawn = coco_mask.decode(rle_cases.coco(counts, size))
        points = rng.integers(0, size[::-1], [1700, 2]).astype(np.float64)
        x, y = points.astype(int).T
        found = nesting(np.array(counts, object), np.array(size, np.uint64), points)[0]
        np.testing.assert_array_equal(found, drawn[y, x] == 1)


@pytest.mark.parametrize('options', [{}, {'containment': 0.6, 'max_ratio': 1.0}])
def test_hierarchies_equal_the_reference(options):
    for seed in range(500):
        masks = nested.boxes_in_boxes(seed, 8, (16, 20))
        tree = hierarchy(**options)(*rle_cases.as_tensors(masks))
        parents, depth = reference.hierarchy(masks, **options)
        assert tree.parents.numpy().tolist() == parents
        assert tree.depth.numpy().tolist() == depth


def test_hierarchies_equal_those_of_coco_rle(shared_data):
    cases = [(part, size) for size, part in rle_cases.real(shared_data).items()]
    cases = [(part[start : start + 150], size) for part, size in cases for start in (0, 150, 300)]
    masks, parents, bears = nested.planted(50)
    cases.append((rle_cases.encode(nested.jittered(masks, 0)), masks.shape[1:]))
    for counts, size in cases:
        tree = hierarchy()(np.array(counts, object), np.array(size, np.uint64))
        twin = coco_rle.hierarchy(counts, size)
        assert tree.levels.numpy().astype(str).tolist() == twin.levels.tolist()
        for name in ('parents', 'depth', 'relative_size', 'granularity'):
            np.testing.assert_array_equal(getattr(tree, name), getattr(twin, name), strict=True)
    assert tree.parents.numpy()[bears].tolist() == np.array(parents)[bears].tolist()


def test_containment_is_the_crowd_iou_of_pycocotools(shared_data):
    """What a mask is held by is judged by `iou(..., iscrowd=1)`, for all pairs."""
    for size, counts in rle_cases.real(shared_data).items():
        counts = counts[:120]
        judged = rle_cases.coco(counts, size)
        share = np.nan_to_num(coco_mask.iou(judged, judged, [1] * len(counts)))
        got = rle.iou(counts, counts, size, crowd=[True] * len(counts))
        np.testing.assert_array_equal(got, share.astype(np.float32))
        area = np.array([int(coco_mask.area(one)) for one in judged])
        holds = (share >= 0.9) & (area[:, None] < 0.9 * area) & (area > 0)[:, None]
        tree = rle.hierarchy(counts, size)
        for held, parent in zip(holds, tree.parents.numpy(), strict=True):
            wanted = min(np.flatnonzero(held), key=lambda n: (area[n], n), default=-1)
            assert parent == wanted


def boxes_in_a_patch_grid(masks, patch):
    """Mean of each patch, with zeros beyond the border."""
    padding = [(0, -side % patch) for side in masks.shape[1:]]
    padded = np.pad(masks.astype(np.float64), [(0, 0), *padding])
    n, height, width = padded.shape
    return padded.reshape(n, height // patch, patch, width // patch, patch).mean((2, 4))


@hp.given(rle_cases.mask_stacks(max_masks=3), st.integers(1, 6))
@SETTINGS
def test_patch_shares_are_means_of_patches(masks, patch):
    counts, size = rle_cases.as_tensors(masks)
    shares = rle.patch_shares(tf.constant(counts, tf.string), size, patch)
    assert shares.dtype == tf.float32
    np.testing.assert_allclose(shares, boxes_in_a_patch_grid(masks, patch), rtol=0, atol=1e-6)
    doubled = np.repeat(np.repeat(masks, 2, 1), 2, 2)
    scaled = rle.patch_shares(
        tf.constant(counts, tf.string), size, patch, image_size=2 * size.astype(np.int32)
    )
    np.testing.assert_allclose(scaled, boxes_in_a_patch_grid(doubled, patch), rtol=0, atol=1e-6)


@pytest.mark.parametrize('flip', [False, True])
def test_patch_shares_of_a_geometry_follow_its_masks(flip):
    masks = rle_cases.blobs(5, (60, 100))
    counts, size = rle_cases.as_tensors(masks)
    geometry = transforms.fit(size, [50, 50])._replace(flip=tf.constant(flip))
    assert geometry.size.numpy().tolist() == [30, 50]  # half the size, padded below
    drawn = masks[:, :, ::-1] if flip else masks
    halved = drawn.reshape(5, 30, 2, 50, 2).mean((2, 4))
    halved = np.pad(halved, [(0, 0), (0, 20), (0, 0)])
    shares = transforms.patch_shares(counts, size, geometry, 8)
    assert shares.shape == (5, 7, 7)
    np.testing.assert_allclose(shares, boxes_in_a_patch_grid(halved, 8), rtol=0, atol=1e-5)


CALLS = {
    'contains': (
        functools.partial(rle.contains, points=[[3.0, 4.0], [1.0, 1.0]]),
        (tf.bool, [2, None]),
    ),
    'leaf_map': (rle.leaf_map, (tf.int32, [None, None])),
    'patch_shares': (functools.partial(rle.patch_shares, patch_size=7), (tf.float32, [None] * 3)),
    'hierarchy': (
        rle.hierarchy,
        ([tf.int32, tf.int32, tf.string, tf.float32, tf.float32], [[None]] * 5),
    ),
}


@pytest.mark.parametrize('name', CALLS)
@pytest.mark.parametrize('num_masks', [6, 0])
def test_every_mode(name, num_masks):
    operation, (dtype, shape) = CALLS[name]
    arguments = rle_cases.as_tensors(rle_cases.blobs(num_masks, (20, 30)))
    harness.check(operation, arguments, dtype=dtype, shape=shape)


@pytest.mark.parametrize('name', CALLS)
def test_no_masks_and_no_sizes(name):
    found = CALLS[name][0](tf.constant([], tf.string), tf.zeros([0, 2], tf.int64))
    assert all(0 in part.shape for part in tf.nest.flatten(found))


COUNTS, SIZE = ['52203', '`0', '0`0'], [4, 4]
GEOMETRY = transforms.fit(SIZE, [8, 8])
ONE = {
    'area': rle.area,
    'bbox': functools.partial(rle.bbox, convention='coco'),
    'centroid': rle.centroid,
    'contains': lambda *masks: rle.contains(*masks, [[1, 1]]),
    'crop': lambda *masks: rle.crop(*masks, [1, 1, 2, 3]),
    'decode': rle.decode,
    'decode_resized': lambda *masks: rle.decode_resized(*masks, (2, 2)),
    'flip': rle.flip,
    'hierarchy': rle.hierarchy,
    'is_empty': rle.is_empty,
    'leaf_map': rle.leaf_map,
    'pad': lambda *masks: rle.pad(*masks, [[1, 2], [3, 4]]),
    'patch_shares': lambda *masks: rle.patch_shares(*masks, 3),
    'run_lengths': lambda *masks: rle.run_lengths(*masks).flat_values,
    'sample_points': lambda *masks: rle.sample_points(*masks, 2, seed=[1, 2]),
    'to_runs': lambda *masks: rle.to_runs(*masks, 4),
    'transforms.draw_masks': lambda *masks: transforms.draw_masks(*masks, GEOMETRY, (3, 3)),
    'transforms.patch_shares': lambda *masks: transforms.patch_shares(*masks, GEOMETRY, 4),
    'prompts.sample_clicks': lambda *masks: prompts.sample_clicks(*masks, seed=[1, 2]),
}
PAIRS = ('difference', 'intersection', 'intersection_area', 'iou', 'union')


def equal(got, expected):
    for a, b in zip(tf.nest.flatten(got), tf.nest.flatten(expected), strict=True):
        assert a.shape == b.shape
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize('name', ONE)
def test_a_segmentation_stands_for_counts_and_size(name):
    segmentation = {'counts': tf.constant(COUNTS), 'size': tf.constant([SIZE] * 3, tf.uint64)}
    expected = ONE[name](COUNTS, SIZE)
    equal(ONE[name](segmentation), expected)
    equal(ONE[name](transforms.read_masks(segmentation)), expected)
    equal(ONE[name](transforms.read_masks(COUNTS, SIZE), SIZE), expected)


@pytest.mark.parametrize('name', PAIRS)
def test_segmentations_of_pairs(name):
    operation = getattr(rle, name)
    one = {'counts': COUNTS, 'size': [SIZE] * 3}
    other = {'counts': COUNTS[::-1], 'size': [SIZE] * 3}
    equal(operation(one, other), operation(COUNTS, COUNTS[::-1], SIZE))
    equal(operation(a=one, b=other), operation(one, other))
    equal(operation(one, b=COUNTS, size=SIZE), operation(COUNTS, COUNTS, SIZE))
    equal(operation(one, one), operation(COUNTS, COUNTS, SIZE))
    equal(operation(one, COUNTS, SIZE), operation(COUNTS, COUNTS, SIZE))
    with pytest.raises(tf.errors.InvalidArgumentError, match=rf'rle\.{name}: .*4 x 4 and 2 x 8'):
        operation(one, {'counts': COUNTS, 'size': [2, 8]})


def test_a_segmentation_in_a_dataset():
    segmentation = {'counts': COUNTS, 'size': np.uint64([SIZE] * 3)}
    dataset = tf.data.Dataset.from_tensors({'annotations': {'segmentation': segmentation}})
    drawn = next(iter(dataset.map(lambda e: rle.decode(e['annotations']['segmentation']))))
    np.testing.assert_array_equal(drawn, rle.decode(COUNTS, SIZE))
    np.testing.assert_array_equal(rle.decode(counts=segmentation), drawn)
    kept = rle.nms(segmentation, [0.1, 0.5, 0.9], 0.5)
    np.testing.assert_array_equal(kept, rle.nms(COUNTS, [0.1, 0.5, 0.9], SIZE, 0.5))


@pytest.mark.parametrize(
    ('call', 'message'),
    [
        (lambda: rle.area({'counts': COUNTS}), r"rle\.area: .* dict with .* keys \['counts'\]"),
        (
            lambda: transforms.read_masks({'size': SIZE}),
            r"transforms\.read_masks: .* keys \['size'\]",
        ),
        (lambda: rle.contains(COUNTS, SIZE, [1, 1]), r'`points` of shape \[P, 2\]; got \(2,\)'),
        (lambda: rle.contains(COUNTS, SIZE, [['1', '2']]), r'`points` of numbers; got string'),
        (lambda: rle.hierarchy(COUNTS, SIZE, containment=0), r'`containment` .*; got 0'),
        (lambda: rle.hierarchy(COUNTS, SIZE, max_ratio=1.5), r'`max_ratio` .*at most 1; got 1\.5'),
        (lambda: rle.patch_shares(COUNTS, SIZE, 0), r'`patch_size` to be an int ≥ 1; got 0'),
        (
            lambda: transforms.patch_shares(COUNTS, SIZE, GEOMETRY, 0.5),
            r'transforms\.patch_shares: expected `patch_size` to be an int',
        ),
        (
            lambda: rle.patch_shares(COUNTS, SIZE, 2, image_size=[4.0, 4.0]),
            r'`image_size` to be integers',
        ),
    ],
)
def test_static_faults(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize('name', ['contains', 'leaf_map', 'hierarchy', 'patch_shares'])
def test_faults_in_values(name):
    with pytest.raises(tf.errors.InvalidArgumentError, match=rf'rle\.{name}: .* sum of 16'):
        ONE[name](COUNTS, [4, 5])
    if name == 'patch_shares':
        with pytest.raises(tf.errors.InvalidArgumentError, match=r'`image_size` ≥ 1; got \[0 4\]'):
            rle.patch_shares(COUNTS, SIZE, 2, image_size=[0, 4])
