"""Archives as streams of pairs: plain, gzip, folders, links; whole, damaged, hostile."""

import collections
import gzip
import hashlib
import io
import itertools
import json
import os
import pathlib
import pickle
import random
import tarfile
import threading
import tracemalloc

import fault_server
import pytest
import samples
import tars
from etils import epath
from hypothesis import given, settings
from hypothesis import strategies as st

from segment_anything_tfds.source.archive import chunks, locations, pair_stream, paths
from segment_anything_tfds.source.archive.pair_stream import Source
from segment_anything_tfds.source.faults import DataError, Fault
from segment_anything_tfds.source.remote import fetch, links_file

Result = collections.namedtuple('Result', 'pairs faults reader error')


@pytest.fixture(params=['isal', 'zlib'])
def gzip_library(request, monkeypatch):
    if request.param == 'zlib':
        monkeypatch.setattr(chunks, 'igzip_lib', None)
    elif chunks.igzip_lib is None:
        pytest.skip('no isal here')
    return request.param


def read(source, **kwargs) -> Result:
    """All that one archive gives, an error that ends it included."""
    pairs, faults, error = {}, [], None
    with pair_stream.open_archive(source, on_fault=faults.append, **kwargs) as reader:
        try:
            for pair in reader:
                assert pair.stem not in pairs
                pairs[pair.stem] = pair
        except DataError as caught:
            error = caught
    return Result(pairs, faults, reader, error)


@pytest.fixture
def read_bytes(tmp_path):
    def run(data: bytes, **kwargs) -> Result:
        path = tmp_path / 'sa_000020.tar'
        path.write_bytes(data)
        return read(Source(20, 'file', str(path)), **kwargs)

    return run


def assert_whole(result: Result, ids, size: int = 3000):
    assert result.error is None
    assert result.faults == []
    assert set(result.pairs) == {f'sa_{image_id}' for image_id in ids}
    for image_id in ids:
        pair = result.pairs[f'sa_{image_id}']
        noise = random.Random(image_id).randbytes(size)
        assert pair.image == b'image %d' % image_id + noise
        assert json.loads(pair.record) == {'id': image_id}
        assert pair.image_name.lower().startswith(f'sa_{image_id}.jp')


def fault(result: Result) -> Fault:
    """The one fault that ended an archive."""
    assert result.error is not None, 'the archive was taken for whole'
    (only,) = result.error.faults
    assert only.archive == 'sa_000020'
    return only


IDS = range(100, 140)
TAR = tars.tar(tars.member('.', typeflag=b'5'), *tars.pairs(IDS))


# Whole archives.


@pytest.mark.parametrize('level', [None, 0, 1, 6, 9])
def test_plain_and_gzip(read_bytes, gzip_library, level):
    data = TAR if level is None else tars.zipped(TAR, level)
    seen = []
    result = read_bytes(data, want_digest=True, on_bytes=seen.append)
    assert_whole(result, IDS)
    assert result.reader.bytes_read == sum(seen) == len(data)
    assert result.reader.md5 == hashlib.md5(data).hexdigest()
    assert result.reader.ignored == {}
    assert result.reader.pairs == len(IDS)


def test_real_pairs_written_by_tarfile(tmp_path):
    files = samples.members(1, 5)
    for compressed in (True, False):
        samples.write_archive(tmp_path / 'sa_000000.tar', files, gzip=compressed)
        result = read(Source(0, 'file', str(tmp_path / 'sa_000000.tar')))
        assert result.error is None and len(result.pairs) == 5
        for pair in result.pairs.values():
            assert pair.image == files[f'./{pair.image_name}']
            assert pair.record == files[f'./{pair.record_name}']


def test_no_digest_unless_wanted(read_bytes):
    assert read_bytes(TAR).reader.md5 is None
    assert read_bytes(tars.zipped(TAR), want_digest=False).reader.md5 is None


@pytest.mark.parametrize('read_size', [1, 7, 1000])
@pytest.mark.parametrize('compressed', [False, True])
def test_chunks_of_any_size(read_bytes, gzip_library, monkeypatch, read_size, compressed):
    monkeypatch.setattr(chunks, 'READ_SIZE', read_size)
    monkeypatch.setattr(chunks, 'CHUNK_SIZE', read_size)
    data = tars.tar(*tars.pairs(range(3), size=300))
    assert_whole(read_bytes(tars.zipped(data) if compressed else data), range(3), size=300)


def test_gzip_in_several_members_and_padded(read_bytes, gzip_library):
    pieces = [TAR[:1], TAR[1:700], TAR[700:50_000], b'', TAR[50_000:]]
    assert_whole(read_bytes(b''.join(map(tars.zipped, pieces)) + bytes(1000)), IDS)


@pytest.mark.parametrize('folder', ['', './', 'sa_000020/', 'a/b/c/', './images/'])
def test_folders_inside(read_bytes, folder):
    assert_whole(read_bytes(tars.tar(*tars.pairs(range(5), folder=folder))), range(5))


