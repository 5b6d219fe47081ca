"""The parts of `examples/train_tiny_sam.py`, against plain NumPy and SciPy."""

import importlib
import io
import sys

import numpy as np
import pytest
from building import REPO
from PIL import Image
from pycocotools import mask as coco
from scipy import ndimage

from segment_anything_tfds.training.tiny import tiny_sam

pytest.importorskip('keras_hub')
sys.path.append(str(REPO / 'examples'))
painted_scenes = importlib.import_module('painted_scenes')
small_mask_loss = importlib.import_module('small_mask_loss')
script = importlib.import_module('train_tiny_sam')


@pytest.fixture(scope='module')
def scenes():
    return [painted_scenes.paint(painted_scenes.TRAINED + n) for n in range(3)]


def test_clicks_of_scenes_are_the_middles_of_their_masks(scenes):
    for row in scenes[0][1]['annotations']:
        mask = np.pad(coco.decode(row['segmentation']), 1)
        depth = ndimage.distance_transform_edt(mask)[1:-1, 1:-1]
        ((x, y),) = row['point_coords']
        assert depth[int(y), int(x)] == depth.max()


def test_first_weights_of_patches_give_components_that_are_not_correlated(scenes):
    kernel, bias = script.components(scenes, 40, np.random.default_rng(0))
    image = np.asarray(Image.open(io.BytesIO(scenes[0][0]))) / 255
    image = (image - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    cells = image[: len(image) // 32 * 32 : 2, : image.shape[1] // 32 * 32 : 2]
    rows, columns = cells.shape[0] // 16, cells.shape[1] // 16
    cells = cells.reshape(rows, 16, columns, 16, 3).transpose(0, 2, 4, 1, 3).reshape(-1, 768)
    axes = kernel.reshape(40, 768)
    cosines = axes @ axes.T / np.linalg.norm(axes, axis=1) / np.linalg.norm(axes, axis=1)[:, None]
    np.testing.assert_allclose(cosines, np.eye(40), atol=1e-6)
    spread = (cells @ axes.T + bias).std(0)
    assert spread[0] > 3 * spread[-1]  # the largest component comes first, yet
    assert spread[0] < 30 * spread[-1]  # halfway to equal ones: 1 against 1/400 without the root


def test_queries_and_keys_that_pick_equal_frequencies_are_nearest_at_equal_places():
    rng = np.random.default_rng(0)
    matrix = script.frequencies(32, rng)
    cycles = np.linalg.norm(2 * matrix, axis=0)
    np.testing.assert_allclose(cycles[[0, -1]], script.FREQUENCIES)
    grid = np.stack(np.meshgrid(*[(np.arange(16) + 0.5) / 8 - 1] * 2), -1).reshape(-1, 2)
    angles = 2 * np.pi * grid @ matrix
    encoded = np.concatenate([np.sin(angles), np.cos(angles)], 1)
    picked = script.positions(32, 64, rng)
    assert (picked.sum(1) == 1).all()
    scores = (encoded @ picked.T) @ (encoded @ picked.T).T
    assert (scores.argmax(1) == np.arange(256)).all()


def test_tensors_at_another_size_fit_the_model_and_keep_their_slopes():
    """A ramp over 32 patches is a ramp over 48; ends, where nothing lies beyond, are left out."""
    rng = np.random.default_rng(0)
    ramp = np.arange(32) + 0.5
    name = 'image_encoder.pos_embed'
    small = tiny_sam.tensors_of(tiny_sam.backbone(512))
    given = {key: rng.normal(size=value.shape) for key, value in small.items()}
    given[name] = np.tile((ramp[:, None] + 100 * ramp)[None, ..., None], (1, 1, 1, 160))
    relative = 'image_encoder.blocks.2.attn.rel_pos_w'
    given[relative] = np.tile(np.arange(-31.0, 32)[:, None], (1, 32))
    found = script.at_size(given, 768)
    assert {key: x.shape for key, x in found.items()} == {
        key: x.shape for key, x in tiny_sam.tensors_of(tiny_sam.backbone(768)).items()
    }
    middles = (np.arange(0, 48, 2) + 1).repeat(2) * 32 / 48  # of blocks of two patches
    expected = (middles[:, None] + 100 * middles)[None, ..., None]
    within = np.s_[:, 4:-4, 4:-4]
    np.testing.assert_allclose(found[name][within], np.tile(expected, 160)[within], rtol=1e-3)
    steps = (np.arange(95) - 47) * 63 / 95
    np.testing.assert_allclose(found[relative][2:-2, 0], steps[2:-2], atol=1e-5)
    same = given.keys() - {name} - {key for key in given if len(found[key]) == 95}
    assert len(same) == len(given) - 5 and all(found[key] is given[key] for key in same)
    assert script.at_size(given, 512) is given


def _expected_loss(truth, masks, iou_pred, allowed):
    """The loss of one mask [4h, 4h] for logits [M, h, h], in plain NumPy."""
    from keras import ops

    def dice(t, x):
        p = 1 / (1 + np.exp(-x))
        return 1 - (2 * (t * p).sum() + 0.5) / ((t**2).sum() + (p**2).sum() + 0.5)

    side = masks.shape[-1]
    shrunk = [truth.reshape(n, 4 * side // n, n, -1).mean((1, 3)) for n in (side, 2 * side)]
    costs = [dice(shrunk[0], x) if free else 9 for x, free in zip(masks, allowed, strict=True)]
    large = ops.image.resize(masks[np.argmin(costs)][..., None], (2 * side, 2 * side))
    large = ops.convert_to_numpy(large)[..., 0].astype(np.float64)
    entropy = (np.log1p(np.exp(large)) - large * shrunk[1]).sum() / (4 * shrunk[1].sum() + 64)
    errors = []
    for x, guess, free in zip(masks, iou_pred, allowed, strict=True):
        a, b = shrunk[0] > 0.5, x > 0
        errors += [abs(guess - (a & b).sum() / max(1, (a | b).sum()))] if free else []
    return dice(shrunk[1], large) + 0.05 * entropy + 0.3 * np.mean(errors)


def test_the_loss_is_that_of_a_plain_loop():
    rng = np.random.default_rng(1)
    truth = (ndimage.uniform_filter(rng.random((2, 3, 32, 32)), (0, 0, 9, 9)) > 0.5).astype('u1')
    masks = rng.normal(size=(2, 3, 4, 8, 8)).astype(np.float32)
    iou_pred = rng.random((2, 3, 4)).astype(np.float32)
    allowed = np.array([[[0, 1, 1, 1], [1, 0, 0, 0], [0, 1, 1, 1]]] * 2, np.float32)
    found = small_mask_loss.DiceOfLargerLogits().call(
        truth, {'masks': masks, 'iou_pred': iou_pred, 'candidates': allowed}
    )
    for index in np.ndindex(2, 3):
        expected = _expected_loss(truth[index], masks[index], iou_pred[index], allowed[index])
        np.testing.assert_allclose(found[index], expected, rtol=1e-5)


def test_padding_adds_nothing_to_the_loss():
    rng = np.random.default_rng(2)
    truth = np.zeros((1, 1, 32, 32), np.uint8)
    truth[..., 4:14, 8:20] = 1
    masks = rng.normal(size=(1, 1, 4, 8, 8)).astype(np.float32)
    given = {'iou_pred': np.zeros((1, 1, 4), np.float32), 'content': np.float32([[[0.5, 1]]])}
    loss = small_mask_loss.DiceOfLargerLogits()
    found = loss.call(truth, {'masks': masks, **given})
    masks[..., 5:, :] = 7  # below the image, and below the pixels that reach into it when enlarged
    np.testing.assert_allclose(loss.call(truth, {'masks': masks, **given}), found, rtol=1e-6)


@pytest.mark.slow
def test_the_script_runs_from_start_to_end(tmp_path):
    path = tmp_path / 'tiny.npz'
    few = ['--scenes', '4', '--held-out', '1', '--length', '0.0005', '--processes', '1']
    found = script.main(['--out', str(path), *few])
    assert {'1_clicks', '3_clicks', 'box'} == set(found)
    with np.load(path) as weights:
        assert all(np.isfinite(weights[name]).all() for name in weights)
