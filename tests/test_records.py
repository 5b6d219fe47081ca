"""What paths hold, records from every kind of input, and rules for what to keep."""

import json
import shutil
import tarfile

import building
import numpy as np
import pytest
import samples

from segment_anything_tfds.exchange import filters, records
from segment_anything_tfds.source import faults
from segment_anything_tfds.source.archive import inputs


@pytest.fixture(scope='module')
def archives(tmp_path_factory):
    """Two archives of four images."""
    folder = tmp_path_factory.mktemp('archives')
    samples.write_archives(folder, 2)
    return folder


@pytest.fixture(scope='module')
def prepared(archives, tmp_path_factory):
    """The dataset that is built of them."""
    data_dir = tmp_path_factory.mktemp('prepared')
    building.build(archives, data_dir)
    return data_dir


def _read(path, **kwargs):
    return [record for unit in inputs.find([path]) for record in records.read(unit, **kwargs)]


def _by_stem(found):
    return {record.stem: record for record in found}


def _extract(archives, folder):
    with tarfile.open(archives / 'sa_000000.tar') as tar:
        for member in filter(tarfile.TarInfo.isfile, tar):
            path = folder / member.name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(tar.extractfile(member).read())
    return folder


def test_archive_gives_records_as_they_came(archives):
    found = _by_stem(_read(archives / 'sa_000001.tar'))
    assert sorted(found) == [f'sa_{number}' for number in range(1001, 1005)]
    for stem, record in found.items():
        number = int(stem[3:])
        assert record.json == samples.record(number)
        assert record.jpeg == samples.jpeg(number)
        assert record.example.image['image_id'] == number


def test_folder_gives_the_same(archives, tmp_path):
    expected = _by_stem(_read(archives / 'sa_000000.tar'))
    for layout in ('flat', 'split'):
        folder = _extract(archives, tmp_path / layout)
        if layout == 'split':
            for kind, suffix in (('images', '.jpg'), ('annotations', '.json')):
                (folder / kind).mkdir()
                for file in folder.glob(f'*{suffix}'):
                    file.rename(folder / kind / file.name)
        found = _by_stem(_read(folder))
        assert {stem: record.json for stem, record in found.items()} == {
            stem: record.json for stem, record in expected.items()
        }


def _with_float32_scores(record):
    """A shard keeps floats as float32."""
    rows = [
        {
            **row,
            **{key: float(np.float32(row[key])) for key in ('predicted_iou', 'stability_score')},
        }
        for row in record['annotations']
    ]
    return {**record, 'annotations': rows}


def test_prepared_dataset_gives_the_same_as_far_as_it_keeps_it(archives, prepared):
    expected, found = _by_stem(_read(archives)), _by_stem(_read(prepared))
    assert found.keys() == expected.keys() and len(found) == 8
    for stem, record in found.items():
        assert record.json == _with_float32_scores(expected[stem].json)
        assert record.jpeg == expected[stem].jpeg
        columns = expected[stem].example.annotations
        for name, column in record.example.annotations.items():
            stored = columns[name]
            if getattr(stored, 'dtype', None) == np.float64:
                stored = stored.astype(np.float32)
            np.testing.assert_array_equal(column, stored, err_msg=name)


@pytest.mark.parametrize('file_format', ['tfrecord', 'riegeli', 'array_record'])
def test_other_file_formats_and_images_without_masks(tmp_path, file_format):
    if file_format == 'riegeli':
        pytest.importorskip('riegeli')
    if file_format == 'array_record':
        pytest.importorskip('array_record')
    files = samples.members(1, 2)
    files['./sa_2.json'] = json.dumps(samples.record(2, masks=0)).encode()
    (tmp_path / 'archives').mkdir()
    samples.write_archive(tmp_path / 'archives' / 'sa_000000.tar', files)
    building.build(tmp_path / 'archives', tmp_path / 'prepared', file_format=file_format)
    found = _by_stem(_read(tmp_path / 'prepared'))
    assert found['sa_1'].json == _with_float32_scores(samples.record(1))
    assert found['sa_2'].json == samples.record(2, masks=0)
    assert found['sa_2'].example.annotations['bbox'].shape == (0, 4)


def test_boxes_that_are_not_whole_come_back_closely():
    rng = np.random.default_rng(0)
    xy = rng.uniform(0, 1000, [50, 2])
    xywh = np.concatenate([xy, rng.uniform(0, 500, [50, 2])], 1)
    size = np.array([1500, 2250] * 2)
    yxyx = np.concatenate([xywh[:, 1::-1], (xywh[:, :2] + xywh[:, 2:])[:, ::-1]], 1) / size
    found = records._to_xywh(yxyx.astype(np.float32), size.astype(float))
    np.testing.assert_allclose(found, xywh, atol=2250 * 2.0**-23)


def test_find_in_folder_of_archives(archives, prepared):
    units = inputs.find([archives])
    assert [(unit.name, unit.kind) for unit in units] == [
        ('sa_000000', 'file'),
        ('sa_000001', 'file'),
    ]
    assert [unit.number for unit in inputs.find([archives, archives], [1])] == [1, 1]
    shards = inputs.find([prepared])
    assert [(unit.name, unit.examples, unit.number) for unit in shards] == [
        ('train[0shard]', 4, 0),
        ('train[1shard]', 4, 1),
    ]
    assert inputs.find([prepared / 'segment_anything' / '1.0.0'], [1]) == shards[1:]


