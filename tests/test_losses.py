"""Losses against plain NumPy, and through `keras.Model.fit`'s rules."""

import json
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import ops

from segment_anything_tfds.training import corrections, losses, metrics

REPO = pathlib.Path(__file__).resolve().parent.parent

RNG = np.random.default_rng(7)


def _sample(shape=(2, 3, 8, 9)):
    truth = (RNG.random(shape) > 0.6).astype(np.float32)
    return truth, RNG.normal(0, 3, shape).astype(np.float32)


def _focal(truth, logits, alpha=0.25, gamma=2.0):
    p = 1 / (1 + np.exp(-logits.astype(np.float64)))
    p_t = np.where(truth == 1, p, 1 - p)
    weight = np.where(truth == 1, alpha, 1 - alpha)
    return (-weight * (1 - p_t) ** gamma * np.log(p_t)).mean((-2, -1))


def _dice(truth, logits):
    p = 1 / (1 + np.exp(-logits.astype(np.float64)))
    numerator = 2 * (p * truth).sum((-2, -1)) + 1
    return 1 - numerator / (p.sum((-2, -1)) + truth.sum((-2, -1)) + 1)


def _iou(truth, logits):
    a, b = truth > 0.5, logits > 0
    return (a & b).sum((-2, -1)) / np.maximum((a | b).sum((-2, -1)), 1)


@pytest.mark.parametrize('loss, reference', [(losses.FocalLoss, _focal), (losses.DiceLoss, _dice)])
def test_equals_numpy(loss, reference):
    truth, logits = _sample()
    got = loss(reduction=None)(truth, logits)
    np.testing.assert_allclose(got, reference(truth, logits), rtol=1e-5)


def test_focal_gradient_of_a_saturated_wrong_pixel():
    import tensorflow as tf

    logits = tf.Variable([[[-60.0]]])
    with tf.GradientTape() as tape:
        loss = losses.FocalLoss()(tf.ones([1, 1, 1]), logits)
    np.testing.assert_allclose(tape.gradient(loss, logits), [[[-0.25]]], rtol=1e-5)


def test_padded_masks_neither_add_nor_thin():
    truth, logits = _sample()
    valid = np.array([[1, 1, 0], [1, 0, 0]], np.float32)
    expected = _focal(truth, logits)[valid == 1].mean()
    np.testing.assert_allclose(losses.FocalLoss()(truth, logits, valid), expected, rtol=1e-5)
    assert float(losses.FocalLoss()(truth, logits, np.zeros_like(valid))) == 0


def _multimask(num_outputs=3):
    truth, _ = _sample()
    masks = RNG.normal(0, 3, (2, 3, num_outputs, 8, 9)).astype(np.float32)
    return truth, {'masks': masks, 'iou_pred': RNG.random((2, 3, num_outputs)).astype(np.float32)}


def _parts(truth, y_pred):
    wide = np.broadcast_to(truth[:, :, None], y_pred['masks'].shape)
    mask_loss = 20 * _focal(wide, y_pred['masks']) + _dice(wide, y_pred['masks'])
    return mask_loss, y_pred['iou_pred'] - _iou(wide, y_pred['masks'])


def test_only_the_best_output_counts():
    truth, y_pred = _multimask()
    mask_loss, error = _parts(truth, y_pred)
    best = mask_loss.argmin(-1)[..., None]
    expected = np.take_along_axis(mask_loss + error**2, best, -1)[..., 0]
    got = losses.SegmentAnythingLoss(reduction=None)(truth, y_pred)
    np.testing.assert_allclose(got, expected, rtol=1e-4)


def test_sam2_supervises_all_ious():
    truth, y_pred = _multimask()
    mask_loss, error = _parts(truth, y_pred)
    loss = losses.SegmentAnythingLoss(iou_error='absolute', supervise_all_ious=True, reduction=None)
    np.testing.assert_allclose(
        loss(truth, y_pred), mask_loss.min(-1) + np.abs(error).mean(-1), rtol=1e-4
    )


