"""Whole builds on the inputs that are known to trouble users of SA-1B."""

import copy
import gzip
import io
import json
import tarfile

import pytest
import samples
from building import build, read

from segment_anything_tfds.source import faults

FIRST_ID = 2  # the image to which each fault is done; 1 and 3 are intact


def _files() -> dict[str, bytes]:
    return samples.members(1, 3)


def _with_record(change) -> dict[str, bytes]:
    record = copy.deepcopy(samples.record(FIRST_ID))
    change(record)
    return _files() | {f'./sa_{FIRST_ID}.json': json.dumps(record).encode()}


def _set(*path_and_value):
    *path, key, value = path_and_value

    def change(record):
        target = record
        for step in path:
            target = target[step]
        target[key] = value

    return lambda: _with_record(change)


def _first(key, value):
    return _set('annotations', 0, key, value)


def _drop_key():
    return _with_record(lambda record: record['annotations'][0].pop('stability_score'))


def _image(data) -> dict[str, bytes]:
    return _files() | {f'./sa_{FIRST_ID}.jpg': data}


def _without(name):
    files = _files()
    del files[name]
    return files


def _same_id_twice():
    record = samples.record(FIRST_ID)
    record['image']['file_name'] = 'sa_9.jpg'
    return _files() | {'./sa_9.jpg': samples.jpeg(2), './sa_9.json': json.dumps(record).encode()}


def _sum_too_small():
    size = [samples.HEIGHT, samples.WIDTH]
    return _first('segmentation', {'size': size, 'counts': '12'})()


def _extra_key():
    return _first('category', 'dog')()


# What is wrong -> the files, and how many images, and annotations of image 2, `'skip'` keeps.
IMAGE, ANNOTATION = (2, None), (3, 2)
RECORD_FAULTS = {
    'jpeg_truncated': (lambda: _image(samples.jpeg(2)[:-50]), IMAGE),
    'jpeg_empty': (lambda: _image(b''), IMAGE),
    'jpeg_is_png': (lambda: _image(b'\x89PNG\r\n\x1a\n' + bytes(100)), IMAGE),
    'json_invalid': (lambda: _files() | {'./sa_2.json': b'{"image": '}, IMAGE),
    'json_empty': (lambda: _files() | {'./sa_2.json': b''}, IMAGE),
    'json_missing': (lambda: _without('./sa_2.json'), IMAGE),
    'jpeg_missing': (lambda: _without('./sa_2.jpg'), IMAGE),
    'height_zero': (_set('image', 'height', 0), IMAGE),
    'size_differs': (_set('image', 'width', samples.WIDTH + 1), IMAGE),
    'image_id_twice': (_same_id_twice, (3, 3)),
    'box_outside': (_first('bbox', [1.0, 2.0, float(samples.WIDTH), 3.0]), ANNOTATION),
    'box_negative': (_first('bbox', [5.0, 5.0, -1.0, 3.0]), ANNOTATION),
    'key_extra': (_extra_key, ANNOTATION),
    'key_missing': (_drop_key, ANNOTATION),
    'two_points': (_first('point_coords', [[1.0, 2.0], [3.0, 4.0]]), ANNOTATION),
    'rle_uncompressed': (
        _first('segmentation', {'size': [samples.HEIGHT, samples.WIDTH], 'counts': [0, 5400]}),
        ANNOTATION,
    ),
    'rle_sum': (_sum_too_small, ANNOTATION),
    'score_nan': (_first('predicted_iou', float('nan')), ANNOTATION),
    'area_fraction': (_first('area', 12.7), ANNOTATION),
}


@pytest.fixture
def make_archive(tmp_path):
    """Writes the one archive of a `manual_dir`, and gives the folder."""

    def write(files, **kwargs):
        manual = tmp_path / 'manual'
        manual.mkdir(exist_ok=True)
        samples.write_archive(manual / 'sa_000000.tar', files, **kwargs)
        return manual

    return write


@pytest.mark.parametrize('name', RECORD_FAULTS)
def test_fault_of_a_record(name, make_archive, tmp_path):
    make_files, (images, annotations) = RECORD_FAULTS[name]
    manual = make_archive(make_files())
    with pytest.raises(faults.DataError) as caught:
        build(manual, tmp_path / 'data')
    assert '1 of 1 archives' in str(caught.value)
    assert all(fault.archive == 'sa_000000' for fault in caught.value.faults)
    members = {fault.member for fault in caught.value.faults}
    assert members & {'sa_2.json', 'sa_2.jpg', 'sa_9.json'}, members

    built = build(manual, tmp_path / 'data', on_error='skip')
    examples = {int(e['image']['image_id']): e for e in read(built)}
    assert len(examples) == images
    if annotations is not None:
        assert len(examples[FIRST_ID]['annotations']['id']) == annotations
    assert len(examples[1]['annotations']['id']) == 3
    report = (built.data_path / 'faults.jsonl').read_text().splitlines()
    assert len(report) == sum(built.info.metadata['skipped'].values()) >= 1
    if annotations == 2:
        assert json.loads(report[0])['annotation_id'] == FIRST_ID * 1000