@pytest.mark.parametrize('suffix', ['JPG', 'jpeg', 'Jpeg', 'JPEG'])
def test_other_spellings(read_bytes, suffix):
    data = tars.tar(tars.member('SA_1.JSON', b'{"id": 1}'), tars.member(f'sa_1.{suffix}', b'i'))
    result = read_bytes(data)
    assert result.error is None and result.faults == []
    assert result.pairs['sa_1'].image_name == f'sa_1.{suffix}'
    assert result.pairs['sa_1'].record_name == 'SA_1.JSON'


def test_empty_halves_are_halves(read_bytes):
    result = read_bytes(tars.tar(tars.member('sa_1.json'), tars.member('sa_1.jpg')))
    assert result.pairs['sa_1'].image == result.pairs['sa_1'].record == b''


@pytest.mark.parametrize('form', [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_formats_and_long_names(read_bytes, form):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode='w', format=form) as tar:
        for folder in ('d' * 90, 'd' * 90 + '/' + 'e' * 60, 'ü' * 40):
            for suffix, data in (('jpg', b'i'), ('json', b'{}')):
                info = tarfile.TarInfo(f'{folder}/sa_{len(folder)}.{suffix}')
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    result = read_bytes(out.getvalue())
    assert set(result.pairs) == {'sa_90', 'sa_151', 'sa_40'}
    assert result.faults == [] and result.error is None


def test_long_names_in_extended_headers(read_bytes):
    long = b'x' * 300 + b'/sa_1.jpg'
    data = tars.tar(
        tars.pax({'comment': b'for all'}, b'g'),
        tars.member('././@LongLink', long + b'\0', b'L'),
        tars.member('././@LongLink', b'target\0', b'K'),
        tars.member('cut short', b'image'),
        tars.pax({'path': 'ü/sa_1.json'.encode(), 'mtime': b'1.5'}),
        tars.member('cut short', b'{}'),
        tars.pax({'size': b'3'}),
        tars.header(b'sa_2.jpg', 0) + b'two' + bytes(509),
        tars.member('sa_2.json', b'{}'),
    )
    result = read_bytes(data)
    assert result.error is None and result.faults == []
    assert result.pairs['sa_1'].image == b'image'
    assert result.pairs['sa_2'].image == b'two'


def test_header_variants(read_bytes):
    """Before ustar; signed sums; sizes in base 256; a contiguous file; padded digits."""
    base256 = b'\x80' + (4).to_bytes(11, 'big')
    data = tars.tar(
        tars.member('sa_1.jpg', b'old1', b'\0', magic=b''),
        tars.member(b'\xff\xfe/sa_1.json', b'{}', signed=True),
        tars.member('sa_2.jpg', b'base', size_field=base256),
        tars.member('sa_2.json', b'{}', b'7', size_field=b'         2 \0'),
        tars.member('sa_3.jpg', b'pref', prefix=b'folder/in/prefix'),
        tars.member('sa_3.json', b'{}', magic=b'ustar  \0', prefix=b'\x01\x02times'),
    )
    result = read_bytes(data)
    assert result.error is None and result.faults == []
    assert [result.pairs[f'sa_{i}'].image for i in (1, 2, 3)] == [b'old1', b'base', b'pref']


def test_members_passed_over_are_counted(read_bytes):
    data = tars.tar(
        *tars.pairs(range(3)),
        tars.member('._sa_1.jpg', b'resource'),
        tars.member('__MACOSX/._sa_1.json', b'resource'),
        tars.member('../sa_50.jpg', b'out'),
        tars.member('a/../../sa_50.json', b'out'),
        tars.member('..\\sa_50.json', b'out'),
        tars.member('/etc/sa_51.jpg', b'out'),
        tars.member('C:\\sa_51.json', b'out'),
        tars.member('sa_52.jpg', typeflag=b'2', linkname=b'/etc/passwd'),
        tars.member('sa_52.json', typeflag=b'1', linkname=b'sa_1.json'),
        tars.member('sa_53.jpg', typeflag=b'3'),
        tars.member('sa_53.json', typeflag=b'6'),
        tars.member('readme.txt', b'hello'),
        tars.member('sa_54.png', b'image'),
        tars.member('sa_.jpg', b'image'),
        tars.member('xsa_55.jpg', b'image'),
        tars.member('sa_56.jpg', b'odd', b'V'),
        tars.member('folder/', typeflag=b'0'),
    )
    result = read_bytes(data)
    assert result.error is None and set(result.pairs) == {'sa_51', 'sa_0', 'sa_1', 'sa_2'}
    assert result.pairs['sa_51'].image == b'out'  # a base name is all that is used of a name
    assert result.reader.ignored == {
        'resource_fork': 2,
        'parent': 3,
        'link': 1,
        'hard_link': 1,
        'device': 2,
        'other': 5,
    }
    assert {(fault.member, fault.reason) for fault in result.faults} == {
        ('sa_50.jpg', 'member_unreadable'),
        ('sa_50.json', 'member_unreadable'),
        ('sa_52.jpg', 'member_link'),
        ('sa_52.json', 'member_link'),
        ('sa_53.jpg', 'member_unreadable'),
        ('sa_53.json', 'member_unreadable'),
        ('sa_56.jpg', 'member_unreadable'),
    }
    assert any('got a hard link, which is not followed' in fault.detail for fault in result.faults)


@pytest.mark.parametrize('old', [True, False])
def test_sparse_members_are_faults(read_bytes, old):
    if old:
        sparse = bytearray(tars.header(b'sa_9.jpg', 512, b'S', magic=b'ustar  \0'))
        sparse[482] = 1  # one more block of the map follows
        total = sum(sparse[:148] + sparse[156:]) + 256
        sparse[148:156] = b'%06o\0 ' % total
        sparse = bytes(sparse) + bytes(512) + b'x' * 512
    else:
        sparse = tars.pax({'GNU.sparse.major': b'1'}) + tars.member('sa_9.jpg', b'map')
    result = read_bytes(tars.tar(sparse, tars.member('sa_9.json', b'{}'), *tars.pairs(range(3))))
    assert result.error is None and len(result.pairs) == 3
    assert result.reader.ignored == {'sparse': 1}
    assert [(fault.member, fault.reason) for fault in result.faults] == [
        ('sa_9.jpg', 'member_unreadable')  # and nothing of its record, which is there
    ]
    assert 'got a sparse file' in result.faults[0].detail


def test_links_claim_no_contents(read_bytes):
    """A size in the header of a link or a folder is not followed by that many bytes."""
    link = tars.header(b'readme', 5000, b'1', linkname=b'x')
    folder = tars.header(b'folder', 5000, b'5')
    assert_whole(read_bytes(tars.tar(link, folder, *tars.pairs(range(3)))), range(3))


# Faults of members: the rest is read.


@pytest.mark.parametrize(('kept', 'missing'), [('jpg', 'record'), ('json', 'image')])
def test_one_half_missing(read_bytes, kept, missing):
    result = read_bytes(tars.tar(*tars.pairs(range(3)), tars.member(f'sa_9.{kept}', b'alone')))
    assert result.error is None and len(result.pairs) == 3
    (only,) = result.faults
    assert (only.reason, only.member) == (f'{missing}_missing', f'sa_9.{kept}')
    assert f'expected the {missing} of sa_9' in only.detail
    assert result.reader.faults == 1


@pytest.mark.parametrize('again', ['sa_1.jpg', 'other/sa_1.jpeg', 'sa_1.json'])
@pytest.mark.parametrize('late', [True, False])
def test_the_same_half_twice(read_bytes, again, late):
    twice = tars.member(again, b'second')
    pair = [tars.member('sa_1.jpg', b'first'), tars.member('sa_1.json', b'first')]
    place = 2 if late else 1 + again.endswith('json')
    pair.insert(place, twice)
    result = read_bytes(tars.tar(*pair))
    assert result.error is None
    assert result.pairs['sa_1'].image == result.pairs['sa_1'].record == b'first'
    (only,) = result.faults
    assert (only.reason, only.member) == ('member_duplicate', again.rpartition('/')[2])
    assert 'of sa_1; got a second one' in only.detail


def test_faults_come_at_once(read_bytes, tmp_path):
    path = tmp_path / 'sa_000020.tar'
    twice = [tars.member('sa_1.jpg', b'1')] * 2
    path.write_bytes(tars.tar(*twice, *tars.pairs(range(5, 9))))
    faults = []
    with pair_stream.open_archive(Source(20, 'file', str(path)), on_fault=faults.append) as reader:
        next(iter(reader))
        assert [fault.reason for fault in faults] == ['member_duplicate']


@pytest.mark.parametrize('kind', ['jpg', 'json'])
def test_members_too_large_are_not_read(read_bytes, monkeypatch, kind):
    monkeypatch.setattr(pair_stream, 'IMAGE_LIMIT' if kind == 'jpg' else 'RECORD_LIMIT', 10_000)
    large = tars.member(f'sa_9.{kind}', bytes(10_001))
    other = tars.member(f'sa_9.{"json" if kind == "jpg" else "jpg"}', b'{}')
    result = read_bytes(tars.tar(large, *tars.pairs(range(3)), other))
    assert result.error is None and len(result.pairs) == 3
    (only,) = result.faults
    assert (only.reason, only.member) == ('member_too_large', f'sa_9.{kind}')
    assert 'at most 10,000 bytes; got 10,001' in only.detail


def test_a_fault_may_end_the_reading(tmp_path):
    """An error that `on_fault` raises comes through, and leaves no thread behind."""
    path = tmp_path / 'sa_000020.tar'
    path.write_bytes(tars.zipped(tars.tar(*[tars.member('sa_1.jpg', b'1')] * 2)))

    def refuse(fault):
        raise DataError([fault])

    source = Source(20, 'file', str(path))
    with (
        pytest.raises(DataError, match='member_duplicate'),
        pair_stream.open_archive(source, on_fault=refuse) as reader,
    ):
        list(reader)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith('sa1b')]


