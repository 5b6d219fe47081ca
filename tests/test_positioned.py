"""Archives read from a pair on: what is left is what a reader from the start gives."""

import gzip
import random

import fault_server
import pytest
import tars

from segment_anything_tfds.source.access import positioned
from segment_anything_tfds.source.archive import pair_stream
from segment_anything_tfds.source.archive.locations import Source
from segment_anything_tfds.source.faults import DataError

IDS = range(1, 31)


def stream(source):
    faults = []
    reader = pair_stream.open_archive(source, on_fault=faults.append)
    pairs, error = [], None
    with reader:
        try:
            for pair in reader:
                pairs.append(pair)
        except DataError as caught:
            error = caught.faults
    return pairs, faults, error, dict(reader.ignored), reader


def jump(source, start, **options):
    faults, pairs, error = [], [], None
    reader = positioned.PositionedReader(source, on_fault=faults.append, start=start, **options)
    with reader:
        try:
            for pair in reader:
                pairs.append(pair)
        except DataError as caught:
            error = caught.faults
    return pairs, faults, error, dict(reader.ignored), reader


@pytest.fixture(scope='module')
def tar() -> bytes:
    return tars.tar(*tars.pairs(IDS))


@pytest.fixture(scope='module')
def sources(tmp_path_factory, tar):
    folder = tmp_path_factory.mktemp('archives')
    (folder / 'sa_000001.tar').write_bytes(tar)
    (folder / 'sa_000002.tar').write_bytes(tars.zipped(tar))
    extracted = folder / 'sa_000003'
    extracted.mkdir()
    for pair in stream(Source(1, 'file', str(folder / 'sa_000001.tar')))[0]:
        (extracted / pair.image_name).write_bytes(pair.image)
        (extracted / pair.record_name).write_bytes(pair.record)
    return {
        'plain': Source(1, 'file', str(folder / 'sa_000001.tar')),
        'gzip': Source(2, 'file', str(folder / 'sa_000002.tar')),
        'folder': Source(3, 'folder', str(extracted)),
    }


@pytest.mark.parametrize('kind', ['plain', 'gzip', 'folder'])
@pytest.mark.parametrize('start', [0, 1, 13, 29, 30, 99])
def test_gives_what_is_left(sources, kind, start):
    whole = stream(sources[kind])[0]
    pairs, faults, error, _, reader = jump(sources[kind], start)
    assert pairs == whole[start:] and len(whole) == 30
    assert faults == [] and error is None
    assert reader.pairs == 30
    assert reader.by_position == (kind != 'gzip')


def test_goes_on_behind_a_link(tar):
    with fault_server.FaultServer() as server:
        url = server.serve('sa_000002.tar', tars.zipped(tar), cut_every=(20_000, 60_000))
        pairs = jump(Source(2, 'link', url), 11)[0]
    assert [pair.stem for pair in pairs] == [pair.stem for pair in jump_bytes_order(tar)[11:]]


def jump_bytes_order(tar):
    """The pairs of a tar in the order of their second halves, by a plain walk over its blocks."""
    seen, order, offset = {}, [], 0

    class Found:
        def __init__(self, stem):
            self.stem = stem

    while tar[offset : offset + 1] != b'\0':
        name = tar[offset : offset + 100].rstrip(b'\0').decode()
        size = int(tar[offset + 124 : offset + 135], 8)
        offset += 512 + size + -size % 512
        stem = name.rpartition('/')[2].partition('.')[0]
        if stem in seen:
            order.append(Found(stem))
        seen[stem] = True
    return order


def test_reads_of_a_plain_tar_only_what_is_asked_for(sources, monkeypatch):
    read = []
    read_at = positioned.PositionalFile.read_at
    monkeypatch.setattr(
        positioned.PositionalFile,
        'read_at',
        lambda self, offset, size: read.append(size) or read_at(self, offset, size),
    )
    jump(sources['plain'], 28)
    assert sum(size for size in read if 512 < size < 10_000) < 4 * 3100


@pytest.mark.parametrize('seed', range(40))
def test_faults_are_those_of_the_stream(tmp_path, seed):
    """Duplicates, lone halves, links, cuts and flipped headers, in random places."""
    rng = random.Random(seed)
    members = tars.pairs(range(1, 9), seed=seed)
    members += rng.sample(members, 2)
    members += [tars.member('./sa_77.json', b'{}'), tars.member('/sa_78.jpg', b'x')]
    members.append(tars.header(b'./sa_79.jpg', typeflag=b'1', linkname=b'./sa_1.jpg'))
    rng.shuffle(members)
    data = bytearray(tars.tar(*members))
    if seed % 4 == 1:
        del data[rng.randrange(len(data)) :]
    elif seed % 4 == 2:
        data[rng.randrange(len(data))] ^= 0x55
    elif seed % 4 == 3:
        data += b'rest'
    path = tmp_path / 'sa_000001.tar'
    path.write_bytes(data)
    source = Source(1, 'file', str(path))
    expected, found = stream(source), jump(source, 0)
    assert (found[0], found[1], found[3]) == (expected[0], expected[1], expected[3])
    assert where(found) == where(expected)
    middle = len(expected[0]) // 2
    later = jump(source, middle)
    assert later[0] == expected[0][middle:] and where(later) == where(expected)


def where(result):
    return [(fault.reason, fault.member) for fault in result[2] or ()]


def test_a_gzip_archive_is_told_by_its_bytes(tmp_path, tar):
    path = tmp_path / 'sa_000001.tar'
    path.write_bytes(gzip.compress(tar, 1))
    assert not positioned.is_plain_file(Source(1, 'file', str(path)))
    path.write_bytes(tar)
    assert positioned.is_plain_file(Source(1, 'file', str(path)))
    assert not positioned.is_plain_file(Source(1, 'link', 'https://example.com/a.tar'))