def test_only_candidates_are_chosen():
    truth, y_pred = _multimask(4)
    y_pred['candidates'] = np.broadcast_to([0, 0, 1, 0], (2, 3, 4)).astype(np.float32)
    mask_loss, error = _parts(truth, y_pred)
    got = losses.SegmentAnythingLoss(reduction=None)(truth, y_pred)
    np.testing.assert_allclose(got, (mask_loss + error**2)[..., 2], rtol=1e-4)


def test_mask_iou_of_empty_masks_is_one():
    np.testing.assert_array_equal(losses.mask_iou(ops.zeros([2, 4, 4]), -ops.ones([2, 4, 4])), 1)


@pytest.mark.parametrize(
    'loss',
    [
        losses.FocalLoss(0.3, 1.5),
        losses.DiceLoss(2.0),
        losses.SegmentAnythingLoss(10.0, 2.0, 0.5, iou_error='absolute', supervise_all_ious=True),
    ],
)
def test_survives_serialisation(loss):
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))
    assert again.get_config() == loss.get_config()


def test_other_size_is_refused():
    with pytest.raises(ValueError, match=r'losses.DiceLoss: expected `y_pred` .*got \[1, 5, 4\]'):
        losses.DiceLoss()(np.ones([1, 4, 4]), np.ones([1, 5, 4]))
    y_pred = {'masks': ops.zeros([2, 3, 8, 4]), 'iou_pred': ops.zeros([2, 3])}
    rule = r'losses.SegmentAnythingLoss: expected `y_pred` .*got \[2, 3, 8, 4\]\. Set the recipe'
    with pytest.raises(ValueError, match=rule):
        losses.SegmentAnythingLoss()(ops.zeros([2, 4, 4]), y_pred)


def test_unknown_iou_error_is_refused():
    with pytest.raises(ValueError, match=r"expected `iou_error` 'squared'.*got 'l1'"):
        losses.SegmentAnythingLoss(iou_error='l1')


_ON_JAX = """
import json, sys
import keras, numpy as np
from segment_anything_tfds.training import corrections, losses, metrics
assert keras.backend.backend() == 'jax'
data = np.load(sys.argv[1])
y_pred = {'masks': data['masks'], 'iou_pred': data['iou_pred']}
boundary = metrics.BoundaryIoU()
boundary.update_state(data['truth'], y_pred)
center = corrections.correction_center(data['truth'], data['masks'][:, :, 0])
seed = keras.random.SeedGenerator(1)
click = corrections.sample_correction(data['truth'], data['masks'][:, :, 0], seed=seed)
assert click[0].shape == data['truth'].shape[:2] + (2,)
print(json.dumps([float(losses.SegmentAnythingLoss()(data['truth'], y_pred)),
                  float(boundary.result()), np.asarray(center[0]).tolist()]))
"""


@pytest.mark.slow
def test_same_numbers_on_the_jax_backend(tmp_path):
    pytest.importorskip('jax')
    truth, y_pred = _multimask()
    np.savez(tmp_path / 'data.npz', truth=truth, **y_pred)
    environment = dict(os.environ, KERAS_BACKEND='jax', PYTHONPATH=str(REPO))
    done = subprocess.run(
        [sys.executable, '-c', _ON_JAX, str(tmp_path / 'data.npz')],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    loss, boundary, center = json.loads(done.stdout.splitlines()[-1])
    assert loss == pytest.approx(float(losses.SegmentAnythingLoss()(truth, y_pred)), rel=1e-5)
    metric = metrics.BoundaryIoU()
    metric.update_state(truth, y_pred)
    assert boundary == pytest.approx(float(metric.result()), rel=1e-5)
    expected = corrections.correction_center(truth, y_pred['masks'][:, :, 0])[0]
    np.testing.assert_array_equal(center, expected)
