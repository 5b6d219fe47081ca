"""Checks of images and their records: every reason, and equality with TFDS's own numbers."""

import copy
import io
import json
import pathlib
import pickle
import re
from collections import Counter

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
import samples
from building import run_python
from PIL import Image

from segment_anything_tfds.source import reasons
from segment_anything_tfds.source.reasons import REASONS
from segment_anything_tfds.source.record import annotation_rows, annotations, jpeg

ID = 7
JPEG = samples.jpeg(ID)
H, W = samples.HEIGHT, samples.WIDTH
_ELSEWHERE = ('whole archive', 'archive', 'run', 'import', 'picture')
NOT_OURS = {slug for slug, reason in REASONS.items() if reason.level in _ELSEWHERE} | {
    'record_missing',
    'image_missing',
    'member_duplicate',
    'member_too_large',
    'image_id_duplicate',
    'member_link',
    'member_unreadable',
}


def check(record, image=JPEG, **options):
    names = {'archive': 'sa_000020', 'image_name': f'./sa_{ID}.jpg', 'record_name': f'sa_{ID}.json'}
    record = record if isinstance(record, bytes) else json.dumps(record).encode()
    return annotations.check(image, record, **{**names, **options})


def clean(num_masks=4):
    return copy.deepcopy(samples.record(ID, num_masks))


def replaced(path, value):
    """A clean record in which the leaf at `path` is something else."""
    record = clean()
    *parents, last = path
    leaf = record
    for key in parents:
        leaf = leaf[key]
    leaf[last] = value
    return record


def test_clean_record_becomes_an_example():
    record = clean()
    example, faults = check(record)
    assert faults == []
    assert example.image == {'content': JPEG, **record['image']}
    assert example.image['content'] is JPEG
    columns, rows = example.annotations, record['annotations']
    shapes = {
        'area': (np.uint64, (4,)),
        'bbox': (np.float32, (4, 4)),
        'crop_box': (np.float32, (4, 4)),
        'id': (np.uint64, (4,)),
        'point_coords': (np.float64, (4, 1, 2)),
        'predicted_iou': (np.float64, (4,)),
        'size': (np.uint64, (4, 2)),
        'stability_score': (np.float64, (4,)),
    }
    assert set(columns) == {*shapes, 'counts'}
    for name, (dtype, shape) in shapes.items():
        assert (columns[name].dtype, columns[name].shape) == (dtype, shape), name
    assert columns['counts'] == [row['segmentation']['counts'].encode() for row in rows]
    assert columns['size'].tolist() == [[H, W]] * 4
    for name in ('area', 'id', 'point_coords', 'predicted_iou', 'stability_score'):
        assert columns[name].tolist() == [row[name] for row in rows]
    np.testing.assert_array_equal(columns['crop_box'], [[0, 0, 1, 1]] * 4)


def test_record_without_annotations():
    example, faults = check(clean(0))
    assert faults == []
    shapes = {name: np.shape(column) for name, column in example.annotations.items()}
    assert shapes['bbox'] == shapes['crop_box'] == (0, 4)
    assert shapes['point_coords'] == (0, 1, 2) and shapes['size'] == (0, 2)
    assert shapes['counts'] == shapes['id'] == (0,)


def test_boxes_equal_those_of_tfds_to_the_last_float():
    import tensorflow_datasets as tfds
    from tensorflow_datasets.datasets.segment_anything import (
        segment_anything_dataset_builder as original,
    )

    rng = np.random.default_rng(0)
    record = clean(1)
    row = record['annotations'][0]
    record['annotations'] = []
    for number in range(500):
        x, y = rng.uniform(0, W), rng.uniform(0, H)
        box = [x, y, rng.uniform(0, W - x), rng.uniform(0, H - y)]
        box = [float(int(side)) for side in box] if number % 2 else box
        crop = [int(side) for side in box] if number % 3 else box
        record['annotations'].append({**row, 'id': number, 'bbox': box, 'crop_box': crop})
    example, faults = check(record)
    assert not faults
    feature = tfds.features.BBoxFeature()
    for name in ('bbox', 'crop_box'):
        for row, ours in zip(record['annotations'], example.annotations[name], strict=True):
            theirs = original._normalize_bbox(row[name], H, W)
            np.testing.assert_array_equal(ours, feature.encode_example(theirs), strict=True)


