"""Masks drawn straight at another size and in another geometry, against the reference."""

import functools
from unittest import mock

import harness
import hypothesis as hp
import hypothesis.strategies as st
import numpy as np
import pytest
import reference
import rle_cases
import tensorflow as tf

from segment_anything_tfds.ops import rle
from segment_anything_tfds.ops.rle.core import drawing

SETTINGS = hp.settings(max_examples=60, deadline=None, derandomize=True)


WAYS = {'spans': 0, 'columns': 1 << 20}


@functools.cache
def compiled(method, window_dtype, way='spans'):
    """`rle.decode_resized` for tensors of unknown shape, traced once; masks drawn in one way."""
    specs = [
        tf.TensorSpec([None], tf.string),
        tf.TensorSpec([None], tf.int64),
        tf.TensorSpec([2], tf.int32),
        tf.TensorSpec([4], window_dtype),
        tf.TensorSpec([4], tf.int32),
        tf.TensorSpec([], tf.bool),
    ]

    def call(counts, size, target_size, window, placement, flip):
        return rle.decode_resized(
            counts,
            size,
            target_size,
            method=method,
            window=window,
            placement=placement,
            flip=flip,
        )

    function = tf.function(call, input_signature=specs)
    with mock.patch.object(drawing, 'PIXELS_A_CHANGE', WAYS[way]):
        function.get_concrete_function()
    return function


@st.composite
def geometries(draw, whole):
    """A target size, a window that may hang over the border, a placement and a flip."""
    target = draw(st.tuples(st.integers(1, 30), st.integers(1, 30)))
    top, left = draw(st.integers(0, target[0] - 1)), draw(st.integers(0, target[1] - 1))
    extent = (
        draw(st.integers(1, target[0] - top)),
        draw(st.integers(1, target[1] - left)),
    )
    if whole:
        corner, reach = st.integers(-20, 20), st.integers(1, 30)
    else:
        corner, reach = st.floats(-20, 20), st.floats(0.1, 30)
    window = [draw(kind) for kind in (corner, corner, reach, reach)]
    return target, window, (top, left, *extent), draw(st.booleans())


@pytest.mark.parametrize('whole', [True, False])
@SETTINGS
@hp.given(data=st.data())
def test_any_geometry_equals_the_reference(whole, data):
    masks = data.draw(rle_cases.mask_stacks(max_masks=3))
    target, window, placement, flip = data.draw(geometries(whole))
    counts = tf.constant(rle_cases.encode(masks), tf.string)
    options = {'window': window, 'placement': placement, 'flip': flip}
    dtype = tf.int32 if whole else tf.float64
    arguments = [counts, masks.shape[1:], target, window, placement, flip]
    for method, way, resize, atol in (
        ('nearest', 'spans', reference.resize_nearest, 0),
        ('nearest', 'columns', reference.resize_nearest, 0),
        ('area', 'spans', reference.resize_area, 1e-5),
    ):
        got = compiled(method, dtype, way)(*arguments).numpy()
        assert got.shape == (len(masks), *target)
        for one, mask in zip(got, masks, strict=True):
            np.testing.assert_allclose(one, resize(mask, target, **options), rtol=0, atol=atol)


def cover(counts, size, target_size):
    return rle.decode_resized(counts, size, target_size, method='area')


@pytest.mark.parametrize(
    ('shape', 'target'),
    [
        ((3, 5, 7), (4, 6)),
        ((0, 4, 3), (5, 7)),
        ((2, 1, 9), (16, 8)),
        ((2, 9, 1), (1, 1)),
        ((1, 1, 1), (4, 6)),
    ],
)
def test_every_mode(shape, target):
    masks = (np.random.default_rng(0).random(shape) < 0.4).astype(np.uint8)
    arguments = [*rle_cases.as_tensors(masks), np.array(target)]
    for operation, resize, dtype, atol in (
        (rle.decode_resized, reference.resize_nearest, tf.uint8, 0),
        (cover, reference.resize_area, tf.float32, 1e-6),
    ):
        expected = np.reshape([resize(mask, target) for mask in masks], [len(masks), *target])
        harness.check(
            operation,
            arguments,
            expected,
            dtype=dtype,
            shape=[None, None, None],
            atol=atol,
        )


def test_no_masks_and_no_size_give_the_target_shape():
    size = np.zeros([0, 2], np.uint64)
    for method in ('nearest', 'area'):
        drawn = rle.decode_resized(tf.constant([], tf.string), size, [3, 4], method=method)
        assert drawn.shape == (0, 3, 4)


def test_static_target_size_gives_a_static_shape():
    function = tf.function(
        lambda counts, size: rle.decode_resized(counts, size, (8, 9)),
        input_signature=[tf.TensorSpec([None], tf.string), tf.TensorSpec([None, 2], tf.uint64)],
    )
    assert function.get_concrete_function().output_shapes.as_list() == [None, 8, 9]


def test_identity_is_decode():
    masks = rle_cases.blobs(4, (60, 83), seed=1)
    counts = rle_cases.encode(masks)
    np.testing.assert_array_equal(rle.decode_resized(counts, [60, 83], [60, 83]), masks)
    covered = rle.decode_resized(counts, [60, 83], [60, 83], method='area')
    np.testing.assert_array_equal(covered, masks)


