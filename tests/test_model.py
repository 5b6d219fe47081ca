"""The trainable SAM against KerasHub's own, through fit, save and load."""

import importlib.util
import json
import os
import pathlib
import subprocess
import sys

import building
import keras
import numpy as np
import pytest

from segment_anything_tfds import training
from segment_anything_tfds.training.sam import rounds

pytest.importorskip('keras_hub')

REPO = pathlib.Path(__file__).resolve().parent.parent
SIDE, GRID, B, K = 64, 16, 2, 3
RNG = np.random.default_rng(5)


@pytest.fixture(scope='module')
def segmenter():
    keras.utils.set_random_seed(1)
    return training.small_sam(SIDE, hidden_size=16, num_layers=1)


def _inputs(points=2):
    corner = RNG.uniform(0, 40, (B, K, 2))
    return {
        'image': RNG.integers(0, 256, (B, SIDE, SIDE, 3)).astype(np.uint8),
        'point_coords': RNG.uniform(0, SIDE, (B, K, points, 2)).astype(np.float32),
        'point_labels': RNG.integers(0, 2, (B, K, points)).astype(np.int32),
        'boxes_xyxy': np.concatenate([corner, corner + 15], -1).astype(np.float32),
        'has_box': np.ones((B, K), np.float32),
        'mask_input': RNG.normal(size=(B, K, GRID, GRID)).astype(np.float32),
        'has_mask_input': np.ones((B, K), np.float32),
    }


def _without(inputs, *names):
    return {name: value for name, value in inputs.items() if name not in names}


def _kerashub(segmenter, inputs, b, k):
    """What KerasHub's own layers give for one object, one prompt kind at a time."""
    image = inputs['image'][b : b + 1] / np.float32(255)  # its encoder normalises
    backbone = segmenter.backbone
    prompts = {
        'points': inputs['point_coords'][b, k][None],
        'labels': inputs['point_labels'][b, k][None],
    }
    if 'boxes_xyxy' not in inputs:
        prompts['points'] = np.pad(prompts['points'], [(0, 0), (0, 1), (0, 0)])
        prompts['labels'] = np.pad(prompts['labels'], [(0, 0), (0, 1)], constant_values=-1)
    else:
        # two boxes, for a product of [1, 1, 2, 2] writes out of bounds in TensorFlow 2.21
        twice = np.repeat(inputs['boxes_xyxy'][b, k].reshape(1, 1, 2, 2), 2, axis=1)
        prompts['boxes'] = twice
    if 'mask_input' in inputs:
        prompts['masks'] = inputs['mask_input'][b, k][None, None, ..., None]
    embedded = backbone.prompt_encoder(**prompts)
    if 'boxes' in prompts:
        sparse = embedded['prompt_sparse_embeddings']
        embedded['prompt_sparse_embeddings'] = sparse[:, :-2]
    outputs = backbone.mask_decoder(image_embeddings=backbone.image_encoder(image), **embedded)
    return outputs['masks'][0], outputs['iou_pred'][0]


@pytest.mark.parametrize(
    'left_out',
    [
        (),
        ('mask_input', 'has_mask_input'),
        ('boxes_xyxy', 'has_box'),
        ('boxes_xyxy', 'has_box', 'mask_input', 'has_mask_input'),
    ],
)
def test_equals_kerashub_object_by_object(segmenter, left_out):
    inputs = _without(_inputs(), *left_out)
    outputs = training.PromptableSegmenter(segmenter)(inputs)
    for b in range(B):
        for k in range(K):
            masks, iou_pred = _kerashub(segmenter, inputs, b, k)
            np.testing.assert_allclose(outputs['masks'][b, k], masks, atol=2e-4)
            np.testing.assert_allclose(outputs['iou_pred'][b, k], iou_pred, atol=2e-4)