def test_real_annotations(shared_data):
    rows = json.loads((shared_data / 'real_annotations.json').read_text())
    height, width = rows[0]['segmentation']['size']
    assert {row.pop('file_name') for row in rows} == {'sa_226381.jpg'}
    image = {'image_id': 226381, 'height': height, 'width': width, 'file_name': 'sa_226381.jpg'}
    others = {'predicted_iou': 0.9, 'stability_score': 0.9, 'point_coords': [[1.5, 2.0]]}
    others['crop_box'] = [0.0, 0.0, float(width), float(height)]
    rows = [{**row, **others, 'id': number} for number, row in enumerate(rows)]
    example, faults = check(
        {'image': image, 'annotations': rows},
        samples.jpeg(1, height, width),
        image_name='sa_226381.jpg',
    )
    assert faults == [] and len(example.annotations['id']) == 7


ROW = ('annotations', 1)
MANY = 2**60
IMAGE_FAULTS = [
    ('json_invalid', b'', r'expected JSON; got'),
    ('json_invalid', b'{"image": ', r'expected JSON; got'),
    ('json_invalid', b'[' * 100_000, r'nested too deep'),
    ('json_invalid', b'\xff\xfe\xff', r'expected JSON; got'),
    ('json_invalid', JPEG, r'expected JSON; got'),
    ('record_keys', [1], r'keys annotations, image; got \[1\]'),
    ('record_keys', {'image': {}}, r"got no \['annotations'\]"),
    ('record_keys', {**clean(), 'licence': 'x'}, r"got also \['licence'\]"),
    ('record_keys', replaced(['annotations'], {}), r'`annotations` to be a list; got \{\}'),
    ('record_keys', replaced(['image'], None), r'`image` to have the keys .*; got None'),
    ('record_keys', replaced(['image', 'x'], 1), r"`image` to have .*; got also \['x'\]"),
    (
        'record_too_large',
        b'{"image":{},"annotations":[' + b'{},' * 500_000 + b'{}]}',
        r'at most 1,000,000 values; got 1,000,00\d',
    ),
    (
        'record_too_large',
        {**clean(), 'annotations': [0] * 10_001},
        r'at most 10,000 annotations; got 10,001',
    ),
    ('image_invalid', replaced(['image', 'height'], 60.0), r'`height` to be an integer .*60\.0'),
    ('image_invalid', replaced(['image', 'width'], -1), r'`width` to be an integer .*got -1'),
    ('image_invalid', replaced(['image', 'width'], True), r'`width` to be an integer .*got True'),
    ('image_invalid', replaced(['image', 'image_id'], '7'), r"`image_id` .*got '7'"),
    ('image_invalid', replaced(['image', 'image_id'], 2**64), r'`image_id` .*got 1\.8'),
    ('image_invalid', replaced(['image', 'file_name'], 7), r'`file_name` .*got 7'),
    ('image_size_invalid', replaced(['image', 'height'], 0), r'at least 1; got 0 and 90'),
    ('image_size_mismatch', replaced(['image', 'width'], 91), r'60 and 90; got 60 and 91'),
    ('image_size_mismatch', replaced(['image', 'width'], 2**64 - 1), r'got 60 and 18446744'),
    ('file_name_mismatch', replaced(['image', 'file_name'], 'sa_8.jpg'), r"'sa_7.jpg'; got 'sa_8"),
    ('file_name_mismatch', replaced(['image', 'file_name'], '\ud800'), r"'sa_7.jpg'; got '\\ud800"),
]
ANNOTATION_FAULTS = [
    ('annotation_keys', (*ROW,), 7, r'keys area, .*; got 7'),
    ('annotation_keys', (*ROW,), {}, r"got no \['area', "),
    ('annotation_keys', (*ROW, 'iscrowd'), 0, r"got also \['iscrowd'\]"),
    ('id_invalid', (*ROW, 'id'), -1, r'`id` to be an integer .*got -1'),
    ('id_invalid', (*ROW, 'id'), 2**64, r'`id` to be an integer'),
    ('id_invalid', (*ROW, 'id'), True, r'got True'),
    ('id_invalid', (*ROW, 'id'), None, r'got None'),
    ('id_duplicate', (*ROW, 'id'), 7000, r'`id` to occur once in an image; got 7000'),
    ('area_invalid', (*ROW, 'area'), 12.7, r'`area` to be an integer .*got 12\.7'),
    ('area_invalid', (*ROW, 'area'), -4, r'got -4'),
    ('area_mismatch', (*ROW, 'area'), 0, r'`area` to be \d+, as in `counts`; got 0'),
    ('area_mismatch', (*ROW, 'area'), 2**64 - 1, r'got 18446744073709551615'),
    ('bbox_invalid', (*ROW, 'bbox'), [1, 2, 3], r'`bbox` to be four .*got \[1, 2, 3\]'),
    ('bbox_invalid', (*ROW, 'bbox'), [1, 2, 3, '4'], r"got \[1, 2, 3, '4'\]"),
    ('bbox_invalid', (*ROW, 'bbox'), [1, 2, 3, True], r'got \[1, 2, 3, True\]'),
    ('bbox_invalid', (*ROW, 'bbox'), [0, 0, float('nan'), 1], r'got \[0, 0, nan, 1\]'),
    ('bbox_invalid', (*ROW, 'bbox'), [0, 0, float('inf'), 1], r'got \[0, 0, inf, 1\]'),
    ('bbox_invalid', (*ROW, 'bbox'), [0, 0, MANY, 1], r'`bbox` to be four'),
    ('bbox_invalid', (*ROW, 'bbox'), {'x': 1}, r"got \{'x': 1\}"),
    ('bbox_outside', (*ROW, 'bbox'), [0.0, 0.0, 91.0, 5.0], r'within 90 x 60 .*91\.0'),
    ('bbox_outside', (*ROW, 'bbox'), [0, 1, 5, 60], r'got \[0, 1, 5, 60\]'),
    ('bbox_outside', (*ROW, 'bbox'), [-1, 0, 5, 5], r'got \[-1, 0, 5, 5\]'),
    ('bbox_outside', (*ROW, 'bbox'), [9, 9, -1, 5], r'got \[9, 9, -1, 5\]'),
    ('bbox_outside', (*ROW, 'bbox'), [1e308] * 4, r'got \[1e\+308'),
    ('crop_box_invalid', (*ROW, 'crop_box'), 'whole', r"`crop_box` to be four .*'whole'"),
    ('crop_box_outside', (*ROW, 'crop_box'), [0, 0, 90, 61], r'`crop_box` within 90 x 60'),
    ('point_coords_invalid', (*ROW, 'point_coords'), [], r'one point .*got \[\]'),
    ('point_coords_invalid', (*ROW, 'point_coords'), [[1, 2], [3, 4]], r'\[\[1, 2\], \[3, 4\]\]'),
    ('point_coords_invalid', (*ROW, 'point_coords'), [[1, 2, 3]], r'one point'),
    ('point_coords_invalid', (*ROW, 'point_coords'), [1, 2], r'one point'),
    ('point_coords_invalid', (*ROW, 'point_coords'), [[1, float('nan')]], r'one point'),
    ('predicted_iou_invalid', (*ROW, 'predicted_iou'), float('nan'), r'finite number; got nan'),
    ('predicted_iou_invalid', (*ROW, 'predicted_iou'), None, r'finite number; got None'),
    ('stability_score_invalid', (*ROW, 'stability_score'), float('-inf'), r'got -inf'),
    ('stability_score_invalid', (*ROW, 'stability_score'), '0.9', r"got '0\.9'"),
    ('segmentation_invalid', (*ROW, 'segmentation'), [[1, 2, 3, 4]], r'object of `size` and'),
    ('segmentation_invalid', (*ROW, 'segmentation'), {'counts': '0'}, r'object of `size` and'),
    ('segmentation_invalid', (*ROW, 'segmentation', 'x'), 1, r'object of `size` and'),
    ('rle_uncompressed', (*ROW, 'segmentation', 'counts'), 5, r'compressed string; got 5'),
    ('rle_uncompressed', (*ROW, 'segmentation', 'counts'), [5400], r'string; got \[5400\]'),
    ('segmentation_size_mismatch', (*ROW, 'segmentation', 'size'), [W, H], r'got \[90, 60\]'),
    ('segmentation_size_mismatch', (*ROW, 'segmentation', 'size'), [60.0, W], r'got \[60\.0, 90'),
    ('segmentation_size_mismatch', (*ROW, 'segmentation', 'size'), 5400, r'got 5400'),
    ('rle_character', (*ROW, 'segmentation', 'counts'), 'p', r'within 48 and 111; got b\'p\''),
    ('rle_character', (*ROW, 'segmentation', 'counts'), '0 ', r'within 48 and 111'),
    ('rle_character', (*ROW, 'segmentation', 'counts'), 'é', r'within 48 and 111'),
    ('rle_character', (*ROW, 'segmentation', 'counts'), '\ud800', r'within 48 and 111'),
    ('rle_unfinished', (*ROW, 'segmentation', 'counts'), '', r'end of a number; got b\'\''),
    ('rle_unfinished', (*ROW, 'segmentation', 'counts'), 'P', r'end of a number; got b\'P\''),
    ('rle_overflow', (*ROW, 'segmentation', 'counts'), 'P' * 7 + '1', r'at most 7 characters'),
    ('rle_overflow', (*ROW, 'segmentation', 'counts'), 'oooooo7', r'below 2\^32'),
    (
        'rle_negative_run',
        (*ROW, 'segmentation', 'counts'),
        '01O',
        r'runs of at least 0; got b\'01O',
    ),
    ('rle_sum_mismatch', (*ROW, 'segmentation', 'counts'), '22', r'sum to 5400.*; got 4'),
]


