"""Every Python block of the README runs, exactly as it stands."""

import os
import re
import subprocess
import sys

import pytest
from building import REPO

_BLOCK = re.compile(r'(<!-- skip: [^>]*-->\n)?```python\n(.*?)```', re.DOTALL)
BLOCKS = [code for skipped, code in _BLOCK.findall((REPO / 'README.md').read_text()) if not skipped]


def test_readme_comes_to_fit_in_ten_lines():
    assert len(BLOCKS) == 1
    assert 'model.fit' in BLOCKS[0]
    assert len(BLOCKS[0].split('\n\n')[-1].splitlines()) <= 10


def test_readme_is_short_and_has_the_two_commands():
    text = (REPO / 'README.md').read_text()
    assert len(text.splitlines()) <= 95 and len(text.split()) <= 700  # half of what it was
    assert '.venv/bin/pip install . && .venv/bin/sa1b demo' in text
    assert ".venv/bin/pip install --editable '.[test]' && .venv/bin/python -m pytest -n 2" in text


@pytest.mark.parametrize('index', range(len(BLOCKS)))
def test_block_runs(index, tmp_path):
    if 'keras' in BLOCKS[index]:
        pytest.importorskip('keras_hub')
    environment = dict(os.environ, PYTHONPATH=str(REPO), TFDS_DATA_DIR=str(tmp_path))
    done = subprocess.run(
        [sys.executable, '-c', BLOCKS[index]],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert 'Warning' not in done.stderr, done.stderr


def test_links_in_the_readme_lead_somewhere():
    text = (REPO / 'README.md').read_text()
    for target in re.findall(r'\]\(([^)#]+)\)', text):
        if '://' not in target:
            assert (REPO / target).exists(), target
