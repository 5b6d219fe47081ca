"""The archives that benchmarks use: of SA-1B's shape, and valid in every check."""

import gzip
import json
import pathlib
import sys
import tarfile

import numpy as np
import pytest

from segment_anything_tfds.source.record import annotations

BENCHMARKS = pathlib.Path(__file__).resolve().parent.parent / 'benchmarks'


@pytest.fixture(scope='module')
def paths(tmp_path_factory):
    sys.path.insert(0, str(BENCHMARKS))
    try:
        import archives
    finally:
        sys.path.remove(str(BENCHMARKS))
    return archives.make_archives(tmp_path_factory.mktemp('archives'), 2, 2)


def read(path):
    with tarfile.open(path, 'r:gz') as tar:
        return {member.name: tar.extractfile(member).read() for member in tar if member.isfile()}


def test_archives_of_real_shape(paths):
    ids = []
    for path in paths:
        files = read(path)
        assert len(files) == 4 and all(name.startswith('./sa_') for name in files)
        for name in (name for name in files if name.endswith('.jpg')):
            record = files[f'{name[:-4]}.json']
            names = {'image_name': name, 'record_name': f'{name[:-4]}.json'}
            example, faults = annotations.check(
                files[name], record, archive='x', decode_images=True, **names
            )
            assert faults == []
            assert (example.image['height'], example.image['width']) == (1500, 2250)
            assert 700_000 < len(files[name]) < 1_100_000
            assert len(example.annotations['id']) >= 95
            assert 380 < np.mean([len(string) for string in example.annotations['counts']]) < 520
            ids += [example.image['image_id'], *example.annotations['id'].tolist()]
            assert json.loads(record)['image']['file_name'] == name[2:]
    assert len(set(ids)) == len(ids)


def test_gzip_streams_are_whole(paths):
    for path in paths:
        with tarfile.open(path, 'r:gz') as tar:
            assert tar.getnames()[0] == '.'
        assert len(gzip.decompress(path.read_bytes())) % tarfile.BLOCKSIZE == 0