# Archives that cannot be used.


@pytest.mark.parametrize('compressed', [False, True])
@pytest.mark.parametrize('share', [0.0, 0.001, 0.01, 0.3, 0.5, 0.9, 0.999])
def test_truncated(read_bytes, gzip_library, compressed, share):
    data = tars.zipped(TAR) if compressed else TAR[: -len(tars.END)]
    result = read_bytes(data[: int(len(data) * share)])
    only = fault(result)
    assert only.reason == 'archive_truncated'
    assert 'got' in only.detail and 'Download the archive again' in only.detail
    assert {fault.reason for fault in result.faults} <= {'image_missing', 'record_missing'}
    assert share < 0.3 or only.member.startswith('sa_1')
    if not compressed:  # every half that is there is given or reported
        ends = itertools.accumulate(map(len, [tars.member('.', typeflag=b'5'), *tars.pairs(IDS)]))
        padded = [end - 512 + 1 for end in ends]
        there = sum(end <= int(len(data) * share) for end in padded[1:])
        assert 2 * len(result.pairs) + len(result.faults) in (there, there + 1)


def test_truncated_between_members(read_bytes):
    """No end marker: nothing else says that the rest is missing."""
    result = read_bytes(b''.join(tars.pairs(range(3))))
    assert fault(result).reason == 'archive_truncated'
    assert 'expected a header or the end marker' in fault(result).detail
    assert len(result.pairs) == 3