def test_numbers_that_normalise_twice_are_told_of(segmenter, tmp_path):
    mean, std = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
    with pytest.warns(UserWarning, match=r'normalised twice.*PromptableSegmenter\(model.backbone'):
        old = training.PromptableSegmenter(segmenter, pixel_mean=mean, pixel_std=std)
    old.save(tmp_path / 'old.keras')
    with pytest.warns(UserWarning, match='goes on as it was trained'):
        again = keras.saving.load_model(tmp_path / 'old.keras')
    inputs = _inputs()
    encoded = segmenter.backbone.image_encoder((inputs['image'] - np.float32(mean)) / std)
    np.testing.assert_allclose(again.encode(inputs['image']), encoded, atol=1e-5)


def test_a_prompt_that_is_absent_changes_nothing(segmenter):
    model = training.PromptableSegmenter(segmenter)
    inputs = _inputs()
    inputs['has_mask_input'] *= 0
    inputs['has_box'] *= 0
    other = {
        **inputs,
        'mask_input': inputs['mask_input'] + 3,
        'boxes_xyxy': inputs['boxes_xyxy'] + 9,
    }
    np.testing.assert_array_equal(model(inputs)['masks'], model(other)['masks'])
    other['has_box'] = inputs['has_box'] + 1
    assert (np.asarray(model(other)['masks']) != np.asarray(model(inputs)['masks'])).any()


def test_candidates_follow_the_number_of_prompts(segmenter):
    model = training.PromptableSegmenter(segmenter)
    inputs = _without(_inputs(2), 'mask_input', 'has_mask_input')
    inputs['point_labels'][:] = [[1, -1], [-1, -1], [1, 1]]
    inputs['has_box'][:] = [0, 1, 0]
    candidates = np.asarray(model(inputs)['candidates'])[0]
    assert candidates.tolist() == [[0, 1, 1, 1], [1, 0, 0, 0], [1, 0, 0, 0]]


def _batch():
    truth = np.zeros((B, K, GRID, GRID), np.uint8)
    truth[:, 0, 2:9, 3:8] = 1
    truth[:, 1, 8:, :6] = 1
    truth[:, 2, 4:12, 10:] = 1
    return _inputs(1), truth, np.ones((B, K), np.float32)


@pytest.mark.slow
def test_fits_saves_and_goes_on_with_a_frozen_encoder(tmp_path):
    keras.utils.set_random_seed(2)
    segmenter = training.small_sam(SIDE, hidden_size=16, num_layers=1)
    segmenter.backbone.image_encoder.trainable = False
    model = training.PromptableSegmenter(segmenter, corrections=1)
    model.compile(
        keras.optimizers.AdamW(3e-3),
        loss=training.SegmentAnythingLoss(),
        metrics=[training.MeanMaskIoU(), training.BoundaryIoU()],
        jit_compile=False,
    )
    frozen = [v.numpy() for v in segmenter.backbone.image_encoder.weights]
    inputs, truth, valid = _batch()
    history = model.fit(inputs, truth, sample_weight=valid, epochs=15, verbose=0).history
    assert history['loss'][-1] < 0.85 * history['loss'][0]
    assert {'loss', 'mean_iou', 'boundary_iou'} <= set(history)
    for value, variable in zip(frozen, segmenter.backbone.image_encoder.weights, strict=True):
        np.testing.assert_array_equal(value, variable)
    model.save(tmp_path / 'sam.keras')
    again = keras.saving.load_model(tmp_path / 'sam.keras')
    assert again.get_config()['corrections'] == 1 and len(again.mask_metrics) == 2
    assert not again.backbone.image_encoder.trainable_variables
    assert len(again.trainable_variables) == len(model.trainable_variables)
    assert len(again.optimizer.variables) == len(model.optimizer.variables)
    outputs = again(inputs)
    for name, value in model(inputs).items():
        np.testing.assert_allclose(value, outputs[name], atol=1e-5)
    again.run_eagerly = True  # one step is not worth a graph
    step = again.train_on_batch(inputs, truth, sample_weight=valid, return_dict=True)
    assert step['loss'] == pytest.approx(history['loss'][-1], rel=0.5)