def broken_jpegs():
    arithmetic = JPEG.replace(b'\xff\xc0', b'\xff\xc9', 1)
    return [
        ('jpeg_invalid', b''),
        ('jpeg_invalid', b'<html>403</html>'),
        ('jpeg_truncated', JPEG[: len(JPEG) // 2]),
        ('jpeg_unsupported', arithmetic),
    ]


@pytest.mark.parametrize(('reason', 'record', 'detail'), IMAGE_FAULTS)
def test_image_faults_leave_out_the_image(reason, record, detail):
    example, faults = check(record)
    assert example is None
    (fault,) = faults
    assert (fault.reason, fault.archive, fault.member) == (reason, 'sa_000020', 'sa_7.json')
    assert re.search(detail, fault.detail), fault.detail
    assert REASONS[reason].level == 'image'
    str(fault).encode()
    assert len(str(fault)) < 500


@pytest.mark.parametrize(('reason', 'image'), broken_jpegs())
def test_broken_jpegs_leave_out_the_image(reason, image):
    example, faults = check(clean(), image)
    assert example is None
    assert [(fault.reason, fault.member) for fault in faults] == [(reason, 'sa_7.jpg')]


def test_pixels_are_decoded_on_request():
    table = JPEG.index(b'\xff\xc0') + 12
    damaged = JPEG[:table] + b'\x03' + JPEG[table + 1 :]  # A quantization table that is not there.
    assert check(clean(), damaged)[1] == []
    example, faults = check(clean(), damaged, decode_images=True)
    assert example is None
    assert [(fault.reason, fault.member) for fault in faults] == [('jpeg_undecodable', 'sa_7.jpg')]
    assert check(clean(), decode_images=True)[1] == []


@pytest.mark.parametrize(('reason', 'path', 'value', 'detail'), ANNOTATION_FAULTS)
def test_annotation_faults_leave_out_the_annotation(reason, path, value, detail):
    record = clean()
    expected, _ = check(
        {**record, 'annotations': record['annotations'][:1] + record['annotations'][2:]}
    )
    example, faults = check(replaced(path, value))
    (fault,) = faults
    assert (fault.reason, fault.archive, fault.member) == (reason, 'sa_000020', 'sa_7.json')
    assert fault.detail.startswith('annotations[1]: ')
    assert re.search(detail, fault.detail), fault.detail
    assert REASONS[reason].level == 'annotation'
    if path != ROW and 'id' not in path:
        assert fault.annotation_id == 7001
    for name, column in example.annotations.items():
        np.testing.assert_array_equal(column, expected.annotations[name])
    str(fault).encode()
    assert len(str(fault)) < 500


def test_many_faults_at_once():
    record = clean(100)
    for index, (_, path, value, _) in enumerate(ANNOTATION_FAULTS):
        if len(path) == 3 and path[2] != 'id':
            record['annotations'][index][path[2]] = value
    bad = sum(len(path) == 3 and path[2] != 'id' for _, path, _, _ in ANNOTATION_FAULTS)
    example, faults = check(record)
    assert len(faults) == bad and len(example.annotations['id']) == 100 - bad
    assert len({fault.annotation_id for fault in faults}) == bad
    left = {int(number) for number in example.annotations['id']}
    assert left == {7000 + n for n in range(100)} - {fault.annotation_id for fault in faults}


def test_every_reason_has_a_case():
    cases = {slug for slug, *_ in IMAGE_FAULTS + ANNOTATION_FAULTS + broken_jpegs()}
    assert cases | {'jpeg_undecodable'} | NOT_OURS == set(REASONS)


def test_reasons_of_archives_are_in_the_table():
    sources = pathlib.Path(reasons.__file__).parent
    slugs = {
        slug
        for path in sources.rglob('*.py')
        if path.name != 'reasons.py'
        for slug in re.findall(r"'((?:archive|member)_[a-z_]+)'", path.read_text())
    }
    assert slugs and slugs <= set(REASONS), slugs - set(REASONS)


@pytest.mark.parametrize('name', ['sa_7.JPG', 'deep/in/sa_7.jpg', './sa_7.jpg'])
def test_folders_and_case_do_not_matter(name):
    assert check(clean(), image_name=name)[1] == []


def test_byte_order_mark_is_accepted():
    assert check(b'\xef\xbb\xbf' + json.dumps(clean()).encode())[1] == []


def test_grayscale_and_cmyk_are_accepted():
    for mode in ('L', 'CMYK'):
        out = io.BytesIO()
        Image.new(mode, (W, H)).save(out, 'JPEG')
        assert check(clean(), out.getvalue())[1] == []


def test_example_travels_between_processes():
    example, _ = check(clean())
    again = pickle.loads(pickle.dumps(example))
    assert (
        again.image == example.image
        and again.annotations['counts'] == example.annotations['counts']
    )


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from([2**63, 2**64, -(2**63), 10**400, 1e308, '0', [], {}]),
    lambda leaves: (
        st.lists(leaves, max_size=5) | st.dictionaries(st.text(max_size=3), leaves, max_size=3)
    ),
    max_leaves=8,
)
PATHS = sorted({path[1:] for _, path, _, _ in ANNOTATION_FAULTS if len(path) > 2})


@hypothesis.given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from(PATHS), JSON), max_size=4))
def test_any_value_anywhere_is_a_fault_or_fine(changes):
    record = clean()
    for row, (_, *keys), value in changes:
        leaf = record['annotations'][row]
        for key in keys[:-1]:
            leaf = leaf[key] if isinstance(leaf, dict) else {}
        if isinstance(leaf, dict):
            leaf[keys[-1]] = value
    example, faults = check(record)
    assert len(example.annotations['id']) + len(faults) == 4
    assert all(
        len(column) == len(example.annotations['id']) for column in example.annotations.values()
    )


