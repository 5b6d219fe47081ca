"""Every Python block of the README runs, exactly as it stands."""

import os
import re
import subprocess
import sys

import pytest
from building import REPO, build

from segment_anything_tfds.source import resources

_BLOCK = re.compile(r'(<!-- skip: [^>]*-->\n)?```python\n(.*?)```', re.DOTALL)
BLOCKS = [code for skipped, code in _BLOCK.findall((REPO / 'README.md').read_text()) if not skipped]


@pytest.fixture(scope='module')
def data_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp('data')
    build(resources.folder('dummy_data'), folder)
    return folder


def test_readme_has_blocks_for_masks_and_training():
    assert len(BLOCKS) == 2
    assert 'decode_resized' in BLOCKS[0]
    assert 'model.fit' in BLOCKS[1]


@pytest.mark.parametrize('index', range(len(BLOCKS)))
def test_block_runs(index, data_dir):
    if 'keras' in BLOCKS[index]:
        pytest.importorskip('keras_hub')
    environment = dict(os.environ, PYTHONPATH=str(REPO), TFDS_DATA_DIR=str(data_dir))
    done = subprocess.run(
        [sys.executable, '-c', BLOCKS[index]],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr


def test_links_in_the_readme_lead_somewhere():
    text = (REPO / 'README.md').read_text()
    for target in re.findall(r'\]\(([^)#]+)\)', text):
        if '://' not in target:
            assert (REPO / target).exists(), target
