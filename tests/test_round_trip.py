"""Into the formats of annotation tools, and back: nothing is lost on the way."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import samples
import tool_cases
from PIL import Image
from pycocotools import mask as coco_mask

from segment_anything_tfds.cli import main
from segment_anything_tfds.exchange import carried, records
from segment_anything_tfds.source.archive import inputs

FORMATS = {'cvat': 'cvat', 'labelstudio': 'labelstudio', 'labelme': 'labelme', 'coco': 'coco'}
FORMATS['fiftyone'] = 'coco'  # which is how FiftyOne reads and writes it


def _records(*paths):
    return {r.stem: r for unit in inputs.find(paths) for r in records.read(unit)}


def _export(source, out, name, *args):
    assert main.main(['export', *map(str, source), '--format', name, '--out', str(out), *args]) == 0
    return out


def _import(path, name, out, *args):
    arguments = ['import', str(path), '--format', name, '--out', str(out), *args]
    assert main.main(arguments) == 0
    return _records(out)


@pytest.fixture(scope='module')
def odd(tmp_path_factory):
    path = tmp_path_factory.mktemp('odd') / 'sa_000005.tar'
    tool_cases.write_odd(path)
    return path


@pytest.fixture(scope='module')
def exported(odd, tmp_path_factory):
    """The odd masks in each format."""
    folder = tmp_path_factory.mktemp('exported')
    return {name: _export([odd], folder / name, name) for name in FORMATS}


def _assert_same(found, expected):
    assert found.keys() == expected.keys()
    for stem, record in found.items():
        assert record.jpeg == expected[stem].jpeg
        assert record.json == expected[stem].json  # ids, counts, scores, prompts, in their order


@pytest.mark.parametrize('name', FORMATS)
def test_odd_masks_come_back_as_they_were(odd, exported, name, tmp_path, capsys):
    found = _import(exported[name], FORMATS[name], tmp_path / 'back', '--json')
    _assert_same(found, _records(odd))
    counts = json.loads(capsys.readouterr().out)
    assert (counts['images'], counts['masks'], counts['unchanged']) == (5, 65, 65)
    assert counts['changed'] == counts['new'] == 0


@pytest.mark.parametrize('name', ['cvat', 'labelstudio', 'labelme', 'coco'])
def test_pictures_and_real_masks_come_back(name, tmp_path, shared_data):
    tool_cases.write_real(tmp_path / 'sa_000006.tar', shared_data)
    source = [tmp_path / 'sa_000006.tar', tool_cases.DUMMY_DATA]
    out = _export(source, tmp_path / 'out', name)
    found = _import(out, FORMATS[name], tmp_path / 'back')
    _assert_same(found, _records(*source))
    assert sum(len(record.rows) for record in found.values()) == 428 + 1096


@pytest.fixture
def corrected(odd, exported, tmp_path):
    """What a person did in CVAT: one mask deleted, one changed, one added. And the result."""
    folder = shutil.copytree(exported['cvat'], tmp_path / 'cvat')
    path = folder / 'annotations.xml'
    before = _records(odd)['sa_50001'].rows
    text = path.read_text()
    start = text.index('name="sa_50001.jpg"')
    image = text[start : text.index('  </image>', start)]
    head, *blocks = image.replace('    <mask', '\0    <mask').split('\0')
    small = 'rle="0, 6" left="3" top="4" width="3" height="2"'
    whole = 'rle="0, 6144" left="0" top="0" width="96" height="64"'
    assert f'>{before[1]["id"]}<' in blocks[1] and whole in blocks[5]
    del blocks[1]
    blocks[4] = blocks[4].replace(whole, small)
    new = f'    <mask label="object" source="manual" occluded="0" {small} z_order="0">\n'
    blocks.append(f'{new}      <attribute name="sa_id"></attribute>\n    </mask>\n')
    path.write_text(text.replace(image, ''.join([head, *blocks])))
    return before, folder


def test_corrections(corrected, odd, tmp_path, capsys):
    before, folder = corrected
    rows = _import(folder, 'cvat', tmp_path / 'back')['sa_50001'].rows
    assert '64 unchanged' not in capsys.readouterr().err
    assert [row['id'] for row in rows[:-1]] == [row['id'] for row in before if row != before[1]]
    assert rows[0] == before[0] and rows[5:-1] == before[6:]
    changed, new = rows[4], rows[-1]
    for row in (changed, new):
        assert row['area'] == 6 and row['bbox'] == [3.0, 4.0, 2.0, 1.0]
        assert row['predicted_iou'] == row['stability_score'] == carried.NO_SCORE
        assert not carried.is_scored(row) and row['crop_box'] == [0.0, 0.0, 96.0, 64.0]
        mask = coco_mask.decode(row['segmentation'])
        ((x, y),) = row['point_coords']
        assert mask[int(y), int(x)] == 1
    assert new['id'] not in {row['id'] for row in before}
    assert new['id'] == carried.new_id(50001, 0)
    # The next round: what was new keeps its id, what is newer gets another.
    out = _export([tmp_path / 'back'], tmp_path / 'again', 'cvat')
    assert [r['id'] for r in _import(out, 'cvat', tmp_path / 'third')['sa_50001'].rows] == [
        row['id'] for row in rows
    ]


def test_evaluate_says_how_much_was_corrected(corrected, odd, tmp_path, capsys):
    _import(corrected[1], 'cvat', tmp_path / 'back')
    capsys.readouterr()
    args = ['evaluate', str(odd), '--against', str(tmp_path / 'back'), '--json']
    assert main.main([*args, '--filter', 'image_id==50001, area>=1']) == 0
    found = json.loads(capsys.readouterr().out)['masks']
    assert found['count'] == 12 and found['num_missing'] == 0
    # one is gone, and one has 6 pixels of its 6144
    assert found['share_above_0.90'] == pytest.approx(10 / 12)
    assert found['mean_iou'] == pytest.approx((10 + 6 / 6144) / 12)


def test_a_new_mask_never_takes_an_id_that_is_there(exported, tmp_path):
    folder = shutil.copytree(exported['labelme'], tmp_path / 'labelme')
    path = folder / 'sa_50001.json'
    content = json.loads(path.read_text())
    fields = json.loads(content['shapes'][0]['description'])
    fields['sa_id'] = carried.new_id(50001, 0)
    content['shapes'][0]['description'] = json.dumps(fields)
    content['shapes'][1]['description'] = 'my own words'
    content['shapes'][2]['description'] = ''
    path.write_text(json.dumps(content))
    rows = _import(folder, 'labelme', tmp_path / 'back')['sa_50001'].rows
    assert [row['id'] for row in rows[:3]] == [carried.new_id(50001, n) for n in range(3)]


@pytest.mark.parametrize('size', [(64, 96), (1, 40), (40, 1), (1, 1)])
def test_points_of_new_masks_lie_in_them(size):
    masks = tool_cases.odd_masks(*size)
    rows = carried.rows(range(13), tool_cases.encode(masks), size)
    for mask, row in zip(masks, rows, strict=True):
        ((x, y),) = row['point_coords']
        assert mask[int(y), int(x)] == 1 or not mask.any()
        x, y, w, h = coco_mask.toBbox(row['segmentation']).tolist()
        assert row['bbox'] == [x, y, max(w - 1, 0), max(h - 1, 0)] and row['area'] == mask.sum()
        assert row['segmentation']['counts'] == tool_cases.encode(mask[None])[0].decode()
    assert carried.rows([], [], size) == []


def test_the_point_of_a_changed_mask_stays_where_it_still_fits():
    size, (whole, left, right) = (8, 8), np.zeros((3, 8, 8), np.uint8)
    whole[:], left[:, :4], right[:, 4:] = 1, 1, 1
    (old,) = carried.rows([7], tool_cases.encode(whole[None]), size)
    old.update(predicted_iou=0.9, stability_score=0.97, point_coords=[[6.5, 2.25]])
    fields = carried.pack(old)
    points = {
        name: carried.rows([7], tool_cases.encode(mask[None]), size, [fields])[0]['point_coords']
        for name, mask in (('whole', whole), ('left', left), ('right', right))
    }
    assert points['whole'] == points['right'] == [[6.5, 2.25]]
    assert points['left'][0][0] < 4


def test_images_of_other_kinds_and_names(exported, tmp_path):
    """PNG, a turned JPEG, a name that is not SA-1B's; what they were called stands beside them."""
    folder = tmp_path / 'labelme'
    folder.mkdir()
    picture = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    Image.fromarray(picture).save(folder / 'cat 1.png')
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees: stored 30 x 20, shown 20 x 30
    Image.fromarray(picture).save(folder / 'turned.jpg', exif=exif)
    shape = {'label': 'cat', 'shape_type': 'polygon', 'points': [[1, 1], [9, 1], [9, 9]]}
    for name, (height, width) in {'cat 1.png': (20, 30), 'turned.jpg': (30, 20)}.items():
        content = {'imagePath': name, 'imageData': None, 'shapes': [shape]}
        content.update(imageHeight=height, imageWidth=width)
        (folder / f'{name}.json').write_text(json.dumps(content))
    found = _import(folder, 'labelme', tmp_path / 'back')
    assert {stem: (r.json['image']['height'], len(r.rows)) for stem, r in found.items()} == {
        'sa_1': (20, 1),
        'sa_2': (30, 1),
    }
    lines = (tmp_path / 'back' / 'images.csv').read_text().splitlines()
    assert lines[1].startswith('1,cat 1.png') and lines[2].startswith('2,turned.jpg')
    labels = (tmp_path / 'back' / 'labels.csv').read_text().splitlines()
    assert labels[0] == 'id,label,original_id,iscrowd' and labels[1].split(',')[1] == 'cat'
    assert int(labels[1].split(',')[0]) == found['sa_1'].rows[0]['id']
    expected = coco_mask.frPyObjects([[1.0, 1, 9, 1, 9, 9]], 20, 30)[0]['counts'].decode()
    assert found['sa_1'].rows[0]['segmentation']['counts'] == expected