@hypothesis.given(
    st.sampled_from(['image', 'annotations', 'height', 'width', 'image_id', 'file_name']), JSON
)
def test_any_value_in_the_image_is_a_fault_or_fine(key, value):
    record = clean()
    (record if key in record else record['image'])[key] = value
    example, faults = check(record)
    assert (example is None) == any(REASONS[fault.reason].level == 'image' for fault in faults)


def test_faults_of_a_record_are_bounded_and_all_of_them_counted():
    record = clean()
    record['annotations'] += [{}] * 5000 + [{**record['annotations'][0], 'id': -1}] * 2000
    example, faults = check(record)
    assert example.annotations['id'].size == 4
    assert len(faults) == annotation_rows.FAULTS_KEPT + 2
    by_reason = Counter()
    for fault in faults:
        by_reason[fault.reason] += fault.count
    assert by_reason == {'annotation_keys': 5000, 'id_invalid': 2000}
    assert json.loads(faults[0].to_json()).get('count') is None
    assert json.loads(faults[-1].to_json())['count'] == 2000
    assert 'broken by more annotations; of a record the first 100' in str(faults[-1])


_HOSTILE = {
    'empty_objects': b'{},' * 1_666_666 + b'{}',
    'most_values': b'[' + b'{"":0},' * 240_000 + b'{}],{}',
    'longest_counts': b'{"segmentation":{"size":[60,90],"counts":"%s"},"area":1,"id":1,'
    b'"bbox":[0,0,1,1],"crop_box":[0,0,1,1],"predicted_iou":1,"stability_score":1,'
    b'"point_coords":[[0,0]]}' % (b'0' * (15 << 20)),
}


