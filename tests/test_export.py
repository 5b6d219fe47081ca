"""Exports, each read back by somebody else's reader; masks must be equal bit for bit."""

import base64
import io
import json
import tarfile

import numpy as np
import pytest
import samples
from PIL import Image
from pycocotools import coco as coco_lib
from pycocotools import mask as mask_utils

from segment_anything_tfds.cli import main
from segment_anything_tfds.exchange import formats, options, records
from segment_anything_tfds.source.archive import inputs, verification
from segment_anything_tfds.source.checksums import Checksums


@pytest.fixture(scope='module')
def source(tmp_path_factory):
    """Two archives of three images; one image has no annotations."""
    folder = tmp_path_factory.mktemp('source')
    for number in range(2):
        files = samples.members(10 * number + 1, 3)
        if number == 0:
            files['./sa_2.json'] = json.dumps(samples.record(2, masks=0)).encode()
        samples.write_archive(folder / f'sa_{number:06d}.tar', files)
    return folder


@pytest.fixture(scope='module')
def expected(source):
    return {r.stem: r for unit in inputs.find([source]) for r in records.read(unit)}


def _export(source, out, name, *args):
    arguments = ['export', str(source), '--format', name, '--out', str(out), *args]
    assert main.main(arguments) == 0
    return out


def _masks(rows):
    return [mask_utils.decode(row['segmentation']) for row in rows]


def _assert_same(found, expected):
    """Records by stem, as (JPEG, JSON), against what was exported."""
    assert found.keys() == expected.keys()
    for stem, (jpeg, content) in found.items():
        assert jpeg == expected[stem].jpeg
        assert content == expected[stem].json
        for mask, other in zip(
            _masks(content['annotations']), _masks(expected[stem].rows), strict=True
        ):
            np.testing.assert_array_equal(mask, other)


def _read_tsv(path):
    """Seeks each row by its `.lineidx`, as Semantic-SAM's loader does."""
    rows = {}
    with open(path, 'rb') as file:
        for line in path.with_suffix('.lineidx').read_text().splitlines():
            start, length = map(int, line.split())
            file.seek(start)
            row = file.read(length)
            assert row.endswith(b'\n')
            name, content, image = row.decode().rstrip('\n').split('\t')
            rows[name.rpartition('.')[0]] = (base64.b64decode(image), json.loads(content))
    return rows


def test_numbers_past_64_bits_stop_no_format(tmp_path):
    """JSON has them; the checks and the columns take them for floats, and so do exports."""
    files = samples.members(1, 1)
    content = json.loads(files['./sa_1.json'])
    content['annotations'][0] |= {'id': 2**64 - 1, 'predicted_iou': 2**80, 'stability_score': -1}
    files['./sa_1.json'] = json.dumps(content).encode()
    samples.write_archive(tmp_path / 'sa_000000.tar', files)
    for name in options.NAMES:
        _export(tmp_path / 'sa_000000.tar', tmp_path / name, name)


def test_tsv(source, expected, tmp_path):
    out = _export(source, tmp_path / 'out', 'tsv', '--per_file', '4')
    files = sorted(out.glob('*.tsv'))
    assert [file.name for file in files] == ['sa1b-000000.tsv', 'sa1b-000001.tsv']
    assert len(_read_tsv(files[0])) == 4
    _assert_same(_read_tsv(files[0]) | _read_tsv(files[1]), expected)


def test_coco(source, expected, tmp_path, capsys):
    out = _export(source, tmp_path / 'out', 'coco')
    coco = coco_lib.COCO(str(out / 'instances.json'))
    assert sorted(path.name for path in out.iterdir()) == ['images', 'instances.json']
    assert len(coco.imgs) == 6 and len(coco.anns) == 15
    assert coco.loadCats(coco.getCatIds())[0]['name'] == 'object'
    for image_id, image in coco.imgs.items():
        record = expected[image['file_name'].partition('.')[0]]
        assert image_id == record.json['image']['image_id']
        assert (out / 'images' / image['file_name']).read_bytes() == record.jpeg
        found = coco.loadAnns(coco.getAnnIds(imgIds=[image_id]))
        for row, original in zip(found, record.rows, strict=True):
            mask = mask_utils.decode(original['segmentation'])
            np.testing.assert_array_equal(coco.annToMask(row), mask)
            box = mask_utils.toBbox(original['segmentation'])
            np.testing.assert_array_equal(row['bbox'], box)
            assert row['area'] == mask.sum() and row['sa_id'] == original['id']
            assert row['predicted_iou'] == original['predicted_iou']


def test_folders(source, expected, tmp_path):
    out = _export(source, tmp_path / 'out', 'folders')
    found = {
        path.stem: (
            path.read_bytes(),
            json.loads((out / 'annotations' / f'{path.stem}.json').read_text()),
        )
        for path in (out / 'images').iterdir()
    }
    _assert_same(found, expected)
    again = {r.stem: (r.jpeg, r.json) for unit in inputs.find([out]) for r in records.read(unit)}
    _assert_same(again, expected)


def test_webdataset(source, expected, tmp_path):
    webdataset = pytest.importorskip('webdataset')
    out = _export(source, tmp_path / 'out', 'webdataset', '--per_file', '4', '--first_number', '7')
    files = sorted(map(str, out.iterdir()))
    assert [file[-15:] for file in files] == ['sa1b-000007.tar', 'sa1b-000008.tar']
    dataset = webdataset.WebDataset(files, shardshuffle=False)
    found = {row['__key__']: (row['jpg'], json.loads(row['json'])) for row in dataset}
    _assert_same(found, expected)
    with tarfile.open(files[0]) as tar:
        names = tar.getnames()
    assert all(a[:-4] == b[:-5] for a, b in zip(names[::2], names[1::2], strict=True))


