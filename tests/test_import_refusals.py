"""Files of annotation tools that are wrong or hostile: refused by file and element."""

import base64
import copy
import io
import json
import pathlib
import shutil

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
import samples
import tool_cases
from PIL import Image

from segment_anything_tfds.cli import main
from segment_anything_tfds.exchange import formats, imports, records
from segment_anything_tfds.source import faults
from segment_anything_tfds.source.archive import inputs
from segment_anything_tfds.source.reasons import REASONS

SIZE = (20, 30)


@pytest.fixture(scope='module')
def exports(tmp_path_factory):
    """Two images of three masks each, in each format."""
    folder = tmp_path_factory.mktemp('exports')
    masks = np.zeros([3, *SIZE], np.uint8)
    masks[0, 2:9, 3:12], masks[1, 5:20, 10:30], masks[2, 4, 4] = 1, 1, 1
    files = {}
    for image_id in (1, 2):
        files |= tool_cases.pair(image_id, tool_cases.encode(masks), SIZE)
    samples.write_archive(folder / 'sa_000000.tar', files)
    found = list(records.read(inputs.find([folder])[0]))
    found.sort(key=lambda record: record.stem)
    for name in ('cvat', 'labelstudio', 'labelme', 'coco'):
        formats.write(found, name, folder / name)
    return folder


def _refuse(path, name, tmp_path, capsys):
    """Imports in vain, and once more with what is wrong left out; gives the faults."""
    out = tmp_path / 'out'
    assert main.main(['import', str(path), '--format', name, '--out', str(out)]) == 1
    error = capsys.readouterr().err
    assert 'Traceback' not in error
    assert not out.exists() and not out.with_name('out.incomplete').exists()
    found = []
    try:
        imported = list(imports.read(path, name, on_fault=found.append))
    except faults.DataError as broken:
        found += broken.faults
        imported = []
    assert found and found[0].reason in REASONS
    assert found[0].member or found[0].reason == 'import_invalid'  # of a whole file
    assert str(found[0]) in error
    return found, imported


def _change(exports, tmp_path, name, file, change):
    """A copy of an export, with the content of one file changed."""
    folder = shutil.copytree(exports / name, tmp_path / name)
    path = folder / file
    if file.endswith('.json'):
        content = json.loads(path.read_bytes())
        path.write_text(json.dumps(change(content) or content))
    else:
        path.write_text(change(path.read_text()))
    return folder


def _replace(old, new, count=1):
    def change(text):
        assert old in text
        return text.replace(old, new, count)

    return change