def test_one_block_of_zeros_is_an_end_marker(read_bytes):
    assert_whole(read_bytes(b''.join(tars.pairs(range(3))) + bytes(512)), range(3))


def test_every_flipped_bit_of_gzip_is_found(read_bytes, gzip_library):
    """Of 1,000 random ones, or else it lies where it changes nothing, as between two blocks."""
    data = tars.zipped(tars.tar(*tars.pairs(range(20), size=200)), level=6)
    whole = read_bytes(data).pairs
    chance = random.Random(3)
    missed = 0
    for _ in range(1000):
        position = chance.randrange(len(data))
        flipped = bytearray(data)
        flipped[position] ^= 1 << chance.randrange(8)
        result = read_bytes(bytes(flipped))
        assert result.error is not None or result.pairs == whole
        missed += result.error is None
    assert missed < 10


def test_flip_after_the_end_marker_is_found(read_bytes, gzip_library):
    data = bytearray(tars.zipped(TAR))
    data[-5] ^= 1  # in the checksum
    result = read_bytes(bytes(data))
    assert fault(result).reason == 'archive_corrupt'
    data[-5] ^= 1
    data[-1] ^= 1  # in the length
    assert fault(read_bytes(bytes(data))).reason in ('archive_corrupt', 'archive_truncated')


@pytest.mark.parametrize('tail', [b'garbage', bytes(600) + b'\x01', b'\x1f', b'\x1f\x8b\x08'])
@pytest.mark.parametrize('compressed', [False, True])
def test_bytes_after_the_end(read_bytes, gzip_library, tail, compressed):
    result = read_bytes((tars.zipped(TAR) if compressed else TAR) + tail)
    assert fault(result).reason in (
        ('archive_trailing_data', 'archive_truncated') if compressed else ('archive_trailing_data',)
    )
    assert len(result.pairs) == len(IDS)


def test_second_tar_after_the_end(read_bytes):
    """Appended with `cat`: its members are not lost without a word."""
    result = read_bytes(tars.tar(*tars.pairs(range(3))) + tars.tar(*tars.pairs(range(5, 8))))
    assert fault(result).reason == 'archive_trailing_data'
    assert 'expected nothing but zeros after the end marker' in fault(result).detail


def test_damaged_header_in_the_middle(read_bytes):
    members = tars.pairs(range(20), size=2000)
    data = bytearray(tars.tar(*members))
    data[sum(map(len, members[:10])) + 5] ^= 1
    result = read_bytes(bytes(data))
    assert fault(result).reason == 'archive_header'
    assert f'at byte {sum(map(len, members[:10])):,}' in fault(result).detail
    assert 'expected a tar header' in fault(result).detail


@pytest.mark.parametrize(
    'bad',
    [
        tars.member('x', b'9' * 30 + b' path=a\n', b'x'),
        tars.member('x', b'0 path=a\n', b'x'),
        tars.member('x', b'5\n', b'x'),
        tars.pax({'size': b'-5'}) + tars.member('sa_1.jpg'),
        tars.pax({'size': b'9' * 30}) + tars.member('sa_1.jpg'),
        tars.header(b'x', 1 << 21, b'L') + bytes(1 << 21),
        tars.header(b'x', size_field=b'zzz\0'),
    ],
)
def test_bad_headers(read_bytes, bad):
    assert fault(read_bytes(tars.tar(bad))).reason in ('archive_header', 'archive_not_tar')
    result = read_bytes(tars.tar(*tars.pairs(range(3)), bad))
    assert fault(result).reason == 'archive_header'
    assert len(result.pairs) == 3


@pytest.mark.parametrize('size', [10 << 30, 1 << 60, (1 << 88) - 1])
def test_claim_of_10_gb_is_bounded(read_bytes, size):
    claim = tars.header(b'sa_9.jpg', size_field=b'\x80' + size.to_bytes(11, 'big'))
    tracemalloc.start()
    result = read_bytes(tars.tar(*tars.pairs(range(3)), claim))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert fault(result).reason == 'archive_truncated'
    assert fault(result).member == 'sa_9.jpg'
    assert [fault.reason for fault in result.faults] == ['member_too_large']
    assert len(result.pairs) == 3
    assert peak < 16 << 20


