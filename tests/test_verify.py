"""`sa1b verify`: what is good passes, everything else is found."""

import contextlib
import gzip
import hashlib
import io
import json
import multiprocessing
import os
import pathlib
import resource
import signal
import subprocess
import sys
import tarfile
import threading
import zlib

import numpy as np
import pytest
import samples

from segment_anything_tfds.actions import verify_archives as command
from segment_anything_tfds.cli import main
from segment_anything_tfds.source import checksums, resources
from segment_anything_tfds.source.archive import chunks, inputs, verification

REPO = pathlib.Path(__file__).resolve().parent.parent
NOTHING_KNOWN = checksums.Checksums()


@pytest.fixture(scope='module')
def archive(tmp_path_factory):
    path = tmp_path_factory.mktemp('good') / 'sa_000020.tar'
    samples.write_archive(path, samples.members(1, 3))
    return path


def _verify(path, known=NOTHING_KNOWN, **kwargs):
    (unit,) = inputs.find([path])
    return verification.verify(unit, known=known, **{'expected_pairs': None, **kwargs})


def _write(path, data):
    path.write_bytes(data)
    return path


def test_good_archive(archive):
    report = _verify(archive)
    assert (report.state, report.pairs, report.masks) == ('good', 3, 9)
    assert report.bytes == archive.stat().st_size
    assert report.md5 == hashlib.md5(archive.read_bytes()).hexdigest()
    assert not report.faults and not report.errors and not report.warnings
    assert _verify(archive, expected_pairs=3, decode_images=True).state == 'good'


def test_extracted_archive_in_folders(archive, tmp_path):
    with tarfile.open(archive) as tar:
        for member in tar.getmembers():
            kind = 'images' if member.name.endswith('jpg') else 'annotations'
            (tmp_path / 'sa_000020' / kind).mkdir(parents=True, exist_ok=True)
            data = tar.extractfile(member).read()
            (tmp_path / 'sa_000020' / kind / member.name[2:]).write_bytes(data)
    report = _verify(tmp_path / 'sa_000020')
    assert (report.state, report.pairs, report.md5) == ('good', 3, None)
    next((tmp_path / 'sa_000020' / 'images').iterdir()).unlink()
    assert _verify(tmp_path / 'sa_000020').faults == {'image_missing': 1}


def test_another_number_of_pairs_is_doubtful(archive):
    report = _verify(archive, expected_pairs=11_186)
    assert report.state == 'doubtful'
    assert report.warnings == [
        'sa_000020: expected 11,186 pairs, as all known archives of SA-1B have; got 3.'
    ]


def test_truncation_anywhere_is_found(archive, tmp_path):
    data = archive.read_bytes()
    for length in np.random.default_rng(0).integers(0, len(data), 100).tolist():
        report = _verify(_write(tmp_path / 'sa_000020.tar', data[:length]))
        assert report.state == 'bad' and report.errors, length


def _same_contents(data, original):
    try:
        return gzip.decompress(data) == original
    except (OSError, EOFError, zlib.error):
        return False


def test_every_flipped_byte_is_found(archive, tmp_path):
    """A thousand flips; with a digest all are found, without one all that change the contents."""
    data = archive.read_bytes()
    original = gzip.decompress(data)
    known = checksums.Checksums([checksums.Entry('sa_000020.tar', hashlib.md5(data).hexdigest())])
    rng = np.random.default_rng(0)
    harmless = 0
    for _ in range(1000):
        at, flip = int(rng.integers(len(data))), int(rng.integers(1, 256))
        damaged = bytearray(data)
        damaged[at] ^= flip
        report = _verify(_write(tmp_path / 'sa_000020.tar', damaged), known)
        assert report.state == 'bad', (at, flip)
        contents_found = report.faults or len(report.errors) > 1
        if not contents_found:
            assert _same_contents(bytes(damaged), original), (at, flip)
            harmless += 1
    assert harmless < 20, 'only the date, the flags and the padding of gzip can change nothing'


def _rewrite(archive, change):
    """The archive with other members: `change` maps (name, data) to data, or to `None`."""
    files = {}
    with tarfile.open(archive) as tar:
        for member in tar.getmembers():
            data = change(member.name, tar.extractfile(member).read())
            if data is not None:
                files[member.name] = data
    return files


def _edit(archive, name, edit):
    def change(member, data):
        if member != name:
            return data
        record = json.loads(data)
        edit(record)
        return json.dumps(record).encode()

    return _rewrite(archive, change)


