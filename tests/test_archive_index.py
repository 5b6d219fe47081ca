"""Random access to archives: what a stream gives, at any position, by position and by id."""

import pickle
import shutil

import numpy as np
import pytest
import samples

import segment_anything_tfds as sa1b
from segment_anything_tfds.source.access import archive_map
from segment_anything_tfds.source.archive import locations, pair_stream
from segment_anything_tfds.source.faults import DataError

IMAGES = 9


@pytest.fixture(scope='module')
def archives(tmp_path_factory):
    folder = tmp_path_factory.mktemp('archives')
    files = samples.members(1, IMAGES, masks=2)
    for number, gzip in enumerate((False, True)):
        samples.write_archive(folder / f'sa_{number:06d}.tar', files, gzip=gzip)
    extracted = folder / 'sa_000002'
    extracted.mkdir()
    for name, data in files.items():
        (extracted / name.removeprefix('./')).write_bytes(data)
    return folder


def path_of(archives, kind):
    if kind == 'gzip':
        pytest.importorskip('indexed_gzip')
    name = {'plain': 'sa_000000.tar', 'gzip': 'sa_000001.tar', 'folder': 'sa_000002'}[kind]
    return archives / name


def streamed(path) -> list:
    source = locations.Source(0, 'folder' if path.is_dir() else 'file', str(path))
    with pair_stream.open_archive(source, on_fault=print) as reader:
        return list(reader)


@pytest.mark.parametrize('kind', ['plain', 'gzip', 'folder'])
def test_pairs_are_those_of_a_stream_in_its_order(archives, kind, tmp_path):
    path = path_of(archives, kind)
    expected = streamed(path)
    for _ in range(2):  # made, then read from its file
        index = archive_map.archive_index(path, index_dir=tmp_path)
        assert len(index) == IMAGES
        found = [index.pair(position) for position in np.random.permutation(IMAGES)]
        assert sorted(found, key=str) == sorted(expected, key=str)
        assert [index.pair(position) for position in range(IMAGES)] == expected
    assert any(tmp_path.iterdir())
    again = pickle.loads(pickle.dumps(index))
    assert again.pair(-1) == expected[-1]


def test_images_are_found_by_id_and_name(archives, tmp_path):
    index = archive_map.archive_index(path_of(archives, 'plain'), index_dir=tmp_path)
    for name in (5, '5', 'sa_5', 'sa_5.jpg'):
        assert index.pair(index.find(name)).stem == 'sa_5'
    example = index[index.find(5)]
    assert example['image']['image_id'] == 5
    assert example['annotations']['segmentation']['size'].shape == (2, 2)
    with pytest.raises(KeyError, match=r'expected `image` in sa_000000.*got 77'):
        index.find(77)
    with pytest.raises(IndexError, match=rf'has {IMAGES} images; got {IMAGES}'):
        index.pair(IMAGES)
    for wrong in (slice(2), 1.0, [0, 1]):
        with pytest.raises(TypeError, match='expected a position, a whole number; got'):
            index[wrong]


def test_an_archive_that_was_replaced_is_indexed_again(archives, tmp_path):
    path = tmp_path / 'sa_000007.tar'
    shutil.copy(path_of(archives, 'plain'), path)
    assert len(archive_map.archive_index(path)) == IMAGES
    assert (tmp_path / '.sa1b').exists()
    samples.write_archive(path, samples.members(100, 3), gzip=False)
    assert sorted(archive_map.archive_index(path).ids) == [100, 101, 102]


def test_damage_is_told(archives, tmp_path):
    path = tmp_path / 'sa_000007.tar'
    path.write_bytes(path_of(archives, 'plain').read_bytes()[:5000])
    with pytest.raises(DataError, match='archive_truncated'):
        archive_map.archive_index(path)
    with pytest.raises(ValueError, match=r'expected `path` on this machine; got s3://'):
        archive_map.archive_index('s3://bucket/sa_000000.tar')


@pytest.mark.parametrize('kind', ['plain', 'gzip', 'folder'])
def test_one_image_is_shown_without_the_others(archives, kind, tmp_path, monkeypatch):
    path = shutil.copytree(archives, tmp_path / 'archives') / path_of(archives, kind).name
    expected = np.asarray(sa1b.show(sa1b.records(path, filter='width>0'), count=9))
    if kind == 'gzip':
        archive_map.archive_index(path)
    before = sorted(path.parent.rglob('*'))
    monkeypatch.setattr(pair_stream, 'open_archive', None)  # nothing reads on from the start
    pictures = [np.asarray(sa1b.show(name, path)) for name in ('sa_5', 5, 'sa_5.jpg')]
    assert (pictures[0] == pictures[1]).all() and (pictures[0] == pictures[2]).all()
    assert pictures[0].shape[1] < expected.shape[1]
    drawn = sa1b.preview(path, image=5, png=tmp_path / 'one.png')
    assert np.asarray(drawn).shape == (samples.HEIGHT, samples.WIDTH, 3)
    with pytest.raises(ValueError, match='expected sa_77 in'):
        sa1b.show('sa_77', path)
    assert sorted(path.parent.rglob('*')) == before


def test_one_image_of_a_gzip_archive_without_an_index(archives):
    picture = np.asarray(sa1b.show('sa_5', path_of(archives, 'gzip')))
    assert (picture == np.asarray(sa1b.show('sa_5', path_of(archives, 'plain')))).all()
