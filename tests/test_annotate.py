"""The mask generator against Meta's own: same weights, scenes that no model has seen."""

import importlib.util
import json
import os
import pathlib
import subprocess
import sys

import generator_cases as cases
import keras
import numpy as np
import pytest
import small_models
from keras import ops
from meta_reference import meta  # noqa: F401  (a fixture)

from segment_anything_tfds import annotate, training
from segment_anything_tfds.annotate import model_calls

pytest.importorskip('keras_hub')

# The shipped model is small: its predicted IoU and its edges are those of a small model.
THRESHOLDS = {'pred_iou_thresh': 0.05, 'stability_score_thresh': 0.3}
FEW = [(2, 'few clean crops')]
SOME = [(0, 'default'), (1, 'layers 1 and 2'), (2, 'clean crops'), (3, 'strict NMS')]
LEAST = 20  # masks an image, on average, or a comparison says nothing


@pytest.fixture(scope='module')
def model():
    if not hasattr(training, 'tiny_sam'):
        pytest.skip('training.tiny_sam is not there yet')
    return training.tiny_sam()


@pytest.fixture(scope='module')
def little():
    """A model that is quick and not trained: its masks are noise."""
    return training.PromptableSegmenter(training.small_sam(64, hidden_size=16, num_layers=1))


@pytest.fixture(scope='module')
def weights(model, tmp_path_factory):
    """The model as a checkpoint for Meta's classes."""
    path = tmp_path_factory.mktemp('weights') / 'tiny.pth'
    training.checkpoints.save(model, path)
    return path


def _ours(model, chosen) -> dict:
    """Our records of cases (number of a scene, name of settings), by case."""
    found = {}
    for number, name in chosen:
        settings = annotate.settings.get('default', **cases.changes(name, THRESHOLDS))
        found[number, name] = annotate.MaskGenerator(model, settings).generate(cases.scene(number))
    return found


_OTHER_BACKEND = """
import json, sys
import test_annotate
from segment_anything_tfds import training
chosen = [tuple(case) for case in json.loads(sys.argv[1])]
print(json.dumps(list(test_annotate._ours(training.tiny_sam(), chosen).values())))
"""


def _ours_on(backend: str, chosen) -> dict:
    """Our records of cases by a process whose Keras has another backend."""
    path = f'{cases.REPO}:{cases.REPO / "tests"}'
    done = subprocess.run(
        [sys.executable, '-c', _OTHER_BACKEND, json.dumps(chosen)],
        env={**os.environ, 'KERAS_BACKEND': backend, 'PYTHONPATH': path},
        capture_output=True,
        text=True,
        timeout=3600,
    )
    assert not done.returncode, done.stderr[-3000:]
    return dict(zip(chosen, json.loads(done.stdout.splitlines()[-1]), strict=True))


def _compare(theirs: dict, ours: dict, who: str, least: float = LEAST) -> float:
    """Judges the records of cases as the two generators give them, all together.

    Gives the pairs' share of pairs and records alone; the latter count on both sides.
    """
    pairs, alone, doubtful = 0, 0, []
    for (number, name), records in theirs.items():
        own = ours[number, name]
        found = cases.match(records, own)
        for their, our in found.pairs:
            _check_pair(their, our)
        pairs, alone = pairs + len(found.pairs), alone + len(found.alone)
        settings = cases.changes(name, THRESHOLDS)
        doubtful += [
            (number, name, record)
            for record in found.alone
            if not cases.is_near_a_threshold(record, records + own, settings)
        ]
    print(f'{who}: {pairs} pairs, {alone} alone, {len(theirs)} cases', flush=True)
    assert not doubtful
    both = (sum(len(records[case]) for case in theirs) for records in (theirs, ours))
    assert pairs >= 0.995 * max(both)
    assert pairs >= least * len(theirs)
    return pairs / (pairs + alone)


def _check_pair(their: dict, our: dict) -> None:
    assert abs(their['predicted_iou'] - our['predicted_iou']) <= 1e-4
    assert abs(their['stability_score'] - our['stability_score']) <= 2e-3
    assert np.abs(np.subtract(their['bbox'], our['bbox'])).max() <= 1
    assert our['segmentation']['size'] == their['segmentation']['size']
    assert their.keys() == our.keys() - {'id'}


def test_a_selection_of_cases(meta, model, weights):  # noqa: F811
    theirs = cases.run_meta(meta, weights, FEW, THRESHOLDS)
    assert _compare(theirs, _ours(model, FEW), 'here') >= 0.995