def test_crop_flip_and_padding_are_those_of_numpy():
    masks = rle_cases.blobs(4, (60, 83), seed=2)
    drawn = rle.decode_resized(
        rle_cases.encode(masks),
        [60, 83],
        [50, 50],
        window=[10, 20, 30, 40],
        placement=[5, 6, 30, 40],
        flip=True,
    )
    expected = np.zeros([4, 50, 50], np.uint8)
    expected[:, 5:35, 6:46] = masks[:, 10:40, 20:60][..., ::-1]
    np.testing.assert_array_equal(drawn, expected)


def test_real_masks(shared_data):
    for size, counts in rle_cases.real(shared_data).items():
        masks = [reference.decode(one, size) for one in counts[:40]]
        drawn = rle.decode_resized(counts[:40], size, [96, 64])
        ys = (2 * np.arange(96) + 1) * size[0] // 192
        xs = (2 * np.arange(64) + 1) * size[1] // 128
        np.testing.assert_array_equal(drawn, np.stack(masks)[:, ys[:, None], xs])
        covered = rle.decode_resized(counts[:40], size, [96, 64], method='area')
        expected = [reference.resize_area(mask, (96, 64)) for mask in masks]
        np.testing.assert_allclose(covered, expected, rtol=0, atol=1e-5)


def eagerly(counts, size, target_size, window, placement, flip):
    return rle.decode_resized(
        counts, size, tf.constant(target_size), window=window, placement=placement, flip=flip
    )


FAULTS = [
    ({'target_size': [0, 4]}, r'`target_size` .* from 1 to 1048576; got \[0 4\]'),
    ({'target_size': [2**21, 1]}, r'`target_size` .* from 1 to 1048576; got \[2097152 1\]'),
    ({'window': [0, 0, 0, 3]}, r'`window` .* positive extent; got \[0 0 0 3\]'),
    ({'window': [0.0, float('nan'), 1.0, 3.0]}, r'`window` .*, finite .*; got \[0 nan 1 3\]'),
    ({'window': [0.0, 0.0, float('inf'), 3.0]}, r'`window` .*, finite .*; got \[0 0 inf 3\]'),
    ({'placement': [0, 0, 5, 4]}, r'`placement` .* inside the target \[4 4\]; got \[0 0 5 4\]'),
    ({'placement': [-1, 0, 2, 2]}, r'`placement` .* inside the target \[4 4\]; got \[-1 0 2 2\]'),
    ({'placement': [0, 0, 0, 2]}, r'`placement` .*not empty .*; got \[0 0 0 2\]'),
]


@pytest.mark.parametrize(('options', 'message'), FAULTS)
def test_faults_in_values(options, message):
    options = {'target_size': [4, 4], 'window': [0, 0, 3, 3], 'placement': [0, 0, 1, 1], **options}
    window = tf.constant(options['window'])
    traced = compiled('nearest', tf.int32 if window.dtype.is_integer else tf.float64)
    arguments = ['9'], [3, 3], options['target_size'], options['window'], options['placement']
    for call in (traced, eagerly):
        with pytest.raises(
            tf.errors.InvalidArgumentError, match='rle.decode_resized: expected ' + message
        ):
            call(*arguments, False)


def test_sources_and_results_past_the_limits():
    tall = [reference.write_runs([2**21])]
    with pytest.raises(tf.errors.InvalidArgumentError, match=r'sides of at most 1048576; got'):
        rle.decode_resized(tall, [2**21, 1], [4, 4])
    for method, bytes_a_pixel in (('nearest', 1), ('area', 4)):
        message = rf'at most 8589934592 bytes.*got 33 masks of \[16384 16384\] at {bytes_a_pixel} '
        with pytest.raises(tf.errors.InvalidArgumentError, match=message):
            rle.decode_resized(['9'] * 33, [3, 3], [2**14, 2**14], method=method)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'method': 'cubic'}, "`method` to be one of 'nearest', 'area'; got 'cubic'"),
        ({'target_size': [4.0, 4.0]}, '`target_size` of integers; got float32'),
        ({'target_size': [4]}, r'`target_size` of shape \[2\]; got \(1,\)'),
        ({'window': [1, 2, 3]}, r'`window` of shape \[4\]; got \(3,\)'),
        ({'window': ['a']}, '`window` of numbers; got string'),
        ({'placement': [1, 2, 3]}, r'`placement` of shape \[4\]; got \(3,\)'),
        ({'placement': [0.0, 0, 1, 1]}, '`placement` of integers; got float32'),
        ({'flip': 1}, '`flip` of bool; got int32'),
        ({'flip': [True]}, r'`flip` of shape \[\]; got \(1,\)'),
    ],
)
def test_static_faults(options, message):
    options = {'target_size': [4, 4], **options}
    with pytest.raises(ValueError, match='rle.decode_resized: expected ' + message):
        rle.decode_resized(['9'], [3, 3], options.pop('target_size'), **options)


def test_saved_model_round_trip(tmp_path):
    module = tf.Module()
    module.resize = compiled('nearest', tf.int32)
    tf.saved_model.save(module, str(tmp_path))
    masks = rle_cases.blobs(3, (20, 30))
    counts = tf.constant(rle_cases.encode(masks))
    arguments = counts, [20, 30], [9, 9], [0, 0, 20, 30], [0, 0, 9, 9], False
    drawn = tf.saved_model.load(str(tmp_path)).resize(*arguments)
    np.testing.assert_array_equal(drawn, compiled('nearest', tf.int32)(*arguments))