@pytest.mark.parametrize('name', _HOSTILE)
def test_memory_for_a_record_is_bounded(name, tmp_path):
    """Checked in a process of its own, whose peak is its own."""
    image = json.dumps(clean()['image']).encode()
    (tmp_path / 'record').write_bytes(b'{"image":%s,"annotations":[%s]}' % (image, _HOSTILE[name]))
    (tmp_path / 'image').write_bytes(JPEG)
    run_python(
        """
import pathlib, resource, sys
from segment_anything_tfds.source.record import annotations
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
image, record = (pathlib.Path(sys.argv[1], name).read_bytes() for name in ('image', 'record'))
before = peak()
names = {'image_name': 'sa_7.jpg', 'record_name': 'sa_7.json'}
_, faults = annotations.check(image, record, archive='sa_000020', **names)
assert faults
assert peak() - before < 400, peak() - before
""",
        tmp_path,
    )


def test_reasons_of_jpegs_are_in_the_table():
    text = pathlib.Path(jpeg.__file__).read_text()
    assert set(re.findall(r"'(jpeg_[a-z]+)'", text)) <= set(REASONS)


def test_table_of_the_documentation_is_up_to_date():
    """Write it anew with `python -m segment_anything_tfds.source.reasons > docs/faults.md`."""
    page = pathlib.Path(__file__).resolve().parent.parent / 'docs' / 'faults.md'
    assert page.read_text() == reasons.to_markdown()