@pytest.mark.slow
@pytest.mark.parametrize('backend', ['jax', 'torch'])
def test_other_backends(meta, weights, backend):  # noqa: F811
    pytest.importorskip(backend)
    theirs = cases.run_meta(meta, weights, SOME, THRESHOLDS)
    ours = _ours_on(backend, SOME)
    for case in SOME:
        _compare({case: theirs[case]}, ours, backend, LEAST / 2)


@pytest.mark.slow
@pytest.mark.parametrize('name', cases.SETTINGS)
def test_all_scenes(meta, model, weights, name):  # noqa: F811
    """All scenes, on all backends, beside one run of Meta's generator, which takes the longest."""
    chosen = [(number, name) for number in range(len(cases.SIZES))]
    theirs = cases.run_meta(meta, weights, chosen, THRESHOLDS)
    assert _compare(theirs, _ours(model, chosen), 'here') >= 0.995
    for backend in ('tensorflow', 'jax', 'torch'):
        if backend != keras.backend.backend() and importlib.util.find_spec(backend):
            _compare(theirs, _ours_on(backend, chosen), backend)


# --- settings that Meta's generator does not have ------------------------------------------------


EVERY = {'pred_iou_thresh': 0.0, 'stability_score_thresh': 0.0, 'box_nms_thresh': 1.0}


def _generate(model, image, **changes):
    settings = annotate.settings.get('default', **{'points_per_side': 8, **EVERY, **changes})
    return annotate.MaskGenerator(model, settings).generate(image)


def test_masks_of_nearly_everything_and_specks_are_dropped(little):
    image = cases.scene(4)
    areas = sorted(record['area'] for record in _generate(little, image))
    middle = areas[len(areas) // 2]
    share = middle / (image.shape[0] * image.shape[1])
    chosen = _generate(little, image, max_mask_coverage=share)
    assert sorted(record['area'] for record in chosen) == [a for a in areas if a < middle]
    regions = {'min_mask_region_area': middle}
    kept = _generate(little, image, **regions)
    dropped = _generate(little, image, **regions, drop_small_masks=True)
    assert 0 < len(dropped) < len(kept)
    assert min(record['area'] for record in dropped) >= middle


def test_refined_masks(little):
    """A second pass from the model's own logits changes masks, and keeps their fields."""
    image = cases.scene(4)
    once, twice = (_generate(little, image, use_m2m=refine) for refine in (False, True))
    assert twice and once != twice
    assert twice[0].keys() == once[0].keys()


def test_fewer_points_at_once_for_a_large_model(little, monkeypatch):
    image, chosen = cases.scene(4), annotate.settings.get('default', points_per_side=8, **EVERY)
    generators = [annotate.MaskGenerator(little, chosen)]
    side, channels = 16, little.backbone.image_encoder.output_shape[-1]  # of the logits
    monkeypatch.setattr(model_calls, '_FEATURE_BYTES', 11 * 4 * side * side * (channels // 8))
    generators.append(annotate.MaskGenerator(little, chosen))
    assert [generator._calls._points for generator in generators] == [64, 11]
    many, few = (generator.generate(image) for generator in generators)
    assert len(many) == len(few) > 20
    found = cases.match(many, few)
    assert not found.alone
    for one, other in found.pairs:
        assert one['predicted_iou'] == pytest.approx(other['predicted_iou'], abs=1e-5)


def test_half_precision_is_of_the_image_encoder_alone(little):
    quick = annotate.with_precision(little, 'mixed_bfloat16')
    assert annotate.with_precision(little, 'float32') is little
    pictures = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3)).astype(np.uint8)
    exact, rounded = (model.encode(pictures) for model in (little, quick))
    assert keras.backend.standardize_dtype(rounded.dtype) == 'bfloat16'
    exact, rounded = (ops.convert_to_numpy(ops.cast(x, 'float32')) for x in (exact, rounded))
    assert 0 < np.abs(exact - rounded).mean() < 0.02 * np.abs(exact).mean()
    found = _generate(quick, cases.scene(4), points_per_side=2)
    assert len(found) >= 4 and found[0]['area'] > 0


def test_wrong_precision(little):
    with pytest.raises(ValueError, match=r"`precision` to be one of .*got 'half'"):
        annotate.with_precision(little, 'half')


def test_one_mask_a_point(little):
    points = [
        tuple(record['point_coords'][0])
        for record in _generate(little, cases.scene(4), multimask_output=False)
    ]
    assert len(points) == len(set(points)) and len(points) >= 40


def test_point_grids_of_one_s_own(little):
    grids = [np.array([[0.5, 0.5], [0.25, 0.75]])]
    records = _generate(little, cases.scene(4), point_grids=grids, points_per_side=None)
    assert {tuple(record['point_coords'][0]) for record in records} == {(128, 128), (64, 192)}


def test_output_modes(little):
    image = cases.scene(4)
    modes = {
        mode: _generate(little, image, output_mode=mode) for mode in annotate.settings.OUTPUT_MODES
    }
    assert len(modes['coco_rle']) >= 5
    for rle, runs, mask in zip(*modes.values(), strict=True):
        drawn = cases.coco.decode(rle['segmentation'])
        assert mask['segmentation'].dtype == bool
        np.testing.assert_array_equal(mask['segmentation'], drawn)
        expected = cases.coco.frPyObjects(runs['segmentation'], *drawn.shape)
        assert expected['counts'] == rle['segmentation']['counts'].encode()
        assert rle['area'] == drawn.sum()


# --- what images and models may be ---------------------------------------------------------------


@pytest.mark.parametrize('size', [(1, 1), (1, 8000), (8000, 1), (2, 3), (17, 300)])
def test_odd_images(little, size):
    image = np.random.default_rng(0).integers(0, 256, (*size, 3)).astype(np.uint8)
    for record in _generate(little, image, crop_n_layers=2, points_per_side=4):
        assert record['segmentation']['size'] == list(size)
        assert cases.coco.area(record['segmentation']) == record['area']


@pytest.mark.slow
def test_a_hundred_megapixels(model):
    """One mask drawn as logits would take 0.4 GB, the 64 x 3 of a batch 80 GB."""
    image = np.kron(cases.scene(4), np.ones((40, 40, 1), np.uint8))
    assert image.shape == (10_240, 10_240, 3)
    _generate(model, cases.scene(4), **THRESHOLDS)  # compiles
    pathlib.Path('/proc/self/clear_refs').write_text('5')  # forgets the peak so far
    before = _status('VmRSS')
    records = _generate(model, image, min_mask_region_area=100, **THRESHOLDS)
    assert _status('VmHWM') - before < 3 * image.nbytes
    assert len(records) >= 5
    assert all(record['segmentation']['size'] == [10_240, 10_240] for record in records)


def _status(key: str) -> int:
    """A line of the process's status on Linux, in bytes."""
    lines = pathlib.Path('/proc/self/status').read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith(key)).split()[1])


