"""Masks drawn from dense boundaries: plain, under XLA, and as a Keras layer on two backends."""

import functools
import importlib.util
import os
import pathlib
import subprocess
import sys

import harness
import hypothesis
import hypothesis.strategies as st
import keras
import numpy as np
import pytest
import reference
import rle_cases
import tensorflow as tf

from segment_anything_tfds.ops import layers, rle

MAX_RUNS = 170


@rle_cases.compiled('s', 'z')
def compiled_to_runs(counts, size):
    return rle.to_runs(counts, size, MAX_RUNS)


def nearest(masks, target_size):
    """uint8 [N, h, w], each pixel sampled at its centre."""
    rows, columns = (
        (2 * np.arange(n) + 1) * extent // (2 * n)
        for n, extent in zip(target_size, masks.shape[1:], strict=True)
    )
    return masks[:, rows][:, :, columns]


def reference_runs(mask):
    flat = mask.T.reshape(-1).astype(int)
    changes = np.flatnonzero(np.diff(np.concatenate([[0], flat])))
    return np.concatenate([changes, np.full(MAX_RUNS - len(changes), mask.size)])


@hypothesis.given(rle_cases.mask_stacks(), st.tuples(st.integers(1, 30), st.integers(1, 30)))
@hypothesis.settings(deadline=None, max_examples=100)
def test_drawn_masks_are_the_sampled_masks(masks, target_size):
    counts, size = rle_cases.as_tensors(masks)
    got = rle.decode_runs(compiled_to_runs(counts, size), size, target_size)
    assert got.dtype == tf.uint8
    np.testing.assert_array_equal(got, nearest(masks, target_size))


@hypothesis.given(rle_cases.mask_stacks(max_masks=4))
@hypothesis.settings(deadline=None, max_examples=50)
def test_runs_are_the_places_where_masks_change(masks):
    counts, size = rle_cases.as_tensors(masks)
    got = compiled_to_runs(counts, size)
    assert got.dtype == tf.int32 and got.shape == (len(masks), MAX_RUNS)
    # a mask that starts in its first pixel has a boundary at 0; nothing else differs
    np.testing.assert_array_equal(
        got, np.reshape([reference_runs(mask) for mask in masks], [-1, MAX_RUNS])
    )


def test_empty_runs_draw_nothing():
    counts = [reference.write_runs([0, 0, 5, 2, 0, 1, 8])]
    drawn = rle.decode_runs(rle.to_runs(counts, [4, 4], 8), [4, 4], (4, 4))
    expected = np.zeros(16, np.uint8)
    expected[5:8] = 1
    np.testing.assert_array_equal(drawn[0], expected.reshape(4, 4).T)


@functools.cache
def by_xla(target_size):
    return tf.function(
        lambda runs, size: rle.decode_runs(runs, size, target_size),
        jit_compile=True,
        input_signature=[tf.TensorSpec([3, MAX_RUNS], tf.int32), tf.TensorSpec([2], tf.int64)],
    )


@pytest.mark.parametrize('size', [(50, 40), (7, 90), (1, 12), (33, 1)])
@pytest.mark.parametrize('target_size', [(16, 16), (64, 3), (50, 40)])
def test_xla_draws_the_same_with_sizes_known_at_run_time(size, target_size):
    masks = rle_cases.blobs(3, size)
    counts, size = rle_cases.as_tensors(masks)
    runs = rle.to_runs(counts, size, MAX_RUNS)
    drawn = by_xla(target_size)(runs, size.astype(np.int64))
    np.testing.assert_array_equal(drawn, nearest(masks, target_size))


def batch():
    """runs [2, 4, R] of two images of different size, sizes [2, 2], and the masks at 24 × 20."""
    stacks = [rle_cases.blobs(4, (60, 30), seed=1), rle_cases.blobs(4, (15, 80), seed=2)]
    runs = [rle.to_runs(*rle_cases.as_tensors(masks), MAX_RUNS).numpy() for masks in stacks]
    drawn = [nearest(masks, (24, 20)) for masks in stacks]
    sizes = [masks.shape[1:] for masks in stacks]
    return np.stack(runs), np.array(sizes, np.int32), np.stack(drawn)


@pytest.mark.parametrize('jit_compile', [False, True])
def test_batches_of_images_of_their_own_size(jit_compile):
    runs, sizes, drawn = batch()
    draw = tf.function(
        lambda runs, sizes: rle.decode_runs(runs, sizes, (24, 20)), jit_compile=jit_compile
    )
    np.testing.assert_array_equal(draw(runs, sizes), drawn)