@pytest.mark.parametrize(
    ('files', 'reason'),
    [
        (lambda a: _rewrite(a, lambda n, d: None if n == './sa_2.jpg' else d), 'image_missing'),
        (lambda a: _rewrite(a, lambda n, d: None if n == './sa_2.json' else d), 'record_missing'),
        (lambda a: _rewrite(a, lambda n, d: d[:-20] if n == './sa_2.jpg' else d), 'jpeg_truncated'),
        (lambda a: _rewrite(a, lambda n, d: b'{' if n == './sa_2.json' else d), 'json_invalid'),
        (
            lambda a: _edit(a, './sa_2.json', lambda r: r['annotations'][0].update(area=1)),
            'area_mismatch',
        ),
        (
            lambda a: _edit(
                a, './sa_2.json', lambda r: r['annotations'][1].update(bbox=[0, 0, 99, 9])
            ),
            'bbox_outside',
        ),
        (
            lambda a: _edit(
                a, './sa_2.json', lambda r: r['annotations'][1]['segmentation'].update(counts='14')
            ),
            'rle_sum_mismatch',
        ),
        (
            lambda a: _edit(a, './sa_2.json', lambda r: r['image'].update(image_id=3)),
            'image_id_duplicate',
        ),
    ],
)
def test_faults_of_members(archive, tmp_path, files, reason):
    path = tmp_path / 'sa_000020.tar'
    samples.write_archive(path, files(archive))
    report = _verify(path)
    assert report.state == 'bad' and report.faults == {reason: 1}
    assert 'sa_000020' in report.first_faults[0] and '/ sa_' in report.first_faults[0]


def test_decode_finds_damaged_pixels(archive, tmp_path):
    def change(name, data):
        if name != './sa_2.jpg':
            return data
        table = data.index(b'\xff\xc4') + 5  # the code lengths of a Huffman table
        return data[:table] + b'\xff' * 16 + data[table + 16 :]

    path = tmp_path / 'sa_000020.tar'
    samples.write_archive(path, _rewrite(archive, change))
    assert _verify(path).state == 'good', 'the structure is right'
    assert _verify(path, decode_images=True).faults == {'jpeg_undecodable': 1}


def test_hostile_members_are_faults(archive, tmp_path):
    path = tmp_path / 'sa_000020.tar'
    with tarfile.open(path, 'w:gz') as tar, tarfile.open(archive) as good:
        for member in good.getmembers():
            tar.addfile(member, good.extractfile(member))
        for name in ('../sa_9.jpg', '/etc/sa_9.jpg'):
            info = tarfile.TarInfo(name)
            info.size = 3
            tar.addfile(info, io.BytesIO(b'abc'))
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE):
            info = tarfile.TarInfo('sa_9.jpg')
            info.type, info.linkname = kind, '/etc/passwd'
            tar.addfile(info)
    report = _verify(path)
    assert report.state == 'bad' and report.pairs == 3
    assert report.ignored == {'parent': 1, 'link': 1, 'hard_link': 1, 'device': 2}
    assert report.faults == {'member_unreadable': 3, 'member_link': 2, 'record_missing': 1}


def test_claim_of_ten_gigabytes_is_refused_at_once(tmp_path):
    info = tarfile.TarInfo('./sa_1.jpg')
    info.size = 10 << 30
    path = _write(tmp_path / 'sa_000020.tar', gzip.compress(info.tobuf() + bytes(5120)))
    report = _verify(path)
    assert report.state == 'bad' and 'member_too_large' in report.faults


def test_gzip_bomb_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(chunks, 'BOMB_SIZE', 32 << 20)
    info = tarfile.TarInfo('./filler')
    info.size = 512 << 20
    packed = gzip.compress(info.tobuf() + bytes(info.size), 6)
    path = _write(tmp_path / 'sa_000020.tar', packed)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seen = []
    report = _verify(path, on_bytes=seen.append)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert report.state == 'bad' and 'bomb' in next(iter(report.faults)), report
    assert grown < 150_000, 'kilobytes'


# The command.


def _run(capsys, *args):
    code = main.main(['verify', *map(str, args)])
    return code, capsys.readouterr()


def test_command_prints_a_table_and_json(archive, tmp_path, capsys):
    bad = _write(tmp_path / 'sa_000021.tar', archive.read_bytes()[:-100])
    code, printed = _run(capsys, archive, bad, '--expected', '3')
    assert code == 1
    header, good_row, bad_row = printed.out.splitlines()
    assert header.split()[:4] == ['archive', 'state', 'pairs', 'masks']
    assert good_row.split()[:2] == ['sa_000020', 'good']
    assert bad_row.split()[:2] == ['sa_000021', 'bad']
    assert 'archive_truncated' in printed.err and 'Download the archive again' in printed.err
    report = tmp_path / 'report.json'
    code, printed = _run(capsys, archive, bad, '--expected', '0', '--json', '--report', report)
    found = json.loads(printed.out)
    assert [row['state'] for row in found] == ['good', 'bad']
    assert found[1]['faults'] == {'archive_truncated': 1} or found[1]['faults']
    assert json.loads(report.read_text())[0]['pairs'] == 3