def test_gzip_bomb_is_bounded(read_bytes, gzip_library, monkeypatch):
    monkeypatch.setattr(chunks, 'BOMB_SIZE', 32 << 20)
    bomb = tars.header(b'sa_9.jpg', 60 << 20) + bytes(60 << 20)
    data = gzip.compress(tars.tar(*tars.pairs(range(3)), bomb), 9)
    tracemalloc.start()
    result = read_bytes(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert fault(result).reason == 'archive_bomb'
    assert 'at most 100 times as many bytes' in fault(result).detail
    assert peak < 128 << 20


def test_web_page_saved_as_archive(read_bytes):
    url = f'https://example.com/a.tar?oh={fault_server.SECRET}&oe=1'
    page = fault_server.PAGE.replace(b'Log', f'<a href="{url}">{url}</a> Log'.encode())
    only = fault(read_bytes(page))
    assert only.reason == 'archive_not_tar'
    assert 'text, probably what a server answered: "Sorry https://example.com/' in only.detail
    assert 'Log in first' in only.detail
    assert fault_server.SECRET not in str(only)
    assert 'Log in first' in fault(read_bytes(tars.zipped(page))).detail


@pytest.mark.parametrize(
    ('data', 'text'),
    [
        (b'URL signature expired', '"URL signature expired"'),
        (b'{"error": "no"}', 'no'),
        (b'PK\x03\x04' + bytes(600), 'a zip file'),
        (samples.jpeg(1), 'a JPEG'),
        (tars.zipped(tars.zipped(TAR)), 'gzip inside gzip'),
        (random.Random(0).randbytes(5000), 'bytes that begin'),
        (bytes(511) + b'\1', 'bytes that begin'),
    ],
)
def test_no_archive(read_bytes, data, text):
    only = fault(read_bytes(data))
    assert only.reason == 'archive_not_tar'
    assert 'expected a tar, plain or gzip; got' in only.detail
    assert text in only.detail


def test_no_bytes(read_bytes):
    assert 'got 0 bytes in all' in fault(read_bytes(b'')).detail


@pytest.mark.parametrize('members', [[], [tars.member('a.txt', b'x'), tars.member('../sa_1.jpg')]])
def test_no_pairs(read_bytes, members):
    only = fault(read_bytes(tars.tar(*members)))
    assert only.reason == 'archive_empty'
    assert 'got none' in only.detail
    assert ('1 other, 1 parent' in only.detail) == bool(members)


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        read(Source(1, 'file', str(tmp_path / 'none.tar')))


@pytest.mark.parametrize('compressed', [False, True])
@pytest.mark.parametrize('damage', ['middle', 'cut', 'tail', 'start'])
def test_digest_of_a_damaged_archive(read_bytes, gzip_library, monkeypatch, compressed, damage):
    """A copy known to be corrupt is known by its digest, so that is computed all the same."""
    monkeypatch.setattr(chunks, 'READ_SIZE', 5000)
    data = tars.tar(*tars.pairs(range(20)))
    data = bytearray(tars.zipped(data) if compressed else data)
    if damage == 'middle':
        data[20_000:30_000] = random.Random(1).randbytes(10_000)
    elif damage == 'cut':
        del data[50_000:]
    elif damage == 'tail':
        data += b'garbage' * 3000
    else:
        data[:600] = random.Random(1).randbytes(600)
    seen = []
    result = read_bytes(bytes(data), want_digest=True, on_bytes=seen.append)
    assert result.error is not None
    assert result.reader.md5 == hashlib.md5(data).hexdigest()
    assert result.reader.bytes_read == sum(seen) == len(data)


# Halves that wait.


@pytest.mark.parametrize('budget', [0, 5000, 1 << 30])
def test_memory_is_bounded_and_nothing_stays(read_bytes, tmp_path, budget):
    count, size = 60, 200_000
    images = [tars.member(f'sa_{i}.jpg', bytes([i]) * size) for i in range(count)]
    records = [tars.member(f'sa_{i}.json', b'%d' % i * i) for i in range(count)]
    random.Random(1).shuffle(records)
    spool = tmp_path / 'spool'
    spool.mkdir()
    path = tmp_path / 'sa_000020.tar'
    path.write_bytes(tars.tar(*images, *records))
    seen, faults = set(), []
    source = Source(20, 'file', str(path))
    options = {'spool_dir': str(spool), 'spool_budget': budget}
    with pair_stream.open_archive(source, on_fault=faults.append, **options) as reader:
        for pair in reader:
            image_id = int(pair.stem[3:])
            assert pair.image == bytes([image_id]) * size
            assert pair.record == b'%d' % image_id * image_id
            assert reader._waiting._held <= budget
            seen.add(image_id)
            assert list(spool.iterdir()) == []  # the file has no name
    assert len(seen) == count and faults == []


def test_spool_uses_freed_room_again():
    waiting = pair_stream.waiting.Waiting(0)
    chance = random.Random(2)
    kept = {}
    for step in range(3000):
        if kept and chance.random() < 0.5:
            key = chance.choice(sorted(kept))
            assert waiting.pop(key) == kept.pop(key)
        elif len(kept) < 5:
            kept[step] = chance.randbytes(chance.randint(0, 300_000))
            waiting.put(step, kept[step])
    assert len(waiting) == len(kept)
    assert waiting._spool._blocks <= 5 * 5
    waiting.close()


def test_full_disk_is_explained(tmp_path):
    if not os.path.exists('/dev/full'):
        pytest.skip('no /dev/full')
    spool = pair_stream.waiting.Spool(str(tmp_path))
    with open('/dev/full', 'r+b', buffering=0) as full:
        spool._file = full
        text = r'expected room for images .* "No space left.*TMPDIR'
        with pytest.raises(OSError, match=text) as e:
            spool.put(b'x' * 1000)
    assert str(tmp_path) in str(e.value)


def test_pair_comes_as_soon_as_it_is_whole(tmp_path):
    path = tmp_path / 'sa_000020.tar'
    path.write_bytes(tars.member('sa_1.jpg', b'i') + tars.member('sa_1.json', b'r') + b'rubbish')
    source = Source(20, 'file', str(path))
    with pair_stream.open_archive(source, on_fault=print) as reader:
        assert next(iter(reader)).stem == 'sa_1'


def test_read_once(read_bytes):
    result = read_bytes(TAR)
    with pytest.raises(ValueError, match=r'expected one iteration; got a second one over Source'):
        list(result.reader)


def test_stopping_early_leaves_no_thread(read_bytes, tmp_path):
    path = tmp_path / 'sa_000020.tar'
    path.write_bytes(tars.zipped(tars.tar(*tars.pairs(range(50), size=500_000)), 0))
    for want_digest in (False, True):
        source = Source(20, 'file', str(path))
        with pair_stream.open_archive(source, on_fault=print, want_digest=want_digest) as reader:
            next(iter(reader))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith('sa1b')]


