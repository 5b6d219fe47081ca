"""Choosing masks and clicking them: distributions, determinism, limits."""

import numpy as np
import pytest
import tensorflow as tf

from segment_anything_tfds.ops import prompts, rle


def test_choose_takes_k_candidates_once():
    candidates = np.arange(20) % 3 != 0
    for seed in range(20):
        chosen = prompts.choose(candidates, 5, seed=[0, seed]).numpy()
        assert len(set(chosen)) == 5 and candidates[chosen].all()


@pytest.mark.parametrize('count, expected', [(0, 0), (2, 2)])
def test_choose_gives_fewer_where_there_are_fewer(count, expected):
    candidates = tf.range(6) < count
    assert len(prompts.choose(candidates, 4, seed=[0, 1])) == expected
    assert len(prompts.choose(tf.zeros([0], tf.bool), 4, seed=[0, 1])) == 0


def test_choose_is_uniform():
    draw = tf.function(lambda seed: prompts.choose(tf.ones([8], tf.bool), 3, seed=seed))
    seeds = tf.stack([tf.zeros(2000, tf.int32), tf.range(2000)], 1)
    seen = np.bincount(tf.map_fn(draw, seeds).numpy().ravel(), minlength=8)
    expected = 2000 * 3 / 8
    assert ((seen - expected) ** 2 / expected).sum() < 24.3, '99.9 % point, 7 degrees of freedom'


def test_choose_first_is_proportional_to_weights():
    weights = np.array([1, 2, 3, 4], np.float32)
    draw = tf.function(
        lambda seed: prompts.choose(tf.ones([4], tf.bool), 1, seed=seed, weights=weights)
    )
    seeds = tf.stack([tf.zeros(3000, tf.int32), tf.range(3000)], 1)
    seen = np.bincount(tf.map_fn(draw, seeds).numpy().ravel(), minlength=4)
    expected = 3000 * weights / weights.sum()
    assert ((seen - expected) ** 2 / expected).sum() < 16.3, '99.9 % point, 3 degrees of freedom'


def test_weight_zero_comes_last():
    weights = [0.0, 1.0, 1.0]
    for seed in range(20):
        chosen = prompts.choose([True] * 3, 3, seed=[0, seed], weights=weights).numpy()
        assert chosen[-1] == 0


def _masks():
    masks = np.zeros([3, 12, 9], np.uint8)
    masks[0, 2:5, 3:8] = 1
    masks[1] = 1
    return masks


def test_clicks_have_their_labels_and_numbers():
    masks = _masks()
    counts = rle.encode(masks)
    numbers = []
    for seed in range(40):
        points, labels = prompts.sample_clicks(
            counts, [12, 9], seed=[3, seed], num_foreground=(1, 4), num_background=(0, 2)
        )
        points, labels = points.numpy().astype(int), labels.numpy()
        assert points.shape == (3, 6, 2) and labels.shape == (3, 6)
        for mask, at, label in zip(masks, points, labels, strict=True):
            values = mask[at[:, 1], at[:, 0]]
            assert (values[label == 1] == 1).all() and (values[label == 0] == 0).all()
            assert (at[label == -1] == 0).all()
        numbers.append([(labels[0] == 1).sum(), (labels[0] == 0).sum()])
        assert (labels[2] != 1).all(), 'an empty mask has no foreground'
        assert (labels[1] != 0).all(), 'a mask over the whole image has no background'
    assert set(np.array(numbers)[:, 0]) == {1, 2, 3, 4} and set(np.array(numbers)[:, 1]) == {
        0,
        1,
        2,
    }


def test_graph_equals_eager_and_seeds_decide():
    counts = rle.encode(_masks())

    def draw(seed):
        chosen = prompts.choose([True, False, True, True], 2, seed=seed)
        return chosen, *prompts.sample_clicks(counts, [12, 9], seed=seed, num_foreground=(1, 3))

    for a, b in zip(draw([1, 2]), tf.function(draw)(tf.constant([1, 2])), strict=True):
        np.testing.assert_array_equal(a, b)
    assert any((np.asarray(draw([1, s])[1]) != np.asarray(draw([1, 2])[1])).any() for s in (3, 4))


@pytest.mark.parametrize(
    'call, match',
    [
        (lambda: prompts.choose([True], 0, seed=[0, 0]), r'choose: expected `k`.*got 0'),
        (lambda: prompts.choose([1.0], 1, seed=[0, 0]), r'choose: expected `candidates`.*float32'),
        (
            lambda: prompts.choose([True], 1, seed=[0, 0], weights=[1]),
            r'choose: expected `weights`.*int32',
        ),
        (
            lambda: prompts.sample_clicks(['52203'], [4, 4], seed=[0, 0], num_foreground=(0, 0)),
            r'sample_clicks: expected `num_foreground`.*got \(0, 0\)',
        ),
        (
            lambda: prompts.sample_clicks(['52203'], [4, 4], seed=[0, 0], num_background=(2, 1)),
            r'sample_clicks: expected `num_background`.*got \(2, 1\)',
        ),
        (
            lambda: prompts.sample_clicks(['52203'], [4, 4], seed=[0, 0], num_foreground=(1, 2.0)),
            r'sample_clicks: expected `num_foreground` of ints.*got \(1, 2\.0\)',
        ),
    ],
)
def test_wrong_arguments_are_refused(call, match):
    with pytest.raises(ValueError, match=match):
        call()
