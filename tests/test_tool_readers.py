"""Exports, read by the annotation tools' own code: every pixel of every mask is there.

`.ci/tools` installs the tools; where they are absent, these tests skip.
"""

import hashlib
import io
import json
import os
import pathlib
import subprocess

import numpy as np
import pytest
import tool_cases
from PIL import Image
from pycocotools import mask as coco_mask

import segment_anything_tfds as sa1b

HERE = pathlib.Path(__file__).resolve().parent
VARIABLE = 'SEGMENT_ANYTHING_TOOLS'
TOOLS = ('coco', 'cvat', 'fiftyone', 'labelme', 'labelstudio')


@pytest.fixture(scope='module')
def python():
    """The interpreter of the environment with the tools."""
    folder = pathlib.Path(os.environ.get(VARIABLE) or HERE.parent / 'build' / 'tools')
    path = folder / 'readers' / 'bin' / 'python'
    if not path.exists():
        pytest.skip('the annotation tools are not installed: see .ci/tools')
    return str(path)


@pytest.fixture(scope='module')
def odd(tmp_path_factory):
    path = tmp_path_factory.mktemp('odd') / 'sa_000005.tar'
    tool_cases.write_odd(path)
    return path


@pytest.fixture(scope='module')
def large(tmp_path_factory, shared_data):
    """The dummy data, and an archive of real masks."""
    path = tmp_path_factory.mktemp('real') / 'sa_000006.tar'
    tool_cases.write_real(path, shared_data)
    return [tool_cases.DUMMY_DATA, path]


def _pixels(source):
    """Of each mask by image and id, its shape and a digest of its pixels, by pycocotools."""
    return {
        (record.stem, row['id']): _digest(coco_mask.decode(row['segmentation']))
        for record in sa1b.records(source)
        for row in record.rows
    }


def _digest(mask):
    return list(mask.shape), hashlib.sha256(np.ascontiguousarray(mask).tobytes()).hexdigest()


def _read(python, tool, folder):
    """The same, as the tool's own code sees an export."""
    done = subprocess.run(
        [python, str(HERE / 'tool_readers.py'), tool, str(folder)],
        capture_output=True,
        text=True,
        env={**os.environ, 'QT_QPA_PLATFORM': 'offscreen', 'FIFTYONE_DO_NOT_TRACK': '1'},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    found = {(row['image'], row['id']): (row['shape'], row['pixels']) for row in rows}
    assert len(found) == len(rows)
    return found


@pytest.mark.parametrize('tool', TOOLS)
def test_odd_masks_have_the_same_pixels(tool, python, odd, tmp_path):
    """Holes, many parts, single pixels, full and empty masks; images of one row, column, pixel."""
    sa1b.export(odd, format=tool, out=tmp_path / 'out', progress=None)
    expected = _pixels(odd)
    assert len(expected) == 65
    assert _read(python, tool, tmp_path / 'out') == expected


@pytest.mark.slow
@pytest.mark.parametrize('tool', TOOLS)
def test_pictures_and_real_masks_have_the_same_pixels(tool, python, large, tmp_path):
    sa1b.export(large, format=tool, out=tmp_path / 'out', progress=None)
    expected = _pixels(large)
    assert len(expected) == 428 + 1096
    assert _read(python, tool, tmp_path / 'out') == expected


def test_parquet_in_hugging_face_datasets(odd, tmp_path, monkeypatch):
    """`load_dataset` gives the picture, all values with their types, and masks byte for byte."""
    monkeypatch.setenv('HF_HUB_OFFLINE', '1')
    monkeypatch.setenv('HF_HOME', str(tmp_path / 'home'))
    datasets = pytest.importorskip('datasets')
    sa1b.export(odd, format='parquet', out=tmp_path / 'out', per_file=3, progress=None)
    loaded = datasets.load_dataset(str(tmp_path / 'out'), split='train')
    expected = {record.json['image']['image_id']: record for record in sa1b.records(odd)}
    assert len(loaded) == len(expected) == 5
    assert loaded.features['annotations'].feature['counts'].dtype == 'string'
    for row in loaded:
        record = expected[row['image_id']]
        image = record.json['image']
        assert (row['height'], row['width']) == (image['height'], image['width'])
        pixels = np.asarray(Image.open(io.BytesIO(record.jpeg)))
        np.testing.assert_array_equal(np.asarray(row['image']), pixels)
        for found, other in zip(row['annotations'], record.rows, strict=True):
            segmentation = {'size': found.pop('size'), 'counts': found.pop('counts')}
            assert {**found, 'segmentation': segmentation} == {**other, 'label': 'object'}


def test_yolo_keeps_masks_of_one_part_without_holes(tmp_path):
    """Filled by OpenCV, as YOLO's loaders do; others lose their holes and gain thin bridges."""
    cv2 = pytest.importorskip('cv2')
    sa1b.export(tool_cases.DUMMY_DATA, format='yolo', out=tmp_path / 'out', progress=None)
    simple = 0
    for record in sa1b.records(tool_cases.DUMMY_DATA):
        path = tmp_path / 'out' / 'labels' / 'train' / f'{record.stem}.txt'
        masks = [np.ascontiguousarray(coco_mask.decode(r['segmentation'])) for r in record.rows]
        for line, mask in zip(path.read_text().splitlines(), masks, strict=True):
            points = np.array(line.split()[1:], float).reshape(-1, 2) * mask.shape[::-1]
            drawn = cv2.fillPoly(np.zeros_like(mask), [np.floor(points).astype(np.int32)], 1)
            parts, _ = cv2.connectedComponents(mask, connectivity=8)
            background, _ = cv2.connectedComponents(
                np.pad(1 - mask, 1, constant_values=1), connectivity=4
            )
            if parts == background == 2:
                np.testing.assert_array_equal(drawn, mask)
                simple += 1
            assert (drawn >= mask).all()
    assert simple > 150