def test_real_masks(shared_data):
    for size, counts in rle_cases.real(shared_data).items():
        counts = counts[:60]
        runs = rle.to_runs(counts, size, 1024)
        whole = rle.decode_runs(runs[:2], size, size)
        from pycocotools import mask as coco_mask

        expected = np.stack([coco_mask.decode(one) for one in rle_cases.coco(counts, size)])
        np.testing.assert_array_equal(whole, expected[:2])
        np.testing.assert_array_equal(
            rle.decode_runs(runs, size, (64, 96)), nearest(expected, (64, 96))
        )


to_runs = functools.partial(rle.to_runs, max_runs=MAX_RUNS)


def decode_runs(runs, size):
    runs, size = tf.ensure_shape(runs, [None, None]), tf.ensure_shape(size, [2])
    return rle.decode_runs(runs, size, (8, 9))


@pytest.mark.parametrize('num_masks', [3, 0])
def test_every_mode(num_masks):
    masks = rle_cases.blobs(num_masks, (20, 30))
    counts, size = rle_cases.as_tensors(masks)
    runs = harness.check(
        to_runs,
        [counts, size],
        dtype=tf.int32,
        shape=[None, MAX_RUNS],
    )[0]
    harness.check(
        decode_runs,
        [runs, size],
        nearest(masks, (8, 9)),
        dtype=tf.uint8,
        shape=[None, 8, 9],
    )


def test_no_masks_and_no_sizes():
    runs = rle.to_runs(tf.constant([], tf.string), tf.zeros([0, 2], tf.int64), 5)
    assert runs.shape == [0, 5]
    assert rle.decode_runs(runs, [4, 4], (2, 3)).shape == [0, 2, 3]


def test_too_many_boundaries():
    counts = ['`0', '52203']
    message = (
        r'rle\.to_runs: expected `max_runs` to hold the boundaries of every mask; '
        r'got 3 for 4 at index 1'
    )
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        rle.to_runs(counts, [4, 4], 3)
    assert rle.to_runs(counts, [4, 4], 3, overflow='drop').numpy().tolist() == [[16] * 3] * 2
    assert rle.to_runs(counts, [4, 4], 4).numpy().tolist() == [[16] * 4, [5, 7, 9, 11]]


def test_a_side_too_long():
    counts = [reference.write_runs([70000])]
    message = r'rle\.to_runs: expected `size` of at most 65535 a side; got 70000 × 1'
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        rle.to_runs(counts, [70000, 1], 3)


def test_the_longest_sides_do_not_overflow():
    counts = [reference.write_runs([0, 65535 * 2])]
    for size in ([65535, 2], [2, 65535]):
        drawn = rle.decode_runs(rle.to_runs(counts, size, 2), size, (8192, 1))
        assert drawn.numpy().all()
        drawn = rle.decode_runs(rle.to_runs(counts, size, 2), size, (1, 8192))
        assert drawn.numpy().all()


RUNS = np.zeros([2, 5], np.int32)


@pytest.mark.parametrize(
    'call,message',
    [
        (
            lambda: rle.to_runs(['52203'], [4, 4], 0),
            r'rle\.to_runs: expected `max_runs` to be an int ≥ 1; got 0',
        ),
        (
            lambda: rle.to_runs(['52203'], [4, 4], 4, overflow='cut'),
            r"rle\.to_runs: expected `overflow` to be one of 'error', 'drop'; got 'cut'",
        ),
        (
            lambda: rle.decode_runs(RUNS, [4, 4], (0, 4)),
            r'rle\.decode_runs: expected `target_size` to be two ints from 1 to 8192; got \(0, 4\)',
        ),
        (
            lambda: rle.decode_runs(RUNS, [4, 4], 4),
            r'rle\.decode_runs: expected `target_size` to be two ints .* got 4',
        ),
        (
            lambda: rle.decode_runs(RUNS.astype(np.float32), [4, 4], (4, 4)),
            r'rle\.decode_runs: expected `runs` of int32 \[\.\.\., R\].*got float32 \(2, 5\)',
        ),
        (
            tf.function(
                lambda: rle.decode_runs(tf.raw_ops.Placeholder(dtype=tf.int32), [4, 4], (4, 4))
            ),
            r'rle\.decode_runs: expected `runs` of int32 .*got int32 <unknown>',
        ),
        (
            lambda: rle.decode_runs(RUNS, [4.0, 4.0], (4, 4)),
            r'rle\.decode_runs: expected `size` of integers.*got float32 \(2,\)',
        ),
        (
            lambda: rle.decode_runs(RUNS, np.ones([1, 1, 2], int), (4, 4)),
            r'rle\.decode_runs: expected `size` of integers.*got int64 \(1, 1, 2\)',
        ),
        (
            lambda: layers.DecodeRuns((4, 9000)),
            r'layers\.DecodeRuns: expected `target_size` to be two ints.*got \(4, 9000\)',
        ),
        (
            lambda: layers.DecodeRuns((4, 4))(RUNS.astype(np.float32), np.int32([4, 4])),
            r'layers\.DecodeRuns: expected `runs` of int32 \[\.\.\., R\].*got float32 \(2, 5\)',
        ),
    ],
)
def test_static_faults(call, message):
    with pytest.raises(ValueError, match=message):
        call()


