"""The examples in the docstrings of training, transforms and prompts run."""

import doctest
import importlib

import pytest

MODULES = (
    'ops.prompts',
    'ops.transforms',
    'training.corrections',
    'training.data.datasets',
    'training.data.recipes',
    'training.losses',
    'training.metrics',
    'training.sam.promptable',
)


@pytest.mark.parametrize('name', MODULES)
def test_examples_run(name):
    module = importlib.import_module(f'segment_anything_tfds.{name}')
    scope = dict(vars(module))
    for other in ('ops.prompts', 'ops.transforms', 'training'):
        short = other.rpartition('.')[2]
        scope.setdefault(short, importlib.import_module(f'segment_anything_tfds.{other}'))
    if name == 'training.sam.promptable':
        pytest.importorskip('keras_hub')
    found = doctest.testmod(module, extraglobs=scope)
    assert found.attempted > 0 and found.failed == 0
