"""Correction clicks: where they fall, how they are spread, and that XLA compiles them."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from segment_anything_tfds.training import corrections

RNG = np.random.default_rng(3)


def _pair(shape=(2, 5), size=(20, 26)):
    truth = (RNG.random((*shape, *size)) > 0.7).astype(np.float32)
    return truth, RNG.normal(size=(*shape, *size)).astype(np.float32)


def _value_at(masks, point):
    masks = np.asarray(masks)
    flat = masks.reshape(-1, *masks.shape[-2:])
    x, y = np.asarray(point).astype(int).reshape(-1, 2).T
    return flat[np.arange(len(flat)), y, x].reshape(masks.shape[:-2])


def test_clicks_fall_into_the_error_with_its_label():
    truth, logits = _pair()
    for seed in range(5):
        point, label = corrections.sample_correction(truth, logits, seed=[1, seed])
        at_truth, at_guess = _value_at(truth > 0.5, point), _value_at(logits > 0, point)
        assert (at_truth != at_guess).all()
        np.testing.assert_array_equal(np.asarray(label) == 1, at_truth)


def test_clicks_are_uniform_over_the_error():
    truth = np.zeros([6, 7], np.float32)
    truth[1:3, 2:6] = 1
    logits = np.where(np.arange(7) == 3, 1.0, -1.0) * np.ones([6, 1])
    draws = 6000
    tile = lambda x: np.broadcast_to(x, (draws, 6, 7)).astype(np.float32)  # noqa: E731
    point, _ = corrections.sample_correction(tile(truth), tile(logits), seed=[4, 2])
    x, y = np.asarray(point).astype(int).T
    seen = np.bincount(y * 7 + x, minlength=42).reshape(6, 7)
    error = (truth > 0.5) != (logits > 0)
    assert seen[~error].sum() == 0
    expected = draws / error.sum()
    chi_square = ((seen[error] - expected) ** 2 / expected).sum()
    assert chi_square < 27.7, 'above the 99.8 % point for 9 degrees of freedom'


def test_perfect_prediction_clicks_the_background_or_nothing():
    truth = np.zeros([2, 4, 4], np.float32)
    truth[0, :2] = 1
    truth[1] = 1
    point, label = corrections.sample_correction(truth, truth - 0.5, seed=[0, 0])
    assert np.asarray(label).tolist() == [0, -1]
    assert np.asarray(point)[0, 1] >= 2


def test_seeds_decide():
    truth, logits = _pair()
    draw = lambda seed: corrections.sample_correction(truth, logits, seed=seed)[0]  # noqa: E731
    np.testing.assert_array_equal(draw([1, 2]), draw([1, 2]))
    assert (np.asarray(draw([1, 2])) != np.asarray(draw([1, 3]))).any()
    generator = keras.random.SeedGenerator(5)
    assert (np.asarray(draw(generator)) != np.asarray(draw(generator))).any()


def test_squared_distance_equals_brute_force():
    region = RNG.random((3, 17, 13)) > 0.15
    region[1] = True
    region[2] = False
    got = np.asarray(corrections.squared_distance(tf.constant(region)))
    padded = np.pad(region, [(0, 0), (1, 1), (1, 1)])
    for mask, distances in zip(padded, got, strict=True):
        outside = np.argwhere(~mask)
        for row, column in np.argwhere(mask):
            nearest = ((outside - [row, column]) ** 2).sum(1).min()
            assert distances[row - 1, column - 1] == nearest


def test_centre_is_the_pixel_deepest_in_the_larger_error():
    truth = np.zeros([3, 30, 30], np.float32)
    logits = -np.ones([3, 30, 30], np.float32)
    truth[0, 5:16, 8:19] = 1
    logits[0, 25:29, 25:29] = 1
    logits[1, 10:19, 10:19] = 1
    point, label = corrections.correction_center(truth, logits)
    assert np.asarray(point).tolist()[:2] == [[13, 10], [14, 14]]
    assert np.asarray(label).tolist() == [1, 0, -1]


def test_xla_and_graph_agree_with_eager():
    truth, logits = _pair()

    def clicks(truth, logits):
        return (
            *corrections.sample_correction(truth, logits, seed=[3, 1]),
            *corrections.correction_center(truth, logits),
        )

    expected = clicks(tf.constant(truth), tf.constant(logits))
    for jit in (False, True):
        got = tf.function(clicks, jit_compile=jit)(truth, logits)
        for a, b in zip(expected, got, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize('name', ['sample_correction', 'correction_center'])
def test_other_shape_is_refused(name):
    arguments = {'seed': [0, 0]} if name == 'sample_correction' else {}
    match = rf'corrections.{name}: expected `predicted` .*\[4, 4\]; got \[4, 5\]'
    with pytest.raises(ValueError, match=match):
        getattr(corrections, name)(tf.ones([4, 4]), tf.ones([4, 5]), **arguments)