# Folders.


def test_folder(tmp_path):
    folder = tmp_path / 'sa_000020'
    for part in ('images', 'annotations/deep'):
        (folder / part).mkdir(parents=True)
    for image_id in (9, 10, 2):
        (folder / 'images' / f'sa_{image_id}.jpg').write_bytes(b'image %d' % image_id)
        (folder / 'annotations/deep' / f'sa_{image_id}.json').write_bytes(b'{}')
    (folder / 'images' / '._sa_9.jpg').write_bytes(b'resource')
    (folder / 'sa_77.json').write_bytes(b'{}')
    (folder / 'sa_88.jpg').symlink_to('/etc/passwd')
    (folder / 'loop').symlink_to(folder)
    (folder / 'readme.txt').write_bytes(b'hello')
    os.mkfifo(folder / 'sa_99.jpg')
    seen = []
    result = read(Source(20, 'folder', str(folder)), want_digest=True, on_bytes=seen.append)
    assert list(result.pairs) == ['sa_2', 'sa_9', 'sa_10']
    assert [pair.image for pair in result.pairs.values()] == [b'image 2', b'image 9', b'image 10']
    assert sorted((fault.reason, fault.member) for fault in result.faults) == [
        ('image_missing', 'sa_77.json'),
        ('member_link', 'loop'),
        ('member_link', 'sa_88.jpg'),
        ('member_unreadable', 'sa_99.jpg'),
    ]
    ignored = {'resource_fork': 1, 'link': 2, 'other': 1, 'device': 1}
    assert result.reader.ignored == ignored
    assert result.reader.bytes_read == sum(seen) == 7 + 7 + 8 + 4 * 2
    assert result.reader.md5 is None


def test_folder_without_pairs(tmp_path):
    assert fault(read(Source(20, 'folder', str(tmp_path)))).reason == 'archive_empty'


# Links.


@pytest.fixture
def server(monkeypatch):
    quick = fetch.Patience(attempts=20, first_delay=0.001, longest_delay=0.002)
    monkeypatch.setattr(fetch, 'Patience', lambda: quick)
    with fault_server.FaultServer() as running:
        yield running


@pytest.mark.parametrize('compressed', [False, True])
def test_link_through_every_fault(server, gzip_library, compressed):
    """Cut at random offsets, throttled, busy, resets: into the same decompressor."""
    data = tars.tar(*tars.pairs(range(30), size=20_000))
    data = tars.zipped(data) if compressed else data
    url = server.serve(
        'sa_000020.tar',
        data,
        cut_every=(20_000, 300_000),
        reset=True,
        rate=5_000_000,
        statuses=[(503, {'Retry-After': '0'}, b'busy'), (429, {}, b'')],
    )
    result = read(Source(20, 'link', url), want_digest=True)
    assert_whole(result, range(30), size=20_000)
    assert result.reader.bytes_read == len(data)
    assert result.reader.md5 == hashlib.md5(data).hexdigest()


def test_link_cut_for_good(server):
    url = server.serve('sa_000020.tar', tars.zipped(TAR), cuts=[50_000], statuses=[])
    server.objects['sa_000020.tar'].after = 1
    server.objects['sa_000020.tar'].changed = fault_server.Served(b'', statuses=[(404, {}, b'')])
    with pytest.raises(
        fetch.FetchError, match=r'bytes of sa_000020 from 50,000 on; got status 404'
    ):
        read(Source(20, 'link', url))


