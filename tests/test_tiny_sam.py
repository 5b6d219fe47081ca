"""The package's own small SAM: what it finds on scenes that it has not seen, and its shape."""

import importlib
import io
import sys

import numpy as np
import pytest
from building import REPO
from meta_reference import meta  # noqa: F401  (a fixture)
from PIL import Image

from segment_anything_tfds import training
from segment_anything_tfds.training.tiny import tiny_sam

pytest.importorskip('keras_hub')
sys.path.append(str(REPO / 'examples'))
painted_scenes = importlib.import_module('painted_scenes')
WEIGHTS = REPO / 'segment_anything_tfds' / 'training' / 'tiny' / tiny_sam.FILE


@pytest.fixture(scope='module')
def model():
    return training.tiny_sam()


@pytest.fixture(scope='module')
def scene():
    """A scene that it was not trained on, and another than the training script judges by."""
    return painted_scenes.paint(painted_scenes.HELD_OUT + 10_001)


def _judged(model, number, num_masks=None):
    scenes = [
        painted_scenes.as_example(painted_scenes.paint(painted_scenes.HELD_OUT + n))
        for n in range(number)
    ]
    return training.evaluate.evaluate_model(model, scenes, clicks=(1,), num_masks=num_masks)


def test_it_segments_scenes_that_it_has_not_seen(model):
    found = _judged(model, 3)
    assert found['1_clicks']['count'] > 60
    assert found['1_clicks']['oracle'] > 0.64
    assert found['1_clicks']['mean_iou'] > 0.61
    assert found['box']['mean_iou'] > 0.65


@pytest.mark.slow
def test_it_is_as_good_as_its_documentation_says(model):
    found = _judged(model, 30)
    assert found['1_clicks']['oracle'] > 0.71
    assert found['1_clicks']['mean_iou'] > 0.67
    assert found['box']['mean_iou'] > 0.72


def test_its_weights_are_small_and_finite():
    assert WEIGHTS.stat().st_size <= 4e6
    with np.load(WEIGHTS, allow_pickle=False) as weights:
        assert all(np.isfinite(weights[name]).all() for name in weights)
        assert {weights[name].dtype for name in weights} == {np.dtype(np.float16)}


def test_weights_come_back_from_their_file(model, tmp_path):
    tensors = tiny_sam.tensors_of(model.backbone)
    tiny_sam.save(tensors, tmp_path / 'again.npz')
    assert [path.name for path in tmp_path.iterdir()] == ['again.npz']
    with np.load(tmp_path / 'again.npz') as again, np.load(WEIGHTS) as weights:
        assert set(again) == set(weights) == set(tensors)
        for name in weights:
            np.testing.assert_array_equal(again[name], weights[name])


_THERE = """
path = str(data['path'])
sam = side.sam_of({name: value.numpy() for name, value in torch.load(path).items()})
predictor = side.predictor(sam, data['image'])
masks, iou, low = predictor.predict(data['points'], np.ones(1), multimask_output=True)
out['masks'], out['iou'], out['low'] = masks, iou, low
masks, iou, low = predictor.predict(box=data['box'], multimask_output=False)
out['box_masks'] = masks
"""


def test_metas_classes_load_it_and_give_its_masks(meta, model, scene, tmp_path):  # noqa: F811
    training.checkpoints.save(model, tmp_path / 'tiny.pth')
    jpeg, record = scene
    row = max(record['annotations'], key=lambda row: row['area'] * (row['area'] < 30_000))
    x, y, width, height = row['bbox']
    given = {
        'image': np.asarray(Image.open(io.BytesIO(jpeg))),
        'points': np.array(row['point_coords']),
        'box': np.array([x, y, x + width, y + height]),
    }
    found = meta.run(_THERE, path=np.array(str(tmp_path / 'tiny.pth')), **given)
    predictor = training.Predictor(model)
    predictor.set_image(given['image'])
    masks, iou, low = predictor.predict(given['points'], np.ones(1))
    assert np.abs(low - found['low']).max() < 1e-3 * found['low'].std()
    np.testing.assert_allclose(iou, found['iou'], atol=1e-4)
    assert (masks == found['masks']).mean() > 0.9999
    box_masks = predictor.predict(box=given['box'], multimask_output=False)[0]
    assert (box_masks == found['box_masks']).mean() > 0.9999


def test_absent_weights_are_named(monkeypatch):
    monkeypatch.setattr(tiny_sam, 'FILE', 'absent.npz')
    with pytest.raises(FileNotFoundError, match=r'tiny_sam: expected the weights absent\.npz'):
        training.tiny_sam()
