"""The examples, run for real on the dummy data."""

import importlib
import io
import json
import os
import pathlib
import subprocess
import sys
import tarfile

import building
import numpy as np
import pytest
from PIL import Image

REPO = pathlib.Path(__file__).resolve().parent.parent
sys.path.append(str(REPO / 'examples'))


@pytest.fixture(scope='module')
def data_dir(prepared_dummy):
    return prepared_dummy.data_path.parent.parent


@pytest.fixture(scope='module')
def array_record_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp('array_record')
    building.build(REPO / 'dummy_data', folder, file_format='array_record')
    return folder


@pytest.fixture(scope='module')
def negatives_dir(tmp_path_factory):
    """The dummy data with every picture as its negative: a world that no model here knows."""
    archives, folder = tmp_path_factory.mktemp('archives'), tmp_path_factory.mktemp('negatives')
    for path in sorted((REPO / 'dummy_data').glob('*.tar')):
        with tarfile.open(path) as read, tarfile.open(archives / path.name, 'w') as written:
            for member in filter(tarfile.TarInfo.isfile, read):
                content = read.extractfile(member).read()
                if member.name.endswith('.jpg'):
                    picture, buffer = Image.open(io.BytesIO(content)), io.BytesIO()
                    Image.fromarray(255 - np.asarray(picture)).save(buffer, 'JPEG', quality=92)
                    content = buffer.getvalue()
                member.size = len(content)
                written.addfile(member, io.BytesIO(content))
    building.build(archives, folder)
    return folder


@pytest.mark.slow
def test_finetuning_learns_a_world_that_is_new(negatives_dir, tmp_path):
    """Judged by clicks on pictures that were held out."""
    pytest.importorskip('keras_hub')
    example = importlib.import_module('finetune_sam_keras')
    arguments = ['--data-dir', str(negatives_dir), '--out', str(tmp_path), '--held-out', '0.3']
    options = {'steps': 60, 'batch-size': 1, 'num-masks': 10, 'learning-rate': 3e-4}
    for name, value in options.items():
        arguments += [f'--{name}', str(value)]
    report = example.main(arguments)
    assert report['before']['1_clicks']['count'] > 60
    for prompt in ('1_clicks', 'box'):
        before, after = (report[when][prompt]['mean_iou'] for when in ('before', 'after'))
        assert after > before + 0.03
    assert json.loads((tmp_path / 'report.json').read_text()) == report
    sheet = np.asarray(Image.open(tmp_path / 'predictions.png'))
    assert sheet.shape[0] > 600 and sheet.std() > 20
    assert (tmp_path / 'sam.keras').stat().st_size > 1_000_000
    again = example.training.checkpoints.load(tmp_path / 'sam.pth')
    assert again.backbone.image_encoder.image_shape[0] == 1024


def test_finetuning_takes_a_preset(data_dir, tmp_path):
    """A preset of KerasHub's own, small and from a folder, goes the way of `sam_base_sa1b`."""
    keras_hub = pytest.importorskip('keras_hub')
    example = importlib.import_module('finetune_sam_keras')
    segmenter = example.training.small_sam(64, hidden_size=16, num_layers=1)
    converter = keras_hub.layers.SAMImageConverter(image_size=(64, 64))
    segmenter.preprocessor = keras_hub.models.SAMImageSegmenterPreprocessor(converter)
    segmenter.save_to_preset(tmp_path / 'sam')
    args = ['--data-dir', str(data_dir), '--preset', str(tmp_path / 'sam'), '--num-masks', '3']
    args = example.parse_arguments(args)
    model, recipe = example.make_model(args)
    assert args.learning_rate == 1e-4 and not model.backbone.image_encoder.trainable_variables
    model.compile(example.keras.optimizers.AdamW(args.learning_rate), run_eagerly=True)
    frozen = [value.numpy() for value in model.backbone.image_encoder.weights]
    train, _ = example.load(recipe, args)
    (batch,) = recipe.batches(train.skip(1), 2, seed=0).take(1)
    assert batch[0]['image'].shape == (2, 64, 64, 3) and batch[1].shape == (2, 3, 16, 16)
    assert np.isfinite(model.train_on_batch(batch[0], batch[1], sample_weight=batch[2]))
    for value, variable in zip(frozen, model.backbone.image_encoder.weights, strict=True):
        np.testing.assert_array_equal(value, variable)


def test_dataset_helpers_keep_and_mix_and_hold_out(data_dir):
    counts = importlib.import_module('dataset_helpers').main(str(data_dir))
    total = building.builder(data_dir).info.splits['train'].num_examples
    assert counts['images, only large objects'] == total
    assert counts['images to train'] + counts['images to validate'] == total
    assert counts['images to validate'] > 0 and counts['images, mixed'] >= total
    assert counts['images with pasted objects'] == total


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