def test_link_to_a_changed_object_and_to_a_page(server):
    url = server.serve('sa_000020.tar', TAR, cuts=[50_000], after=1)
    server.objects['sa_000020.tar'].changed = fault_server.Served(TAR, etag='"v2"')
    with pytest.raises(fetch.FetchError, match='got another object'):
        read(Source(20, 'link', url))
    url = server.serve('sa_000020.tar', fault_server.PAGE)
    with pytest.raises(fetch.FetchError, match='got a web page: "Sorry Log in first"'):
        read(Source(20, 'link', url))


def test_leaving_a_link_that_waits(server, monkeypatch):
    busy = fault_server.Served(b'', statuses=[(503, {'Retry-After': '500'}, b'')] * 9)
    url = server.serve('sa_000020.tar', TAR, cuts=[90_000], after=1, changed=busy)
    monkeypatch.setattr(chunks, 'READ_SIZE', 20_000)
    with pair_stream.open_archive(Source(20, 'link', url), on_fault=print) as reader:
        next(iter(reader))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith('sa1b')]


# Where archives are.


def test_source_hides_its_query_and_travels():
    url = f'https://user:pw@example.com/m1/a.tar?oh={fault_server.SECRET}#x'
    source = Source(20, 'link', url)
    assert repr(source) == str(source) == "Source(20, 'link', 'https://example.com/m1/a.tar')"
    assert pickle.loads(pickle.dumps(source)) == source
    assert source.name == 'sa_000020'
    assert source.identity() == 'link sa_000020'
    assert fault_server.SECRET not in f'{source!r} {source} {source.shown} {source.identity()}'


def test_identity_follows_the_data(tmp_path):
    path = tmp_path / 'sa_000020.tar'
    path.write_bytes(TAR)
    os.utime(path, (1000, 1000))
    source = Source(20, 'file', str(path))
    assert source.identity() == f'file sa_000020.tar {len(TAR)} 1000000000000'
    os.utime(path, ns=(0, 1_000_000_000_001))  # replaced within the same second
    assert source.identity() == f'file sa_000020.tar {len(TAR)} 1000000000001'
    folder = tmp_path / 'sa_000021'
    folder.mkdir()
    (folder / 'sa_1.jpg').write_bytes(b'123')
    os.utime(folder / 'sa_1.jpg', (5, 5))
    assert Source(21, 'folder', str(folder)).identity() == 'folder sa_000021 1 3 5000000000'


def links_to(*numbers):
    rows = [f'sa_{number:06d}.tar\thttps://example.com/{number}?oe=1' for number in numbers]
    return links_file.parse('\n'.join(rows))


@pytest.fixture
def manual_dir(tmp_path):
    for name in ('sa_000020.tar', 'sa_000021.tar', 'sa_000022.tar.gz', 'sa_000022.tgz'):
        (tmp_path / name).write_bytes(b'tar')
    for name in ('sa_000024.tar.part', 'sa_24.tar', 'sa_000025.TAR', 'other.tar'):
        (tmp_path / name).write_bytes(b'')
    for name in ('sa_000021', 'sa_000023/images', 'sa_000020', 'sa_000026.tar'):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / 'sa_000021/sa_5.jpg').write_bytes(b'')
    (tmp_path / 'sa_000023/images/sa_5.JPG').write_bytes(b'')
    return tmp_path


def test_locate_prefers_files_to_folders_to_links(manual_dir):
    """An empty folder is no extracted archive, and a folder named `.tar` is no file."""
    found = locations.locate(manual_dir, links_to(21, 30, 22, 7, 26))
    assert [(s.number, s.kind, os.path.basename(s.location)) for s in found] == [
        (7, 'link', '7?oe=1'),
        (20, 'file', 'sa_000020.tar'),
        (21, 'file', 'sa_000021.tar'),
        (22, 'file', 'sa_000022.tar.gz'),
        (23, 'folder', 'sa_000023'),
        (26, 'link', '26?oe=1'),
        (30, 'link', '30?oe=1'),
    ]
    assert pair_stream.locate is locations.locate


def test_extracted_folder_beside_an_empty_file(manual_dir):
    (manual_dir / 'sa_000021.tar').write_bytes(b'')
    (source,) = locations.locate(manual_dir, links_to(21), [21])
    assert (source.kind, os.path.basename(source.location)) == ('folder', 'sa_000021')


@pytest.mark.parametrize('defect', ['empty', 'dangling'])
def test_locate_passes_over_what_holds_nothing(defect, tmp_path, caplog):
    """It would otherwise hide a whole archive beside it, or its link."""
    for number in (1, 2, 3):
        path = tmp_path / f'sa_{number:06d}.tar'
        path.touch() if defect == 'empty' else path.symlink_to(tmp_path / 'none')
    (tmp_path / 'sa_000001.tgz').write_bytes(b'tar')
    found = pair_stream.locate(tmp_path, links_to(2), [1, 2])
    assert [(s.kind, os.path.basename(s.location)) for s in found] == [
        ('file', 'sa_000001.tgz'),
        ('link', '2?oe=1'),
    ]
    why = {'empty': 'is empty', 'dangling': 'cannot be read (No such file or directory)'}[defect]
    for number in (1, 2):
        assert f'sa_{number:06d}.tar {why} and is passed over.' in caplog.text
    if defect == 'dangling':
        with pytest.raises(ValueError, match='got none of 3'):
            pair_stream.locate(tmp_path, links_to(2), [3])
        return
    (source,) = pair_stream.locate(tmp_path, links_to(2), [3])
    assert 'sa_000003.tar is' not in caplog.text
    with (
        pytest.raises(DataError, match='sa_000003: expected a tar; got 0 bytes in all'),
        pair_stream.open_archive(source, on_fault=print) as reader,
    ):
        list(reader)