def test_webdataset_in_hugging_face_datasets(source, expected, tmp_path, monkeypatch):
    monkeypatch.setenv('HF_HUB_OFFLINE', '1')
    monkeypatch.setenv('HF_HOME', str(tmp_path / 'home'))
    datasets = pytest.importorskip('datasets')
    out = _export(source, tmp_path / 'out', 'webdataset')
    files = [str(path) for path in out.iterdir()]
    stream = datasets.load_dataset('webdataset', data_files=files, split='train', streaming=True)
    seen = set()
    for row in stream:
        record = expected[row['__key__']]
        pixels = np.asarray(Image.open(io.BytesIO(record.jpeg)))
        np.testing.assert_array_equal(np.asarray(row['jpg']), pixels)
        for mask, other in zip(
            _masks(row['json']['annotations']), _masks(record.rows), strict=True
        ):
            np.testing.assert_array_equal(mask, other)
        seen.add(row['__key__'])
    assert seen == expected.keys()


def test_archives_again(source, expected, tmp_path):
    out = _export(source, tmp_path / 'out', 'archives', '--first_number', '20', '--per_file', '5')
    found = {}
    for path in sorted(out.iterdir()):
        files = {}
        with tarfile.open(path, 'r:gz') as tar:
            assert tar.getnames()[0] == '.'
            for member in tar.getmembers()[1:]:
                files[member.name] = tar.extractfile(member).read()
        for name in files:
            if name.endswith('.jpg'):
                found[name[2:-4]] = (files[name], json.loads(files[f'{name[:-4]}.json']))
    _assert_same(found, expected)
    units = inputs.find([out])
    assert [unit.name for unit in units] == ['sa_000020', 'sa_000021']
    assert verification.verify(units[0], known=Checksums(), expected_pairs=5).state == 'good'


@pytest.mark.parametrize('name', ['archives', 'tsv', 'webdataset'])
def test_same_records_give_the_same_bytes(source, tmp_path, name):
    first, second = (_export(source, tmp_path / part, name) for part in 'ab')
    for path in first.iterdir():
        assert path.read_bytes() == (second / path.name).read_bytes()


def test_selection_filter_and_limit(source, expected, tmp_path, capsys):
    out = _export(source, tmp_path / 'a', 'folders', '--archives', '1', '--limit', '2', '--json')
    assert json.loads(capsys.readouterr().out) == {'images': 2, 'out': str(out), 'left_out': {}}
    stems = {path.stem for path in (out / 'images').iterdir()}
    assert len(stems) == 2 and stems <= {'sa_11', 'sa_12', 'sa_13'}
    out = _export(source, tmp_path / 'b', 'folders', '--filter', 'area>=500, num_masks>=1')
    for path in (out / 'annotations').iterdir():
        rows = json.loads(path.read_text())['annotations']
        assert rows == [row for row in expected[path.stem].rows if row['area'] >= 500] != []


def _damaged(tmp_path):
    files = samples.members(1, 3)
    files['./sa_3.json'] = b'{'
    (tmp_path / 'in').mkdir()
    samples.write_archive(tmp_path / 'in' / 'sa_000000.tar', files)
    return tmp_path / 'in'


def test_a_fault_stops_the_export_or_is_counted(tmp_path, capsys):
    source, out = _damaged(tmp_path), tmp_path / 'out'
    args = ['export', str(source), '--format', 'folders', '--out', str(out)]
    assert main.main(args) == 1
    assert 'json_invalid' in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ['in'], 'nothing is left behind'
    assert main.main([*args, '--on_error', 'skip']) == 0
    assert (
        '1 json_invalid' in capsys.readouterr().err and len(list((out / 'images').iterdir())) == 2
    )


def test_refusals(source, tmp_path, capsys):
    (tmp_path / 'full').mkdir()
    (tmp_path / 'full' / 'file').touch()
    args = ['export', str(source), '--format', 'folders', '--out', str(tmp_path / 'full')]
    assert main.main(args) == 2
    assert 'expected `out` to be a new or an empty folder; got' in capsys.readouterr().err
    args[-1] = str(tmp_path / 'new')
    assert main.main([*args, '--filter', 'area>=99999']) == 0, 'images without masks are kept'
    args[-1] = str(tmp_path / 'newer')
    assert main.main([*args, '--filter', 'num_masks>=99']) == 1
    assert 'with at least one record; got none' in capsys.readouterr().err
    assert main.main([*args, '--filter', 'size>3']) == 2
    assert main.main([args[0], str(source), *args[1:]]) == 1
    assert 'expected each image once; got sa_' in capsys.readouterr().err


def test_out_may_be_the_folder_that_one_is_in(source, tmp_path, monkeypatch):
    (tmp_path / 'out').mkdir()
    monkeypatch.chdir(tmp_path / 'out')
    _export(source, '.', 'folders')
    assert len(list((tmp_path / 'out' / 'images').iterdir())) == 6


def test_names_that_lead_elsewhere_stay_inside(expected, tmp_path):
    record = expected['sa_1']
    image = {**record.json['image'], 'file_name': '../../sa_1.jpg'}
    evil = records.Record(record.jpeg, record.example, {**record.json, 'image': image})
    for name in formats.NAMES:
        assert formats.write([evil], name, tmp_path / 'inner' / name) == 1
    assert [path.name for path in tmp_path.iterdir()] == ['inner']
    assert sorted(path.name for path in (tmp_path / 'inner').iterdir()) == sorted(formats.NAMES)
    assert (tmp_path / 'inner' / 'coco' / 'images' / 'sa_1.jpg').exists()