def test_images_elsewhere(exported, tmp_path):
    """The XML alone, as CVAT gives it; the images where `--images` says."""
    path = shutil.copy(exported['cvat'] / 'annotations.xml', tmp_path / 'from_cvat.xml')
    assert main.main(['import', str(path), '--format', 'cvat', '--out', str(tmp_path / 'a')]) == 1
    images = exported['cvat'] / 'images'
    assert len(_import(path, 'cvat', tmp_path / 'a', '--images', str(images))) == 5


_MEMORY = r"""
import pathlib, re, sys
from segment_anything_tfds.exchange import formats, imports, records
from segment_anything_tfds.source.archive import inputs
one = list(records.read(inputs.find([sys.argv[1]])[0]))[0]
def many():
    for n in range(int(sys.argv[4])):
        image = {**one.json['image'], 'image_id': n, 'file_name': f'sa_{n}.jpg'}
        rows = [{**row, 'id': 1000 * n + k} for k, row in enumerate(one.rows)]
        yield records.Record(one.jpeg, one.example, {'image': image, 'annotations': rows})
if sys.argv[2] == 'export':
    formats.write(many(), sys.argv[3], sys.argv[5])
else:
    imports.write(imports.read(sys.argv[5], sys.argv[3]), sys.argv[5] + '_back')
# `ru_maxrss` would begin with what the parent process held when it started this one.
status = pathlib.Path('/proc/self/status').read_text()
print(int(re.search(r'VmHWM:\s*(\d+) kB', status)[1]) // 1024)
"""


@pytest.mark.slow
@pytest.mark.parametrize('name', ['cvat', 'labelstudio', 'labelme', 'coco', 'parquet', 'yolo'])
def test_memory_stays_flat(tmp_path, name):
    """1,000 images of 100 masks take 0.5 GB at most, there and back."""
    masks = tool_cases.blobs(100, 300, 450)
    files = tool_cases.pair(1, tool_cases.encode(masks), (300, 450))
    samples.write_archive(tmp_path / 'sa_000001.tar', files)
    ways = ['export', 'import'] if name in FORMATS else ['export']
    for way in ways:
        args = [str(tmp_path / 'sa_000001.tar'), way, name, '1000', str(tmp_path / name)]
        done = subprocess.run(
            [sys.executable, '-c', _MEMORY, *args], capture_output=True, text=True, check=True
        )
        assert int(done.stdout) <= 512, way
