"""`sa1b demo`, as a person runs it."""

import importlib.util
import json
import os
import subprocess
import sys

import numpy as np
from building import REPO
from PIL import Image

from segment_anything_tfds.cli import demo


def test_demo(tmp_path):
    done = subprocess.run(
        [sys.executable, '-m', 'segment_anything_tfds', 'demo', '--out', 'demo.png', '--json'],
        cwd=tmp_path,
        env=dict(os.environ, PYTHONPATH=str(REPO)),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout[done.stdout.index('[') :])
    assert len(rows) == 15
    by_name = {row['image']: row for row in rows}
    assert by_name['sa_2118.jpg']['masks'] == 0
    assert sum(row['masks'] for row in rows) > 400
    picture = np.asarray(Image.open(tmp_path / 'demo.png'))
    assert picture.shape[2] == 3 and picture.std() > 20
    if importlib.util.find_spec('keras_hub'):
        sheet = np.asarray(Image.open(tmp_path / 'demo_model.png'))
        assert sheet.shape[1] > 3 * 480 and sheet.std() > 20
        assert 'What the small SAM makes of a click' in done.stderr


def test_without_kerashub_the_demo_says_what_is_missing(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr('importlib.util.find_spec', lambda name: None)
    demo._try_model({}, tmp_path / 'model.png')
    assert "pip install '.[training]'" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