_BOMB = '<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]><annotations>'
_EXTERNAL = '<!DOCTYPE a [<!ENTITY a SYSTEM "file:///etc/passwd">]><annotations>'
_MASK = 'left="3" top="2" width="9" height="7"'
CVAT = {
    'bomb': (_replace('<annotations>', _BOMB), 'document type or entities'),
    'external': (_replace('<annotations>', _EXTERNAL), 'document type or entities'),
    'not xml': (lambda text: text[: len(text) // 2], 'expected XML'),
    'other root': (lambda text: '<html></html>', '<annotations>'),
    'video': (_replace('<image ', '<track id="0"></track><image '), 'CVAT for video'),
    'no runs': (_replace('rle="0, 63"', 'rle=""'), 'rle'),
    'short runs': (_replace('rle="0, 63"', 'rle="0, 62"'), 'sum to 63'),
    'negative run': (_replace('rle="0, 63"', 'rle="-1, 64"'), 'rle'),
    'huge run': (_replace('rle="0, 63"', f'rle="0, {10**30}"'), 'rle'),
    'outside': (_replace(_MASK, _MASK.replace('left="3"', 'left="25"')), 'inside the image'),
    'no number': (_replace('left="3"', 'left="x"'), 'left'),
    'no size': (_replace(' height="20">', '>'), 'height'),
    'other size': (_replace(' height="20">', ' height="21">'), 'expected an image of'),
    'size of 0': (_replace(' height="20">', ' height="0">'), 'from 1 on'),
    'score': (_replace('name="predicted_iou">0', 'name="predicted_iou">x0'), 'JSON'),
    'id': (_replace('name="sa_id">9001000', 'name="sa_id">-9001000'), 'sa_id'),
    'id twice': (_replace('name="sa_id">9001001', 'name="sa_id">9001000'), 'once'),
    'image twice': (_replace('name="sa_2.jpg"', 'name="sa_1.jpg"'), 'once'),
    'leads out': (_replace('name="sa_1.jpg"', 'name="../../etc/sa_1.jpg"'), 'below its folder'),
    'absolute': (_replace('name="sa_1.jpg"', 'name="/etc/sa_1.jpg"'), 'below its folder'),
    'a box': (_replace('<mask ', '<box xtl="1" ytl="1" xbr="2" ybr="2"/><mask '), 'got a box'),
    'absent': (_replace('name="sa_1.jpg"', 'name="sa_9.jpg"'), 'no such file'),
}


@pytest.mark.parametrize('case', CVAT)
def test_cvat(case, exports, tmp_path, capsys):
    change, text = CVAT[case]
    folder = _change(exports, tmp_path, 'cvat', 'annotations.xml', change)
    found, imported = _refuse(folder, 'cvat', tmp_path, capsys)
    assert text in str(found[0]) and found[0].archive == 'annotations.xml'
    kept = sum(len(one.record.rows) for one in imported)
    assert kept in (0, 2, 3, 5, 6)


def _at(*keys):
    """A change of JSON: the last of `keys` becomes the value; `...` takes the key away."""
    *path, last, value = keys

    def change(content):
        for key in path:
            content = content[key]
        if value is ...:
            del content[last]
        else:
            content[last] = copy.deepcopy(value)

    return change


_RESULT = (0, 'predictions', 0, 'result')
LABELSTUDIO = {
    'no task': (lambda content: {'tasks': 1}, 'expected JSON: a list'),
    'a number': (lambda content: [1, *content], 'in the list'),
    'no data': (_at(0, 'data', ...), '`data`'),
    'image': (_at(0, 'data', {'image': 5}), '`image`'),
    'minimal export': (lambda content: [{'image': 'sa_1.jpg', 'mask': []}], 'export it as JSON'),
    'result': (_at(*_RESULT, {}), '`result`'),
    'region': (_at(*_RESULT, 0, None), '`result`'),
    'rle is text': (_at(*_RESULT, 0, 'value', 'rle', 'abc'), '`rle`'),
    'rle is a number': (_at(*_RESULT, 0, 'value', 'rle', 10**12), '`rle`'),
    'rle of large numbers': (_at(*_RESULT, 0, 'value', 'rle', [300]), '`rle`'),
    'rle is empty': (_at(*_RESULT, 0, 'value', 'rle', []), 'brush'),
    'rle is cut': (_at(*_RESULT, 0, 'value', 'rle', [0, 0, 9, 96, 57, 27, 252]), 'brush'),
    'rle too long': (_at(*_RESULT, 0, 'value', 'rle', [255] * 20), 'brush'),
    'size': (_at(*_RESULT, 0, 'original_width', 31), 'brush'),
    'size is text': (_at(*_RESULT, 0, 'original_width', '30'), 'original_width'),
    'rotated': (_at(*_RESULT, 0, 'image_rotation', 90), 'not rotated'),
    'ellipse': (_at(*_RESULT, 0, 'value', {'x': 1, 'radiusX': 3}), 'a brush'),
    'meta': (_at(*_RESULT, 0, 'meta', 'sa_id', '7'), '`sa_id`'),
    'id twice': (_at(*_RESULT, 0, 'meta', 'sa_id', 9001001), 'once'),
    'polygon': (_at(*_RESULT, 0, 'value', {'points': [[1, 2], [3]]}), 'points'),
    'polygon far out': (_at(*_RESULT, 0, 'value', {'points': [[0, 0], [1e7, 0], [9, 9]]}), 'about'),
    'bitmask': (_at(*_RESULT, 0, 'value', {'imageDataURL': 'data:image/png;base64,AAAA'}), 'PNG'),
    'leads out': (_at(0, 'data', 'sa_file_name', '../../sa_1.jpg'), 'below its folder'),
}


@pytest.mark.parametrize('case', LABELSTUDIO)
def test_labelstudio(case, exports, tmp_path, capsys):
    change, text = LABELSTUDIO[case]
    folder = _change(exports, tmp_path, 'labelstudio', 'tasks.json', change)
    found, _ = _refuse(folder, 'labelstudio', tmp_path, capsys)
    assert text in str(found[0]) and found[0].archive == 'tasks.json'


def _png(width, height):
    buffer = io.BytesIO()
    Image.new('1', (width, height)).save(buffer, 'PNG')
    return base64.b64encode(buffer.getvalue()).decode()


LABELME = {
    'a list': (lambda content: [content], 'an object'),
    'no size': (_at('imageHeight', ...), 'imageHeight'),
    'huge size': (_at('imageHeight', 2**40), '2^31'),
    'shapes': (_at('shapes', 5), '`shapes`'),
    'shape': (_at('shapes', 0, []), '`shapes`'),
    'points': (_at('shapes', 0, 'points', [1, 2]), 'points'),
    'three points': (_at('shapes', 0, 'points', [[3, 2], [11, 8], [1, 1]]), '2 points'),
    'outside': (_at('shapes', 0, 'points', [[3, 2], [30, 8]]), 'inside the image'),
    'swapped': (_at('shapes', 0, 'points', [[11, 8], [3, 2]]), 'inside the image'),
    'not finite': (_at('shapes', 0, 'points', [[float('nan'), 2], [11, 8]]), 'finite'),
    'mask is text': (_at('shapes', 0, 'mask', 'AAAA'), 'PNG'),
    'mask is null': (_at('shapes', 0, 'mask', None), '`mask`'),
    'mask of another size': (_at('shapes', 0, 'mask', _png(9, 8)), '9 x 7'),
    'mask is a bomb': (_at('shapes', 0, 'mask', _png(30000, 30000)), 'Bomb'),
    'circle': (_at('shapes', 0, 'shape_type', 'circle'), 'circle'),
    'label': (_at('shapes', 0, 'label', 7), 'label'),
    'image': (_at('imagePath', 7), 'imagePath'),
    'image data': (_at('imageData', '????'), 'imageData'),
    'image data is no image': (_at('imageData', 'AAAA'), 'expected an image'),
    'leads out': (_at('imagePath', '..\\sa_1.jpg'), 'below its folder'),
    'carried': (_at('shapes', 0, 'description', '{"sa_id": 1, "crop_box": [1]}'), 'crop_box'),
    'crop outside': (
        _at('shapes', 0, 'description', '{"sa_id": 1, "crop_box": [0, 0, 99, 5]}'),
        'crop_box_outside',
    ),
}


@pytest.mark.parametrize('case', LABELME)
def test_labelme(case, exports, tmp_path, capsys):
    change, text = LABELME[case]
    folder = _change(exports, tmp_path, 'labelme', 'sa_1.json', change)
    found, imported = _refuse(folder, 'labelme', tmp_path, capsys)
    assert text in str(found[0]) and found[0].archive == 'sa_1.json'
    assert imported[-1].record.stem == 'sa_2' and len(imported[-1].record.rows) == 3


_FIRST = ('annotations', 0)
COCO = {
    'no images': (_at('images', ...), 'expected `images`'),
    'image without id': (_at('images', 0, 'id', ...), '`id`'),
    'id is text': (_at(*_FIRST, 'id', 'a'), '`id`'),
    'id is negative': (_at(*_FIRST, 'id', -1), '2^63'),
    'id is huge': (_at(*_FIRST, 'id', 2**63), '2^63'),
    'id twice': (_at(*_FIRST, 'id', 2), 'once'),
    'image id twice': (_at('images', 0, 'id', 2), 'once'),
    'unknown image': (_at(*_FIRST, 'image_id', 9), '`image_id`'),
    'height': (_at('images', 0, 'height', 19), 'expected `size`'),
    'height is a float': (_at('images', 0, 'height', 20.0), '`height`'),
    'no segmentation': (_at(*_FIRST, 'segmentation', ...), '`segmentation`'),
    'box for polygon': (_at(*_FIRST, 'segmentation', [[1, 2, 3, 4]]), '3 points'),
    'flat polygon': (_at(*_FIRST, 'segmentation', [1, 2, 3, 4, 5, 6]), 'polygon'),
    'text in polygon': (_at(*_FIRST, 'segmentation', [['a'] * 6]), 'polygon'),
    'far polygon': (_at(*_FIRST, 'segmentation', [[0, 0, 1e9, 0, 5, 5]]), 'about the image'),
    'rle character': (_at(*_FIRST, 'segmentation', 'counts', 'é!'), 'characters'),
    'rle sum': (_at(*_FIRST, 'segmentation', 'counts', '0'), 'sum to 600'),
    'runs sum': (_at(*_FIRST, 'segmentation', 'counts', [1, 2]), 'sum to 600'),
    'runs negative': (_at(*_FIRST, 'segmentation', 'counts', [-1, 601]), 'expected runs'),
    'runs empty': (_at(*_FIRST, 'segmentation', 'counts', []), 'expected runs'),
    'runs huge': (_at(*_FIRST, 'segmentation', 'counts', [2**40]), 'expected runs'),
    'rle size': (_at(*_FIRST, 'segmentation', 'size', [30, 20]), 'expected `size`'),
    'category name': (_at('categories', 0, 'name', 3), 'a label'),
    'sa_id twice': (_at(*_FIRST, 'sa_id', 9001001), 'once'),
    'leads out': (_at('images', 0, 'file_name', 'a/../../b.jpg'), 'below its folder'),
}


@pytest.mark.parametrize('case', COCO)
def test_coco(case, exports, tmp_path, capsys):
    change, text = COCO[case]
    folder = _change(exports, tmp_path, 'coco', 'instances.json', change)
    found, _ = _refuse(folder, 'coco', tmp_path, capsys)
    assert text in str(found[0]) and found[0].archive == 'instances.json'


def test_a_link_out_of_the_images_is_refused(exports, tmp_path, capsys):
    folder = shutil.copytree(exports / 'cvat', tmp_path / 'cvat')
    shutil.move(folder / 'images' / 'sa_1.jpg', tmp_path / 'secret.jpg')
    (folder / 'images' / 'sa_1.jpg').symlink_to(tmp_path / 'secret.jpg')
    found, imported = _refuse(folder, 'cvat', tmp_path, capsys)
    assert found[0].reason == 'import_path_outside' and len(imported) == 1


def test_what_is_wrong_is_left_out_and_counted(exports, tmp_path, capsys):
    change = _replace('rle="0, 63"', 'rle="0, 62"')
    folder = _change(exports, tmp_path, 'cvat', 'annotations.xml', change)
    args = ['import', str(folder), '--format', 'cvat', '--out', str(tmp_path / 'out')]
    assert main.main([*args, '--on_error', 'skip']) == 0
    assert '1 import_size_mismatch' in capsys.readouterr().err
    assert sum(len(r.rows) for r in records.read(inputs.find([tmp_path / 'out'])[0])) == 5


def test_wrong_use(exports, tmp_path, capsys):
    def run(path, name, *args):
        out = str(tmp_path / 'out')
        return main.main(['import', str(path), '--format', name, '--out', out, *args])

    assert run(tmp_path / 'absent', 'cvat') == 2
    assert run(exports / 'labelme', 'cvat') == 1
    assert 'expected files of CVAT' in capsys.readouterr().err
    assert run(exports / 'labelme', 'coco') == 1
    assert 'Name one of them' in capsys.readouterr().err
    (tmp_path / 'out').mkdir()
    (tmp_path / 'out' / 'mine').touch()
    assert run(exports / 'cvat', 'cvat') == 2
    assert (tmp_path / 'out' / 'mine').exists()


_VALUES = st.sampled_from(
    [None, True, -1, 0, 2**70, 1.5, float('nan'), '', 'x', '../x', [], [[]], {}, {'a': 1}, [1, 2]]
)
_FILES = {'labelstudio': 'tasks.json', 'labelme': 'sa_1.json', 'coco': 'instances.json'}


@pytest.mark.parametrize('name', _FILES)
@hypothesis.given(data=st.data())
@hypothesis.settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)
def test_any_value_anywhere_is_read_or_refused(name, exports, tmp_path, data):
    """One value of the JSON becomes another: records, faults, but never another error."""
    folder = tmp_path / name
    if not folder.exists():
        shutil.copytree(exports / name, folder)
    content = json.loads((exports / name / _FILES[name]).read_bytes())
    place = content
    for _ in range(data.draw(st.integers(1, 9))):
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        if not keys:
            break
        key = data.draw(st.sampled_from(keys))
        if isinstance(place[key], (dict, list)) and data.draw(st.booleans()):
            place = place[key]
        else:
            place[key] = data.draw(_VALUES)
            break
    path = pathlib.Path(folder) / _FILES[name]
    path.write_text(json.dumps(content))
    try:
        for one in imports.read(path, name, on_fault=lambda fault: str(fault)):
            assert all(0 <= row['area'] <= 600 for row in one.record.rows)
    except faults.DataError:
        pass
