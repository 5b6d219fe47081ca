"""Python numbers as arguments: NumPy's scalars are taken for them, what is none is refused."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from segment_anything_tfds.ops import boxes, layers, prompts, rle, transforms

COUNTS, SIZE, SEED = ['52203', '`0'], [4, 4], [1, 2]
RUNS = np.int32([[5, 7, 9, 11]])
FRAMES = np.float32([[1, 1, 30, 20]])


def jitter(number, distribution):
    return boxes.jitter(
        FRAMES, [40, 40], seed=SEED, scale=number, max_pixels=number, distribution=distribution
    )


def flipped(number):
    geometry = transforms.fit([30, 40], [32, 32])
    return transforms.random_flip(geometry, seed=SEED, probability=number)


INTS = {
    'max_masks': lambda n: rle.nms(COUNTS, [0.5, 0.4], SIZE, 0.7, max_masks=n),
    'num_points': lambda n: rle.sample_points(COUNTS, SIZE, n, seed=SEED),
    'max_runs': lambda n: rle.to_runs(COUNTS, SIZE, n, overflow='drop'),
    'target_size': lambda n: rle.decode_runs(RUNS, SIZE, (n, n)),
    'target_size of the layer': lambda n: layers.DecodeRuns((n, n))(RUNS, np.int32(SIZE)),
    'k': lambda n: prompts.choose([True, True, True], n, seed=SEED),
}
FLOATS = {
    'threshold': lambda x: rle.nms(COUNTS, [0.5, 0.4], SIZE, x),
    'scale, normal': lambda x: jitter(x, 'normal'),
    'scale, uniform': lambda x: jitter(x, 'uniform'),
    'probability': flipped,
}


def same(got, expected):
    for a, b in zip(tf.nest.flatten(got), tf.nest.flatten(expected), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize('name', INTS)
def test_ints_of_numpy(name):
    expected = INTS[name](2)
    for kind in (np.int64, np.int32, np.uint8):
        same(INTS[name](kind(2)), expected)
    same(tf.function(lambda: INTS[name](kind(2)))(), expected)  # the narrowest; tracing takes long


@pytest.mark.parametrize('name', FLOATS)
def test_floats_of_numpy(name):
    expected = FLOATS[name](1.0)
    for kind in (np.float64, np.float32, np.int64, np.float16):
        same(FLOATS[name](kind(1)), expected)
    same(tf.function(lambda: FLOATS[name](kind(1)))(), expected)


@pytest.mark.parametrize('name', INTS)
@pytest.mark.parametrize('value', [True, np.True_, 2.0, np.float32(2), '2', None, np.int64(0)])
def test_what_is_no_int_is_refused(name, value):
    if name != 'max_masks' or value is not None:
        with pytest.raises(ValueError, match=r'expected `\w+` to be (an int ≥ 1|two ints).*; got'):
            INTS[name](value)


@pytest.mark.parametrize('name', FLOATS)
@pytest.mark.parametrize('value', [True, np.True_, '0.5', None, np.nan, np.float32(-1), 1j])
def test_what_is_no_number_is_refused(name, value):
    with pytest.raises(ValueError, match=r'expected `\w+` to be a number (≥|from) 0.*; got'):
        FLOATS[name](value)


def test_ranges_of_numpy():
    def clicks(*numbers):
        return prompts.sample_clicks(
            COUNTS, SIZE, seed=SEED, num_foreground=numbers, num_background=numbers
        )

    same(clicks(*np.array([1, 3])), clicks(1, 3))
    same(clicks(np.uint8(1), np.int32(3)), clicks(1, 3))


def test_a_layer_with_ints_of_numpy_can_be_saved():
    layer = layers.DecodeRuns(np.array([2, 3]).tolist())
    copy = keras.layers.deserialize(keras.layers.serialize(layer))
    assert copy.target_size == layers.DecodeRuns((np.int64(2), np.int64(3))).target_size == (2, 3)
    assert all(type(n) is int for n in copy.target_size)