def test_a_round_of_correction_adds_a_click_and_the_logits(segmenter):
    model = training.PromptableSegmenter(segmenter)
    inputs = _without(_inputs(1), 'mask_input', 'has_mask_input')
    truth = RNG.integers(0, 2, (B, K, GRID, GRID)).astype(np.float32)
    outputs = model(inputs)
    logits = np.asarray(training.metrics.choose_mask(outputs)[0])
    corrected = model.corrected(inputs, truth, outputs)
    assert corrected['point_coords'].shape == (B, K, 2, 2)
    np.testing.assert_array_equal(corrected['mask_input'], logits)
    at = (np.asarray(corrected['point_coords'])[..., 1, :] + 0.5) / (SIDE / GRID)
    np.testing.assert_array_equal(at % 1, 0.5)  # the middle of a cell: of 4 pixels, pixel 1.5
    x, y = np.moveaxis(np.floor(at).astype(int), -1, 0)
    labels = np.asarray(corrected['point_labels'])[..., 1]
    for b, k in np.ndindex(B, K):
        assert truth[b, k, y[b, k], x[b, k]] == labels[b, k]
        assert (logits[b, k, y[b, k], x[b, k]] > 0) != labels[b, k]


def _rounds(model, inputs, truth, valid):
    """The prompts of each round of one training step."""
    seen = []
    decode = model.decode

    def watch(embeddings, prompts):
        seen.append(prompts)
        return decode(embeddings, prompts)

    model.decode = watch
    model.compute_loss(inputs, truth, model(inputs, training=True), valid)
    return seen[1:]


@pytest.mark.parametrize(
    ('corrections', 'refine', 'clicks'), [(2, False, 2), (3, True, 3), (0, True, 0)]
)
def test_rounds_without_a_click_are_one_within_and_one_at_the_end(
    segmenter, corrections, refine, clicks
):
    model = training.PromptableSegmenter(segmenter, corrections=corrections, refine=refine)
    model.compile(loss=training.SegmentAnythingLoss())
    inputs, truth, valid = _batch()
    inputs = _without(inputs, 'mask_input', 'has_mask_input')
    seen = _rounds(model, inputs, truth, valid)
    assert len(seen) == corrections + 2 * refine
    labels = np.asarray(seen[-1]['point_labels'])[..., 1:]
    added = (labels >= 0).all((0, 1))
    assert (added == (labels >= 0).any((0, 1))).all() and added.sum() == clicks
    assert all(np.asarray(prompts['has_mask_input']).all() for prompts in seen)
    plans = [
        list(map(bool, rounds.plan(corrections, refine, seed=model.seed_generator)))
        for _ in range(40)
    ]
    assert all(len(plan) == len(seen) and sum(plan) == clicks for plan in plans)
    if refine:
        assert not added[-1] and not any(plan[-1] for plan in plans)
        places = {plan.index(False) for plan in plans}
        assert places == set(range(max(1, corrections)))


_ON_ANOTHER_BACKEND = """
import json, sys
import keras, numpy as np
from segment_anything_tfds import training
assert keras.backend.backend() == sys.argv[1]
data = dict(np.load(sys.argv[2] + '/batch.npz'))
truth, valid = data.pop('truth'), data.pop('valid')
model = keras.saving.load_model(sys.argv[2] + '/sam.keras')
model.compile(keras.optimizers.SGD(0.05), metrics=[training.MeanMaskIoU()], jit_compile=False)
losses = [float(model.train_on_batch(data, truth, sample_weight=valid)[0]) for _ in range(2)]
print(json.dumps(losses))
"""


