"""Random points: always on a right pixel, evenly over all of them, and far from the boundary."""

import functools

import harness
import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
import reference
import rle_cases
import tensorflow as tf

from segment_anything_tfds.ops import rle
from segment_anything_tfds.ops.rle import sample

LABELS = ('foreground', 'background', 'boundary-far')


@rle_cases.compiled('s', 'z', 'i')
def sampled(counts, size, seeds):
    return {
        label: rle.sample_points(counts, size, 6, seed=seeds[:2], label=label) for label in LABELS
    }


def squared_distances(mask):
    """int [H, W], squared pixels to the nearest pixel outside, beyond the image too; one by one."""
    padded = np.pad(mask, 1)
    outside = np.argwhere(padded == 0) - 1
    found = np.zeros(mask.shape, np.int64)
    for y, x in np.argwhere(mask):
        found[y, x] = np.min(np.sum(np.square(outside - [y, x]), 1))
    return found


@hypothesis.given(rle_cases.mask_stacks(), st.integers(0, 2**31 - 1))
@hypothesis.settings(deadline=None, max_examples=150)
def test_points_lie_where_they_should(masks, seed):
    got = sampled(*rle_cases.as_tensors(masks), [seed, 7, 0, 0])
    for label, (points, point_labels) in got.items():
        assert points.dtype == tf.float32 and points.shape == (len(masks), 6, 2)
        assert point_labels.dtype == tf.int32 and point_labels.shape == (len(masks), 6)
        for mask, chosen, flags in zip(masks, points.numpy(), point_labels.numpy(), strict=True):
            wanted = mask == (0 if label == 'background' else 1)
            if label == 'boundary-far':
                distances = squared_distances(mask)
                wanted &= distances == distances.max()
            if not wanted.any():
                assert np.all(flags == -1) and not chosen.any()
                continue
            x, y = chosen.astype(int).T
            assert np.all(chosen == np.stack([x, y], 1))
            assert np.all(wanted[y, x])
            assert np.all(flags == (0 if label == 'background' else 1))


CHI_SQUARE_99999 = {29: 74.2, 69: 131.1}  # by degrees of freedom: exceeded once in 100,000


@pytest.mark.parametrize('label,freedom', [('foreground', 29), ('background', 69)])
def test_points_are_uniform(label, freedom):
    rng = np.random.default_rng(3)
    mask = np.zeros(100, np.uint8)
    mask[rng.permutation(100)[:30]] = 1
    # between two others, so that neighbours on the line would show
    masks = np.stack(
        [np.ones([10, 10], np.uint8), mask.reshape(10, 10), np.zeros([10, 10], np.uint8)]
    )
    counts, size = rle_cases.as_tensors(masks)
    points, _ = rle.sample_points(counts, size, 20000, seed=[4, 5], label=label)
    x, y = points.numpy()[1].astype(int).T
    drawn = np.zeros([10, 10])
    np.add.at(drawn, (y, x), 1)
    wanted = masks[1] == (label == 'foreground')
    expected = 20000 / wanted.sum()
    assert drawn[~wanted].sum() == 0
    assert np.sum(np.square(drawn[wanted] - expected) / expected) < CHI_SQUARE_99999[freedom]
    assert wanted.sum() - 1 == freedom


def test_pixels_of_a_large_mask_are_uniform():
    height, width = 1500, 2250
    counts = [reference.write_runs([1000, height * width - 1000])]
    points, _ = rle.sample_points(counts, [height, width], 20000, seed=[1, 1])
    x, y = points.numpy()[0].T
    bins = np.histogram2d(x, y, bins=(6, 5), range=[(0, width), (0, height)])[0]
    assert np.sum(np.square(bins - 20000 / 30) / (20000 / 30)) < CHI_SQUARE_99999[29]


def test_ties_far_from_the_boundary_are_all_chosen():
    masks = np.zeros([1, 9, 30], np.uint8)
    masks[0, 2:7, 2:7] = masks[0, 2:7, 12:17] = masks[0, 2:7, 22:27] = 1
    points, _ = rle.sample_points(
        *rle_cases.as_tensors(masks), 200, seed=[3, 1], label='boundary-far'
    )
    assert {tuple(point) for point in points.numpy()[0]} == {(4, 4), (14, 4), (24, 4)}


