"""The model against Meta's own classes: same weights, same images, same prompts, same outputs."""

import importlib.util
import os
import pathlib
import subprocess
import sys

import numpy as np
import parity_cases as cases
import pytest
from meta_reference import meta  # noqa: F401  (a fixture)

pytest.importorskip('keras_hub')

TESTS = pathlib.Path(__file__).resolve().parent


@pytest.fixture(scope='module')
def reference(meta):  # noqa: F811
    given = cases.given()
    return {**given, **meta.run(cases.PREDICT, **given)}


@pytest.fixture(scope='module')
def models(reference):
    return {size: cases.make_model(reference, size) for size in cases.SIZES}


@pytest.mark.parametrize('shape', cases.SHAPES)
@pytest.mark.parametrize('size', cases.SIZES)
def test_outputs_are_those_of_sam_predictor(reference, models, size, shape):
    cases.check_model(reference, models[size], size, shape)


@pytest.mark.parametrize('size', cases.SIZES)
def test_full_size_masks_are_those_of_sam_predictor(reference, models, size):
    cases.check_predictor(reference, models[size], size)


_ON_ANOTHER_BACKEND = """
import sys
sys.path.insert(0, sys.argv[3])
import keras, numpy as np
import parity_cases
assert keras.backend.backend() == sys.argv[1]
with np.load(sys.argv[2]) as file:
    parity_cases.check_everything(dict(file))
"""


@pytest.mark.slow
@pytest.mark.parametrize('backend', ['jax', 'torch'])
def test_other_backends_give_the_same(reference, models, backend, tmp_path):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f'{backend} is not installed')
    judged = cases.evaluated(reference, models[list(cases.SIZES)[-1]])
    np.savez(tmp_path / 'reference.npz', **reference, evaluated=judged)
    done = subprocess.run(
        [sys.executable, '-c', _ON_ANOTHER_BACKEND, backend, tmp_path / 'reference.npz', TESTS],
        env=dict(os.environ, KERAS_BACKEND=backend, PYTHONPATH=str(TESTS.parent)),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]


def test_padding_of_any_colour_means_nothing(reference, models):
    image, content_size = cases.canvas(reference['small/wide/resized'], 64)
    other, _ = cases.canvas(reference['small/wide/resized'], 64)
    model = models['small']
    assert (image != other).any()
    np.testing.assert_array_equal(
        model.encode(image, content_size), model.encode(other, content_size)
    )
    assert np.abs(np.asarray(model.encode(image)) - model.encode(other)).max() > 0.1