def test_no_masks_in_any_crop(little):
    """Meta's generator ends in an IndexError there."""
    nothing = {'crop_n_layers': 1, 'pred_iou_thresh': 100.0, 'min_mask_region_area': 100}
    assert _generate(little, cases.scene(4), **nothing) == []


@pytest.mark.parametrize(
    'part, value', [('iou_prediction_head', 'nan'), ('output_upscaling', 'inf')]
)
def test_a_model_that_gives_no_numbers(part, value):
    broken = training.PromptableSegmenter(small_models.as_new(64))
    variable = getattr(broken.mask_decoder, part).weights[-1]
    variable.assign(np.full(variable.shape, float(value)))
    with pytest.raises(ValueError, match=r'expected the model to give finite .*; got -?(nan|inf)'):
        _generate(broken, cases.scene(4), points_per_side=2)


@pytest.mark.parametrize(
    'image, shown',
    [
        (np.zeros((4, 4, 3), np.float32), r'float32 \[4, 4, 3\]'),
        (np.zeros((4, 4), np.uint8), r'uint8 \[4, 4\]'),
        (np.zeros((4, 4, 4), np.uint8), r'uint8 \[4, 4, 4\]'),
        (np.zeros((0, 4, 3), np.uint8), r'uint8 \[0, 4, 3\]'),
    ],
)
def test_what_is_no_image(little, image, shown):
    with pytest.raises(ValueError, match=f'`image` to be uint8 .H, W, 3.*got {shown}'):
        _generate(little, image)


def test_what_is_no_model_and_no_settings(little):
    with pytest.raises(ValueError, match=r'`model` to be a training\.PromptableSegmenter; got str'):
        annotate.MaskGenerator('tiny')
    with pytest.raises(ValueError, match=r'`settings` to be a Settings or a name; got dict'):
        annotate.MaskGenerator(little, {'points_per_side': 4})
    assert annotate.MaskGenerator(little, 'sa1b').settings == annotate.settings.get('sa1b')
