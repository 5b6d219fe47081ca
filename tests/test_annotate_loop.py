"""The loop of the data engine, run in small: machine masks are checked, used and judged."""

import importlib
import json
import pathlib
import sys

import pytest

pytest.importorskip('keras_hub')
pytestmark = pytest.mark.slow

REPO = pathlib.Path(__file__).resolve().parent.parent
MARGIN = 0.1  # of the mean IoU with the truth, of masks that are kept over those that are dropped


@pytest.fixture(scope='module')
def report(tmp_path_factory):
    out = tmp_path_factory.mktemp('engine')
    sys.path.append(str(REPO / 'examples'))
    options = {'scenes': 6, 'held-out': 3, 'judged': 2, 'points_per_side': 8, 'steps': 40}
    given = [f'--{name}={value}' for name, value in options.items()]
    found = importlib.import_module('data_engine').main(['--out', str(out), *given])
    assert json.loads((out / 'report.json').read_text()) == found
    assert '<html' in (out / 'stats.html').read_text()
    return found


def test_machine_archives_are_verified(report):
    assert report['verified'] == 'good'


def test_filters_keep_the_better_masks(report):
    masks = report['masks']
    assert masks['iou_of_kept'] >= masks['iou_of_dropped'] + MARGIN


def test_crops_find_more_of_what_is_small(report):
    masks = report['masks']
    assert masks['recall_of_small_with_crops'] >= masks['recall_of_small']


def test_both_models_learn_from_masks(report):
    """How near the one comes to the other takes more steps than a test has; see the example."""
    start, machine, truth = (report['models'][name] for name in ('start', 'machine', 'truth'))
    assert start.keys() == machine.keys() == truth.keys() == {'1_clicks', '3_clicks', 'box'}
    assert min(machine['box'], truth['box']) > start['box']
    assert report['machine_of_truth']['box'] == pytest.approx(machine['box'] / truth['box'])