def test_far_point_of_large_masks_is_nearly_as_far_as_can_be():
    masks = rle_cases.blobs(12, (300, 400), seed=5)
    points, labels = rle.sample_points(
        *rle_cases.as_tensors(masks), 1, seed=[3, 1], label='boundary-far'
    )
    assert np.all(labels == 1)
    for mask, point in zip(masks, points.numpy()[:, 0].astype(int), strict=True):
        y, x = np.argwhere(mask).T
        box = max(np.ptp(x), np.ptp(y)) + 1
        padded = np.pad(mask, 1)
        outside = np.argwhere((padded == 0) & near(padded)) - 1
        distance = np.sqrt(np.min(np.sum(np.square(outside - point[::-1]), 1)))
        best = np.sqrt(farthest(mask, outside))
        assert mask[point[1], point[0]] == 1
        assert distance >= best - np.sqrt(2) * box / sample.RESOLUTION - 1


def near(padded):
    """Pixels with a neighbour in the mask."""
    around = np.zeros_like(padded)
    for dy, dx in ((0, 1), (1, 0), (0, -1), (-1, 0)):
        around |= np.roll(padded, (dy, dx), (0, 1))
    return around


def farthest(mask, outside):
    return max(np.min(np.sum(np.square(outside - pixel), 1)) for pixel in np.argwhere(mask)[::7])


def test_points_follow_their_seed():
    counts, size = rle_cases.as_tensors(rle_cases.blobs(4, (50, 60)))
    for label in ('foreground', 'background'):
        one, same, other = (
            rle.sample_points(counts, size, 9, seed=seed, label=label)[0]
            for seed in ([1, 2], [1, 2], [2, 1])
        )
        np.testing.assert_array_equal(one, same)
        assert np.any(one != other)


def test_points_of_real_masks(shared_data):
    for size, counts in rle_cases.real(shared_data).items():
        empty = rle.is_empty(counts, size).numpy()
        points, labels = rle.sample_points(counts, size, 3, seed=[1, 2])
        np.testing.assert_array_equal(labels.numpy()[:, 0] == -1, empty)
        for one, (x, y) in zip(counts[:100], points.numpy()[:100, 0].astype(int), strict=True):
            if not empty[counts.index(one)]:
                assert rle.area(rle.crop([one], size, [x, y, 1, 1]), [1, 1]).numpy() == [1]


CALLS = {
    label: functools.partial(rle.sample_points, num_points=3, seed=[1, 2], label=label)
    for label in LABELS
}


@pytest.mark.parametrize('label', LABELS)
@pytest.mark.parametrize('num_masks', [4, 0])
def test_every_mode(label, num_masks):
    harness.check(
        CALLS[label],
        rle_cases.as_tensors(rle_cases.blobs(num_masks, (20, 30))),
        dtype=[tf.float32, tf.int32],
        shape=[[None, 3, 2], [None, 3]],
    )


@pytest.mark.parametrize('label', LABELS)
def test_no_masks_and_no_sizes(label):
    points, labels = rle.sample_points(
        tf.constant([], tf.string), tf.zeros([0, 2], tf.int64), 5, seed=[1, 2], label=label
    )
    assert points.shape == [0, 5, 2] and labels.shape == [0, 5]


@pytest.mark.parametrize(
    'arguments,message',
    [
        ({'num_points': 0}, r'expected `num_points` to be an int ≥ 1; got 0'),
        ({'num_points': True}, r'expected `num_points` to be an int ≥ 1; got True'),
        ({'label': 'edge'}, r"expected `label` to be one of 'foreground', .*; got 'edge'"),
        ({'seed': 5}, r'expected `seed` to be integers of shape \[2\]; got int32 \(\)'),
        ({'seed': [0.5, 1]}, r'expected `seed` to be integers of shape \[2\]; got float32 \(2,\)'),
    ],
)
def test_static_faults(arguments, message):
    with pytest.raises(ValueError, match=r'rle\.sample_points: ' + message):
        rle.sample_points(['52203'], [4, 4], **{'num_points': 1, 'seed': [1, 2], **arguments})


def test_faults_in_strings():
    with pytest.raises(tf.errors.InvalidArgumentError, match=r'rle\.sample_points: expected.*got'):
        rle.sample_points(['52203'], [4, 5], 1, seed=[1, 2])