def test_locate_a_selection(manual_dir):
    found = pair_stream.locate(str(manual_dir), links_to(7), [23, 7, 20, 20])
    assert [source.number for source in found] == [7, 20, 23]
    assert [s.kind for s in pair_stream.locate(None, links_to(1, 2))] == ['link', 'link']
    assert [s.number for s in pair_stream.locate(manual_dir, None, (20,))] == [20]
    assert [s.kind for s in pair_stream.locate(manual_dir / 'none', links_to(1))] == ['link']


def test_locate_says_what_is_missing(manual_dir):
    with pytest.raises(
        ValueError,
        match=r'expected every archive of `selection` .* got none of 1-2\+30 \(4 archives present '
        r'in .*, 1 links\)\. Get a new links file',
    ) as caught:
        pair_stream.locate(manual_dir, links_to(7), [1, 2, 7, 20, 30])
    assert str(manual_dir) in str(caught.value)
    with pytest.raises(ValueError, match='got no archive at all'):
        pair_stream.locate(manual_dir / 'none', None)
    with pytest.raises(ValueError, match=r'no archive at all .*\(0 archives present in nowhere'):
        pair_stream.locate(None, None)


@pytest.fixture
def as_bucket(monkeypatch):
    """Reads local paths the way that `gs://` and `s3://` are read."""
    monkeypatch.setattr(paths, 'open_path', epath.Path)


def test_buckets(as_bucket, manual_dir):
    assert not isinstance(epath.Path(manual_dir), pathlib.Path)
    found = locations.locate(manual_dir, None)
    assert [(s.number, s.kind) for s in found] == [
        (20, 'file'),
        (21, 'file'),
        (22, 'file'),
        (23, 'folder'),
    ]
    (manual_dir / 'sa_000020.tar').write_bytes(tars.zipped(TAR))
    os.utime(manual_dir / 'sa_000020.tar', (1000, 1000))
    assert_whole(read(found[0], want_digest=True), IDS)
    assert found[0].identity() == f'file sa_000020.tar {len(tars.zipped(TAR))} 1000000000000'
    (manual_dir / 'sa_000023/annotations').mkdir()
    (manual_dir / 'sa_000023/annotations/sa_5.json').write_bytes(b'{}')
    result = read(found[3])
    assert list(result.pairs) == ['sa_5'] and result.error is None


def test_paths_of_buckets_go_to_epath():
    path = paths.open_path('gs://bucket/sa_000020.tar')
    assert isinstance(path, epath.Path) and os.fspath(path) == 'gs://bucket/sa_000020.tar'
    assert isinstance(paths.open_path('/x/sa_000020.tar'), pathlib.Path)


# Properties.


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_any_order_any_chunks_any_budget(tmp_path_factory, data):
    """What comes out depends on the members alone."""
    ids = data.draw(st.sets(st.integers(0, 10**18), max_size=8))
    halves = [(i, kind) for i in sorted(ids) for kind in ('jpg', 'json')]
    halves = data.draw(st.permutations(halves))
    halves = halves[: data.draw(st.integers(0, len(halves)))]
    contents = {half: data.draw(st.binary(max_size=2000)) for half in halves}
    folder = data.draw(st.sampled_from(['', './', 'x/']))
    body = tars.tar(*[tars.member(f'{folder}sa_{i}.{k}', contents[i, k]) for i, k in halves])
    if data.draw(st.booleans()):
        cut = data.draw(st.integers(0, len(body)))
        body = tars.zipped(body[:cut]) + tars.zipped(body[cut:])
    path = tmp_path_factory.mktemp('any') / 'sa_000020.tar'
    path.write_bytes(body)
    budget = data.draw(st.sampled_from([0, 1000, 1 << 20]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chunks, 'READ_SIZE', data.draw(st.integers(1, 5000)))
        patch.setattr(chunks, 'CHUNK_SIZE', data.draw(st.integers(1, 5000)))
        result = read(Source(20, 'file', str(path)), spool_budget=budget)
    whole = {i for i in ids if {(i, 'jpg'), (i, 'json')} <= set(halves)}
    assert set(result.pairs) == {f'sa_{i}' for i in whole}
    for i in whole:
        pair = result.pairs[f'sa_{i}']
        assert (pair.image, pair.record) == (contents[i, 'jpg'], contents[i, 'json'])
    alone = {f'sa_{i}.{kind}' for i, kind in halves if i not in whole}
    assert {fault.member for fault in result.faults} == alone
    assert (result.error is None) == bool(halves)