def test_command_knows_digests(archive, tmp_path, capsys):
    mine = tmp_path / 'mine.md5'
    assert _run(capsys, archive, '--expected', '3', '--record', mine)[0] == 0
    md5 = hashlib.md5(archive.read_bytes()).hexdigest()
    assert mine.read_text() == f'{md5}  sa_000020.tar\n'
    code, printed = _run(capsys, archive, '--digests', mine, '--expected', '3', '--json')
    assert code == 0 and json.loads(printed.out)[0]['digest'] == 'match'
    mine.write_text(f'{"0" * 32}  sa_000020.tar\n')
    code, printed = _run(capsys, archive, '--digests', mine, '--expected', '3')
    assert code == 1 and 'to have MD5 0000' in printed.err


def test_folders_of_reports_are_made(archive, tmp_path, capsys):
    report, record = tmp_path / 'a' / 'report.json', tmp_path / 'b' / 'mine.md5'
    assert _run(capsys, archive, '--report', report, '--record', record)[0] == 0
    assert json.loads(report.read_text())[0]['pairs'] == 3
    assert record.read_text().endswith('  sa_000020.tar\n')


@pytest.mark.parametrize('option', ['--record', '--digests'])
def test_malformed_list_is_refused_before_the_work(archive, tmp_path, capsys, monkeypatch, option):
    (tmp_path / 'mine.md5').write_text('no digest')
    monkeypatch.setattr(command, 'verify_one', None)
    code, printed = _run(capsys, archive, option, tmp_path / 'mine.md5')
    assert code == 1 and 'checksums.read`: expected lines' in printed.err


def test_interrupt_ends_the_workers_too(tmp_path):
    """The archive is a pipe, so the worker reads until the test lets it."""
    fifo = tmp_path / 'sa_000020.tar'
    os.mkfifo(fifo)
    process = subprocess.Popen(
        [sys.executable, '-m', 'segment_anything_tfds', 'verify', str(fifo)],
        stderr=subprocess.PIPE,
        env=dict(os.environ, PYTHONPATH=str(REPO)),
    )
    with open(fifo, 'wb', buffering=0) as file:  # opened once the worker reads from it
        process.send_signal(signal.SIGINT)
        assert process.stderr.readline() == b'interrupted\n'
        with contextlib.suppress(BrokenPipeError):  # the worker ends as soon as it has read some
            file.write(gzip.compress(os.urandom(4 << 20)))
    assert process.communicate()[1] == b'' and process.returncode == 130


def test_workers_stop_when_they_are_told(monkeypatch):
    stop = threading.Event()
    monkeypatch.setattr(command, '_stop', stop)
    monkeypatch.setattr(command, '_counter', multiprocessing.Value('Q', 0))
    command._count(3)
    stop.set()
    with pytest.raises(KeyboardInterrupt):
        command._count(4)
    assert command._counter.value == 3


def test_published_digests_warn_or_condemn(archive, tmp_path):
    published = checksums.load()
    copy = _write(tmp_path / 'sa_000014.tar', archive.read_bytes())
    report = _verify(copy, published)
    assert report.state == 'doubtful' and report.digest == 'mismatch'
    entry = checksums.Entry('sa_000014.tar', report.md5, 'corrupt', 'somebody', trusted=False)
    report = _verify(copy, checksums.Checksums([entry]))
    assert report.state == 'bad' and 'is the corrupt copy' in report.errors[0]


def test_strict_takes_doubtful_for_bad(archive, tmp_path, capsys):
    assert _run(capsys, archive)[0] == 0
    record = tmp_path / 'mine.md5'
    assert _run(capsys, archive, '--strict', '--record', record)[0] == 1
    assert record.read_text().strip() == ''


@pytest.mark.parametrize(
    ('args', 'message'),
    [
        (['/none'], 'expected `paths` that exist; got /none'),
        (['ARCHIVE', '--archives', '7'], 'expected archives 7'),
        (['ARCHIVE', '--digests', '/none'], 'No such file'),
    ],
)
def test_wrong_usage(archive, capsys, args, message):
    code, printed = _run(capsys, *[archive if arg == 'ARCHIVE' else arg for arg in args])
    assert code == 2 and message in printed.err


def test_data_that_comes_with_the_package_is_good(capsys):
    dummy_data, digests = resources.folder('dummy_data'), resources.folder('checksums')
    args = [dummy_data, '--digests', digests / 'dummy_data.md5', '--expected', '5', '--decode']
    code, printed = _run(capsys, *args, '--json')
    found = json.loads(printed.out)
    assert code == 0 and len(found) == 3
    assert {(row['state'], row['digest'], row['pairs']) for row in found} == {('good', 'match', 5)}
