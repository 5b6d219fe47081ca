"""Metrics against plain NumPy."""

import keras
import numpy as np
import pytest

from segment_anything_tfds.training import metrics

RNG = np.random.default_rng(11)


def _blobs(shape, size=24):
    rows, columns = np.mgrid[:size, :size]
    centre = RNG.uniform(4, size - 4, (*shape, 2, 1, 1))
    radius = RNG.uniform(3, 9, (*shape, 1, 1))
    return np.hypot(rows - centre[..., 0, :, :], columns - centre[..., 1, :, :]) < radius


def _iou(a, b):
    return (a & b).sum((-2, -1)) / np.maximum((a | b).sum((-2, -1)), 1)


def _boundary(mask, distance):
    """The definition: pixels within `distance` (chessboard) of a pixel that is not in the mask."""
    height, width = mask.shape
    padded = np.pad(mask, distance)
    side = 2 * distance + 1
    kept = np.zeros_like(mask)
    for row in range(height):
        for column in range(width):
            window = padded[row : row + side, column : column + side]
            kept[row, column] = mask[row, column] and not window.all()
    return kept


def test_mean_iou_equals_numpy():
    truth, guess = _blobs([2, 3]), _blobs([2, 3])
    valid = np.array([[1, 1, 0], [1, 0, 1]], np.float32)
    metric = metrics.MeanMaskIoU()
    metric.update_state(truth.astype(np.uint8), np.where(guess, 2.0, -2.0), valid)
    np.testing.assert_allclose(metric.result(), _iou(truth, guess)[valid == 1].mean(), rtol=1e-6)


@pytest.mark.parametrize('ratio', [0.02, 0.08])
def test_boundary_iou_equals_its_definition(ratio):
    truth, guess = _blobs([4]), _blobs([4])
    distance = max(1, round(ratio * np.hypot(24, 24)))
    expected = np.mean(
        [
            _iou(_boundary(a, distance), _boundary(b, distance))
            for a, b in zip(truth, guess, strict=True)
        ]
    )
    metric = metrics.BoundaryIoU(dilation_ratio=ratio)
    metric.update_state(truth, np.where(guess, 2.0, -2.0))
    np.testing.assert_allclose(metric.result(), expected, rtol=1e-6)


def _outputs():
    truth, guess = _blobs([2, 2]), _blobs([2, 2, 3])
    y_pred = {'masks': np.where(guess, 2.0, -2.0), 'iou_pred': RNG.random((2, 2, 3))}
    return truth, guess, y_pred


def test_chooses_the_output_with_the_highest_predicted_iou():
    truth, guess, y_pred = _outputs()
    chosen = np.take_along_axis(guess, y_pred['iou_pred'].argmax(-1)[..., None, None, None], 2)
    metric = metrics.MeanMaskIoU()
    metric.update_state(truth, y_pred)
    np.testing.assert_allclose(metric.result(), _iou(truth, chosen[:, :, 0]).mean(), rtol=1e-6)


def test_best_is_the_oracle_among_candidates():
    truth, guess, y_pred = _outputs()
    y_pred['candidates'] = np.broadcast_to([1, 0, 1], (2, 2, 3))
    scores = _iou(truth[:, :, None], guess)[..., [0, 2]].max(-1)
    metric = metrics.MeanMaskIoU(choose='best')
    metric.update_state(truth, y_pred)
    np.testing.assert_allclose(metric.result(), scores.mean(), rtol=1e-6)


def test_no_valid_mask_gives_zero():
    metric = metrics.BoundaryIoU()
    metric.update_state(np.ones([1, 4, 4]), np.ones([1, 4, 4]), np.zeros([1]))
    assert float(metric.result()) == 0


def test_unknown_choice_is_refused():
    with pytest.raises(ValueError, match=r"MeanMaskIoU: expected `choose` .*got 'first'"):
        metrics.MeanMaskIoU(choose='first')


def test_survives_serialisation():
    metric = metrics.BoundaryIoU('best', dilation_ratio=0.05)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(metric))
    assert again.get_config() == metric.get_config()
