"""The examples, run for real on the dummy data."""

import importlib
import json
import os
import pathlib
import subprocess
import sys

import building
import numpy as np
import pytest
from PIL import Image

REPO = pathlib.Path(__file__).resolve().parent.parent
sys.path.append(str(REPO / 'examples'))


@pytest.fixture(scope='module')
def data_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp('data')
    building.build(REPO / 'dummy_data', folder)
    return folder


@pytest.fixture(scope='module')
def array_record_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp('array_record')
    building.build(REPO / 'dummy_data', folder, file_format='array_record')
    return folder


def test_finetuning_halves_the_loss(data_dir, tmp_path):
    pytest.importorskip('keras_hub')
    example = importlib.import_module('finetune_sam_keras')
    arguments = ['--data-dir', str(data_dir), '--out', str(tmp_path), '--image-size', '64']
    report = example.main([*arguments, '--steps', '40', '--num-masks', '6'])
    assert report['after']['loss'] <= report['before']['loss'] / 2
    assert json.loads((tmp_path / 'report.json').read_text()) == report
    sheet = np.asarray(Image.open(tmp_path / 'predictions.png'))
    assert sheet.shape[0] > 1000 and sheet.std() > 20
    assert (tmp_path / 'sam.keras').stat().st_size > 100_000


def _run(script: str, folder: pathlib.Path) -> str:
    environment = dict(os.environ, PYTHONPATH=str(REPO))
    done = subprocess.run(
        [sys.executable, str(REPO / 'examples' / script), str(folder)],
        capture_output=True,
        text=True,
        timeout=300,
        env=environment,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_torch_reads_without_tensorflow(array_record_dir):
    pytest.importorskip('torch')
    out = _run('torch_dataloader.py', array_record_dir)
    assert '15 images; no worker imported TensorFlow' in out


def test_torch_masks_are_those_of_the_dataset(array_record_dir):
    pytest.importorskip('torch')
    example = importlib.import_module('torch_dataloader')
    data = example.SegmentAnything(str(array_record_dir))
    item = data[0]
    source = data.source[0]
    size = int(source['image']['height']), int(source['image']['width'])
    full = example.coco_rle.decode(source['annotations']['segmentation']['counts'], size)
    scale = example.SIDE / max(size)
    points = np.round((item['points'].numpy() + 0.5) / scale - 0.5).astype(int)
    for point, mask, valid in zip(points, item['masks'].numpy(), item['valid'], strict=True):
        if valid and mask.sum() > 20:
            assert full[:, point[1], point[0]].any()
    again = data[0]
    assert all((item[name] == again[name]).all() for name in item)


def test_grain_reads_for_jax(array_record_dir):
    pytest.importorskip('grain')
    assert '15 images' in _run('jax_grain.py', array_record_dir)


def test_grain_batches_are_the_same_for_the_same_seed(array_record_dir):
    pytest.importorskip('grain')
    example = importlib.import_module('jax_grain')
    first, second, other = (
        next(iter(example.make_dataset(str(array_record_dir), seed=seed))) for seed in (1, 1, 2)
    )
    assert all((first[name] == second[name]).all() for name in first)
    assert (first['image_id'] != other['image_id']).any()
