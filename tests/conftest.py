"""Fixtures shared by all tests."""

import logging
import os
import pathlib
import signal
import sys

import hypothesis
import numpy as np
import pytest

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')
os.environ.setdefault('CUDA_VISIBLE_DEVICES', '')
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # as in a shell's background; it is inherited
    signal.signal(signal.SIGINT, signal.default_int_handler)

hypothesis.settings.register_profile('untimed', deadline=None)  # nothing is timed in a test
hypothesis.settings.load_profile('untimed')

REPO = pathlib.Path(__file__).resolve().parent.parent


@pytest.fixture(scope='session')
def shared_data() -> pathlib.Path:
    """Folder with real annotations, which are not ours to ship: tests skip where it is absent."""
    folder = REPO.parent / 'shared' / 'data'
    if not folder.is_dir():
        pytest.skip('real annotations are not at hand')
    return folder


@pytest.fixture(scope='session')
def prepared_dummy(tmp_path_factory):
    """The builder of the data in `dummy_data/`, prepared once a process; for reading alone."""
    import building  # which imports TensorFlow Datasets

    return building.build(REPO / 'dummy_data', tmp_path_factory.mktemp('dummy'))


@pytest.fixture(autouse=True, scope='module')
def own_np_load():
    """Puts `np.load` back, which TFDS's own test cases replace for good."""
    load = np.load
    yield
    np.load = load


@pytest.fixture(autouse=True)
def own_log_level():
    """Puts the level of the root logger back, which commands raise for as long as they live."""
    level = logging.getLogger().level
    yield
    logging.getLogger().setLevel(level)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup():
    """Gives models that are not trained the same weights whatever ran before, and in every run."""
    if 'keras' in sys.modules:
        sys.modules['keras'].utils.set_random_seed(7)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Gives each worker tests that are neighbours and share fixtures; idle ones take from others.

    The default deals out ever smaller pieces of modules, whose fixtures each worker then makes.
    """
    from xdist import scheduler

    steals = config.getvalue('dist') == 'load'
    return scheduler.WorkStealingScheduling(config, log) if steals else None
