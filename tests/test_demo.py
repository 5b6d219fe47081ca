"""`sa1b demo`, with the arguments that a person gives."""

import importlib.util
import json

import numpy as np
from PIL import Image

from segment_anything_tfds.cli import demo, main


def test_demo(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main.main(['demo', '--out', 'demo.png', '--json']) == 0
    printed = capsys.readouterr()
    rows = json.loads(printed.out[printed.out.index('[') :])
    assert len(rows) == 15
    by_name = {row['image']: row for row in rows}
    assert by_name['sa_2118.jpg']['masks'] == 0
    assert sum(row['masks'] for row in rows) > 400
    picture = np.asarray(Image.open(tmp_path / 'demo.png'))
    assert picture.shape[2] == 3 and picture.std() > 20
    if importlib.util.find_spec('keras_hub'):
        sheet = np.asarray(Image.open(tmp_path / 'demo_model.png'))
        assert sheet.shape[1] > 3 * 480 and sheet.std() > 20
        assert 'What the small SAM makes of a click' in printed.err


def test_without_kerashub_the_demo_says_what_is_missing(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr('importlib.util.find_spec', lambda name: None)
    demo._try_model({}, tmp_path / 'model.png')
    assert "pip install '.[training]'" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