def test_find_archive_under_another_name(archives, tmp_path):
    shutil.copy(archives / 'sa_000000.tar', tmp_path / 'mine.tar')
    (unit,) = inputs.find([tmp_path / 'mine.tar'])
    assert unit.name == 'mine' and 'mine.tar' in repr(unit)
    assert len(list(records.read(unit))) == 4


def test_find_refuses_what_holds_nothing(archives, prepared, tmp_path):
    with pytest.raises(FileNotFoundError, match=r'inputs.find`: expected `paths` .* got /none'):
        inputs.find(['/none'])
    with pytest.raises(ValueError, match=r'expected archives, .* got a folder with neither'):
        inputs.find([tmp_path])
    with pytest.raises(ValueError, match=r'expected archives 7-8 in .* got 0-1'):
        inputs.find([archives], [1, 7, 8])
    shutil.copytree(prepared / 'segment_anything', tmp_path / 'segment_anything')
    shutil.copytree(
        tmp_path / 'segment_anything' / '1.0.0', tmp_path / 'segment_anything' / '2.0.0'
    )
    with pytest.raises(
        ValueError, match=r'expected one prepared dataset in .* got .*1\.0\.0, .*2\.0'
    ):
        inputs.find([tmp_path])


def _damaged(tmp_path):
    """An archive with an annotation that breaks a rule, beside one with the same `id`."""
    files = samples.members(1, 2)
    record = json.loads(files['./sa_1.json'])
    first = record['annotations'][0]
    bad, twin = {**first, 'id': 777, 'area': 1}, {**first, 'predicted_iou': 0.5}
    record['annotations'] = [bad, *record['annotations'], twin, 'no annotation']
    files['./sa_1.json'] = json.dumps(record).encode()
    samples.write_archive(tmp_path / 'sa_000003.tar', files)
    return tmp_path / 'sa_000003.tar'


def test_faulty_annotations_are_left_out_or_raise(tmp_path):
    path = _damaged(tmp_path)
    seen = []
    found = _by_stem(_read(path, on_fault=seen.append))
    assert found['sa_1'].json == samples.record(1)
    assert [fault.reason for fault in seen] == ['annotation_keys', 'area_mismatch', 'id_duplicate']
    with pytest.raises(faults.DataError, match=r'sa_000003 / sa_1.json.*annotation_keys'):
        _read(path)


@pytest.mark.parametrize(
    'changes',
    [
        {'segmentation': None},
        {'segmentation': {'size': [1, 1], 'counts': 7}},
        {'predicted_iou': 'EVIL'},
        {'stability_score': None},
        {'bbox': [0, 0, 1000, 1000]},
        {'area': 1},
        {'area': 1.0},
    ],
)
@pytest.mark.parametrize('after', [False, True])
def test_faulty_annotation_never_takes_the_place_of_a_good_one(tmp_path, changes, after):
    """Even where it has the same `id` and `area` as the good one beside it."""
    files = samples.members(1, 1)
    content = json.loads(files['./sa_1.json'])
    good = content['annotations']
    ghost = {**good[0], **changes}
    content['annotations'] = [*good, ghost] if after else [ghost, *good]
    files['./sa_1.json'] = json.dumps(content).encode()
    samples.write_archive(tmp_path / 'sa_000000.tar', files)
    seen = []
    (unit,) = inputs.find([tmp_path / 'sa_000000.tar'])
    (record,) = records.read(unit, on_fault=seen.append)
    assert record.rows == good
    assert [fault.annotation_id for fault in seen] == [good[0]['id']]
    assert record.example.annotations['id'].tolist() == [row['id'] for row in good]


def test_filters_keep_masks_and_images(archives):
    (record, *_) = _read(archives / 'sa_000000.tar')
    areas = sorted(row['area'] for row in record.rows)
    kept = filters.parse(f'area>{areas[0]}')(record)
    assert sorted(row['area'] for row in kept.rows) == areas[1:]
    assert kept.example.annotations['area'].tolist() == [row['area'] for row in kept.rows]
    assert len(kept.example.annotations['counts']) == len(kept.rows)
    assert len(record.rows) == len(areas), 'the record itself stays as it is'
    assert filters.parse('num_masks>=3')(record) is record
    assert filters.parse(f'area>{areas[0]}, num_masks>=3')(record) is None
    assert filters.parse('width==90, height<61, image_id!=0')(record) is record
    assert filters.parse('width>90')(record) is None
    assert filters.parse('')(record) is record
    relative = areas[-1] / (60 * 90)
    assert len(filters.parse(f'relative_area>={relative!r}')(record).rows) == 1
    identity = record.rows[1]['id']
    assert [row['id'] for row in filters.parse(f'id=={identity}')(record).rows] == [identity]


def test_filters_compare_large_ids_exactly(archives):
    (record, *_) = _read(archives / 'sa_000000.tar')
    record.rows[0]['id'] = 2**53 + 1
    assert not filters.parse(f'id=={2**53}')(record).rows


@pytest.mark.parametrize(
    'text', ['area', 'area>', 'size>3', 'area=3', 'area>3 width>2', 'id>1.2.3']
)
def test_filters_refuse_other_rules(text):
    with pytest.raises(ValueError, match=r'filters.parse`: expected rules .* got ' + repr(text)):
        filters.parse(text)