@pytest.mark.slow
def test_trains_alike_on_all_backends(segmenter, tmp_path):
    training.PromptableSegmenter(segmenter).save(tmp_path / 'sam.keras')
    inputs, truth, valid = _batch()
    np.savez(tmp_path / 'batch.npz', **inputs, truth=truth, valid=valid)
    found = {}
    for backend in ('tensorflow', 'jax', 'torch'):
        if importlib.util.find_spec(backend) is None:
            continue
        done = subprocess.run(
            [sys.executable, '-c', _ON_ANOTHER_BACKEND, backend, str(tmp_path)],
            env=dict(os.environ, KERAS_BACKEND=backend, PYTHONPATH=str(REPO)),
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        found[backend] = json.loads(done.stdout.splitlines()[-1])
    for losses in found.values():
        np.testing.assert_allclose(losses, found['tensorflow'], rtol=1e-3)


_COUNT = """
from segment_anything_tfds import training
model = training.PromptableSegmenter(training.small_sam(64, hidden_size=16, num_layers=1))
print(len(model.trainable_variables))
"""


@pytest.mark.slow
def test_pytorch_trains_the_decoder_too(segmenter):
    pytest.importorskip('torch')
    done = subprocess.run(
        [sys.executable, '-c', _COUNT],
        env=dict(os.environ, KERAS_BACKEND='torch', PYTHONPATH=str(REPO)),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    model = training.PromptableSegmenter(segmenter)
    assert int(done.stdout.splitlines()[-1]) == len(model.trainable_variables) > 100


_MIRRORED = """
import keras, numpy as np, sys, tensorflow as tf
from segment_anything_tfds import training
(cpu,) = tf.config.list_physical_devices('CPU')
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
data = dict(np.load(sys.argv[1] + '/batch.npz'))
truth, valid = data.pop('truth'), data.pop('valid')
losses = []
for strategy in (tf.distribute.get_strategy(), tf.distribute.MirroredStrategy(['CPU:0', 'CPU:1'])):
    with strategy.scope():
        training.PromptableSegmenter
        model = keras.saving.load_model(sys.argv[1] + '/sam.keras')
        model.compile(
            keras.optimizers.SGD(0.05), metrics=[training.MeanMaskIoU()], jit_compile=False
        )
    batches = tf.data.Dataset.from_tensor_slices((data, truth, valid)).repeat().batch(2)
    history = model.fit(batches, epochs=2, steps_per_epoch=1, verbose=0).history
    losses.append(history['loss'])
    assert strategy.num_replicas_in_sync == len(losses) and 'mean_iou' in history
np.testing.assert_allclose(*losses, rtol=1e-4)
"""


@pytest.mark.slow
def test_trains_alike_on_two_devices(segmenter, tmp_path):
    training.PromptableSegmenter(segmenter).save(tmp_path / 'sam.keras')
    inputs, truth, valid = _batch()
    np.savez(tmp_path / 'batch.npz', **inputs, truth=truth, valid=valid)
    building.run_python(_MIRRORED, tmp_path)


def test_a_mixed_policy_is_for_the_image_encoder_alone(segmenter):
    config = segmenter.backbone.image_encoder.get_config()
    del config['dtype']
    keras.config.set_dtype_policy('mixed_bfloat16')
    try:
        encoder = type(segmenter.backbone.image_encoder).from_config(config)
        with pytest.raises(ValueError, match=r'prompt encoder of float32; got bfloat16. Make'):
            training.PromptableSegmenter(training.small_sam(SIDE, hidden_size=16, num_layers=1))
    finally:
        keras.config.set_dtype_policy('float32')
    backbone = type(segmenter.backbone)(
        image_encoder=encoder,
        prompt_encoder=segmenter.backbone.prompt_encoder,
        mask_decoder=segmenter.backbone.mask_decoder,
    )
    model = training.PromptableSegmenter(backbone, corrections=1)
    model.compile(run_eagerly=True)
    inputs, truth, valid = _batch()
    assert model.encode(inputs['image']).dtype == 'bfloat16'
    assert np.isfinite(model.train_on_batch(inputs, truth, sample_weight=valid))


def test_small_sam_checks_its_size():
    with pytest.raises(ValueError, match=r'small_sam: expected `image_size` .*got 100'):
        training.small_sam(100)
    with pytest.raises(ValueError, match=r'small_sam: expected `image_size` .*got 64\.0'):
        training.small_sam(64.0)
    with pytest.raises(ValueError, match=r'small_sam: expected `hidden_size` .*got 24'):
        training.small_sam(64, hidden_size=24)
    small = training.small_sam(np.int64(32), hidden_size=16, num_layers=1)
    assert small.backbone.image_encoder.output_shape == (None, 2, 2, 16)