@pytest.mark.parametrize('kind', ['gzip', 'plain', 'gzip_checksum'])
def test_truncated_archive_is_never_whole(kind, make_archive, tmp_path):
    manual = make_archive(samples.members(1, 40), gzip=kind != 'plain')
    path = manual / 'sa_000000.tar'
    data = bytearray(path.read_bytes())
    if kind == 'gzip_checksum':
        data[-6] ^= 1
    else:
        del data[len(data) // 2 :]
    path.write_bytes(data)
    with pytest.raises(faults.DataError, match='sa_000000'):
        build(manual, tmp_path / 'data')
    if kind == 'gzip_checksum':  # the archive is smaller than a chunk, and no chunk is trusted
        with pytest.raises(faults.DataError, match='no example without faults'):
            build(manual, tmp_path / 'data', on_error='skip')
        return
    built = build(manual, tmp_path / 'data', on_error='skip')
    assert built.info.metadata['skipped']
    assert 1 <= built.info.splits['train'].num_examples < 40


def test_page_saved_as_archive(tmp_path):
    manual = tmp_path / 'manual'
    manual.mkdir()
    (manual / 'sa_000000.tar').write_bytes(b'<!DOCTYPE html><html>URL signature expired</html>')
    with pytest.raises(faults.DataError, match=r'sa_000000.*URL signature expired'):
        build(manual, tmp_path / 'data')


def test_folder_inside_and_upper_case(make_archive, tmp_path):
    files = {name.replace('./', 'sa_000000/'): data for name, data in _files().items()}
    files['sa_000000/sa_3.JPG'] = files.pop('sa_000000/sa_3.jpg')
    record = samples.record(3)
    record['image']['file_name'] = 'sa_3.JPG'
    files['sa_000000/sa_3.json'] = json.dumps(record).encode()
    built = build(make_archive(files), tmp_path / 'data')
    assert built.info.splits['train'].num_examples == 3


def _add_strange_members(make_archive):
    """Adds members that are no images and no records, and some that only are called so."""
    manual = make_archive(_files())
    path = manual / 'sa_000000.tar'
    with gzip.open(path) as file:
        tar_bytes = io.BytesIO(file.read())
    with tarfile.open(fileobj=tar_bytes, mode='a') as tar:
        for name in ('./._sa_1.jpg', '../sa_7.jpg', 'README.txt'):
            info = tarfile.TarInfo(name)
            info.size = 3
            tar.addfile(info, io.BytesIO(b'abc'))
        for kind, name in ((tarfile.SYMTYPE, './sa_8.jpg'), (tarfile.CHRTYPE, './sa_9.jpg')):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, '/etc/passwd'
            tar.addfile(info)
    path.write_bytes(tar_bytes.getvalue())
    return manual


def test_strange_members(make_archive, tmp_path):
    """What is called like an image and cannot be read is lost, so it is a fault."""
    manual = _add_strange_members(make_archive)
    with pytest.raises(faults.DataError) as caught:
        build(manual, tmp_path / 'data')
    assert {(fault.member, fault.reason) for fault in caught.value.faults} == {
        ('sa_7.jpg', 'member_unreadable'),
        ('sa_8.jpg', 'member_link'),
        ('sa_9.jpg', 'member_unreadable'),
    }
    built = build(manual, tmp_path / 'data', on_error='skip')
    assert built.info.splits['train'].num_examples == 3
    assert not list(tmp_path.rglob('sa_7.jpg'))


def test_absolute_names_are_read(make_archive, tmp_path):
    """As `tar -P` writes them; nothing is ever written under a member's name."""
    files = {name.replace('./', '/data/sa-1b/'): data for name, data in _files().items()}
    built = build(make_archive(files), tmp_path / 'data')
    assert built.info.splits['train'].num_examples == 3


@pytest.mark.parametrize(
    ('text', 'expected'),
    [
        (None, 'does not exist or is empty'),
        ('', 'an empty file'),
        ('file_name\tcdn_link\n', 'only a header'),
        (
            'sa_000000.tar\thttps://a.invalid/0\nsa_000000.tar\thttps://a.invalid/1',
            'line 2.*line 1',
        ),
        ('file_name\tcdn_link\nsa_000000.tar', 'line 2: expected 2 columns'),
    ],
)
def test_links_file_without_use(text, expected, tmp_path):
    manual = tmp_path / 'manual'
    manual.mkdir()
    if text is not None:
        (manual / 'segment_anything_links.txt').write_text(text)
    with pytest.raises((ValueError, AssertionError), match=f'(?s){expected}'):
        build(manual, tmp_path / 'data')


@pytest.mark.parametrize('eol', ['\n', '\r\n'])
@pytest.mark.parametrize('header', ['', 'file_name\tcdn_link'])
def test_links_file_in_other_shapes(eol, header, make_archive, tmp_path):
    manual = make_archive(_files())
    rows = [
        header,
        'sa_images_ids.txt   https://a.invalid/i',
        '',
        'sa_000000.tar  https://a.invalid/0',
    ]
    (manual / 'segment_anything_links.txt').write_text('\ufeff' + eol.join(rows))
    built = build(manual, tmp_path / 'data')
    assert built.info.splits['train'].num_examples == 3


def test_all_records_at_fault(make_archive, tmp_path):
    manual = make_archive({'./sa_1.json': b'{', './sa_1.jpg': samples.jpeg(1)})
    with pytest.raises(faults.DataError, match='no example without faults in 1 archives'):
        build(manual, tmp_path / 'data', on_error='skip')