LIMIT = 2**31 // 8193**2 + 1  # masks of 8192 x 8192: 32 are too many


def test_more_cells_than_int32_counts():
    """Refused before anything is allocated, while tracing where the number of masks is known."""
    many = np.tile(np.int32([[0, 16]]), [LIMIT, 1])
    message = r'expected fewer than 2³¹ cells, .*; got 32 masks of 8192 × 8192'
    with pytest.raises(ValueError, match=r'rle\.decode_runs: ' + message):
        rle.decode_runs(many, [4, 4], (8192, 8192))
    with pytest.raises(ValueError, match=r'layers\.DecodeRuns: ' + message):
        layers.DecodeRuns((8192, 8192))(many, np.int32([4, 4]))
    with pytest.raises(ValueError, match=r'rle\.decode_runs: ' + message):
        tf.function(lambda: rle.decode_runs(many, [4, 4], (8192, 8192)), jit_compile=True)()
    traced = tf.function(
        lambda runs: rle.decode_runs(runs, [4, 4], (8192, 8192)),
        input_signature=[tf.TensorSpec([None, 2], tf.int32)],
    )
    with pytest.raises(tf.errors.InvalidArgumentError, match=r'rle\.decode_runs: ' + message):
        traced(many)


def test_layer_in_a_model_that_is_saved_and_compiled(tmp_path):
    runs, sizes, drawn = batch()
    inputs = [keras.Input([4, MAX_RUNS], dtype='int32'), keras.Input([2], dtype='int32')]
    model = keras.Model(inputs, layers.DecodeRuns((24, 20))(*inputs))
    assert model.output_shape == (None, 4, 24, 20)
    np.testing.assert_array_equal(model([runs, sizes]), drawn.astype(np.float32))
    np.testing.assert_array_equal(model.predict([runs, sizes], verbose=0), drawn)
    model.save(tmp_path / 'model.keras')
    loaded = keras.saving.load_model(tmp_path / 'model.keras')
    np.testing.assert_array_equal(loaded([runs, sizes]), drawn)
    assert layers.DecodeRuns((24, 20), dtype='float16')(runs, sizes).dtype == tf.float16


JAX_PROGRAM = """
import sys
import jax
import keras
import numpy as np
from segment_anything_tfds.ops import layers

assert keras.backend.backend() == 'jax'
given = np.load(sys.argv[1])
draw = layers.DecodeRuns((24, 20))
plain = draw(given['runs'], given['sizes'])
compiled = jax.jit(lambda runs, sizes: draw(runs, sizes))(given['runs'], given['sizes'])
for got in (plain, compiled):
    assert isinstance(got, jax.Array) and got.dtype == np.float32
    np.testing.assert_array_equal(np.asarray(got), given['drawn'])
try:
    layers.DecodeRuns((8192, 8192))(np.zeros([32, 2], np.int32), np.int32([4, 4]))
except ValueError as error:
    assert 'fewer than 2³¹ cells' in str(error), error
else:
    raise AssertionError('32 masks of 8192 x 8192 pass int32')
"""


@pytest.mark.slow
@pytest.mark.skipif(not importlib.util.find_spec('jax'), reason='JAX is not installed')
def test_layer_on_the_jax_backend(tmp_path):
    runs, sizes, drawn = batch()
    np.savez(tmp_path / 'given.npz', runs=runs, sizes=sizes, drawn=drawn)
    subprocess.run(
        [sys.executable, '-c', JAX_PROGRAM, str(tmp_path / 'given.npz')],
        check=True,
        timeout=300,
        cwd=pathlib.Path(__file__).resolve().parent.parent,
        env={**os.environ, 'KERAS_BACKEND': 'jax', 'JAX_PLATFORMS': 'cpu'},
    )
