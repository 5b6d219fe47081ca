"""Whole builds whose archives are read from their links, from a server with troubles."""

import logging

import pytest
import samples
from building import archives, build, digests, read, run_python
from fault_server import PAGE, SECRET, FaultServer, Served

from segment_anything_tfds import tfds_parts
from segment_anything_tfds.source import faults
from segment_anything_tfds.source.remote import links_file

ARCHIVES = 3
EXPIRED = 0x60000000  # January 2021


@pytest.fixture(scope='module')
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp('files')
    samples.write_archives(folder, ARCHIVES, images=60)
    return folder


@pytest.fixture(scope='module')
def clean(files, tmp_path_factory):
    return digests(build(files, tmp_path_factory.mktemp('clean')).data_path)


@pytest.fixture
def server(files):
    with FaultServer() as running:
        for path in files.iterdir():
            running.serve(path.name, path.read_bytes())
        yield running


def _write_links(server, folder, numbers=range(ARCHIVES), **kwargs):
    folder.mkdir(exist_ok=True)
    rows = ['file_name\tcdn_link']
    rows += [
        f'{name}\t{server.url(name, **kwargs)}' for name in (f'sa_{n:06d}.tar' for n in numbers)
    ]
    (folder / 'segment_anything_links.txt').write_text('\n'.join(rows))
    return folder


def test_reads_straight_from_links(server, tmp_path, clean):
    built = build(_write_links(server, tmp_path / 'manual'), tmp_path / 'data')
    assert digests(built.data_path) == clean
    assert not list(tmp_path.rglob('*.tar'))


def test_small_archives_are_not_refused_for_the_size_of_sa_1b(server, tmp_path, monkeypatch):
    """Where archives of SA-1B's size would not fit, servers are asked how large these are."""
    disk = 100 << 20
    asked = []

    def has_room(needed, folder):
        asked.append(needed)
        return needed < disk

    monkeypatch.setattr(tfds_parts, 'has_sufficient_disk_space', has_room)
    server.objects['sa_000002.tar'].statuses = [(403, {}, b'Signature has expired')] * 50
    with pytest.raises(faults.DataError, match='403'):
        build(_write_links(server, tmp_path / 'manual'), tmp_path / 'data')
    sizes = {name: len(served.body) for name, served in server.objects.items()}
    assert asked == [asked[0], sizes['sa_000000.tar'] + sizes['sa_000001.tar']]
    disk = 10_000
    with pytest.raises(OSError, match='Not enough disk space'):
        build(_write_links(server, tmp_path / 'manual'), tmp_path / 'other')


@pytest.mark.parametrize(
    'troubles',
    [
        {'cuts': [1000, 30_000]},
        {'cuts': [50_000], 'reset': True},
        {'cuts': [50_000], 'ranges': False},
        {'statuses': [(503, {'Retry-After': '0'}, b'busy'), (429, {'Retry-After': '0'}, b'slow')]},
        {'rate': 3e6},
        {'chunked': True},
        {'endless': True, 'ranges': False, 'cuts': [50_000]},
    ],
    ids=[
        'cut',
        'reset',
        'range_ignored',
        'refused_at_first',
        'throttled',
        'size_unknown',
        'length_unknown_and_cut',
    ],
)
def test_survives(server, troubles, tmp_path, clean):
    for served in server.objects.values():
        for name, value in troubles.items():
            setattr(served, name, list(value) if isinstance(value, list) else value)
    built = build(_write_links(server, tmp_path / 'manual'), tmp_path / 'data')
    assert digests(built.data_path) == clean


def test_body_of_unknown_length_that_is_always_cut_is_unfinished(server, tmp_path):
    """The line may have cut it, so `skip` does not publish what came of it."""
    served = server.objects['sa_000001.tar']
    whole = served.body
    served.body, served.endless, served.ranges = whole[:50_000], True, False
    manual = _write_links(server, tmp_path / 'manual')
    with pytest.raises(faults.DataError, match=r'sa_000001: .*a body that was cut.*unfinished'):
        build(manual, tmp_path / 'data', on_error='skip')
    served.body = whole
    built = build(manual, tmp_path / 'data', on_error='skip')
    assert built.info.splits['train'].num_examples == ARCHIVES * 60


def test_object_that_changes_is_read_anew_and_never_mixed(server, tmp_path):
    name = 'sa_000001.tar'
    other = tmp_path / name
    samples.write_archive(other, samples.members(5001, 70))
    changed = Served(other.read_bytes(), etag='"v2"')
    body = server.objects[name].body
    server.objects[name] = Served(body, cuts=[20_000], after=1, changed=changed)
    built = build(_write_links(server, tmp_path / 'manual'), tmp_path / 'data')
    assert built.info.splits['train'].shard_lengths == [60, 70, 60]
    ids = [int(example['image']['image_id']) for example in read(built, 'train[1shard]')]
    assert sorted(ids) == list(range(5001, 5071))


def test_expired_links_stop_the_build_before_it_starts(server, tmp_path):
    manual = _write_links(server, tmp_path / 'manual', expires=EXPIRED)
    with pytest.raises(
        links_file.ExpiredLinksError, match=r'(?s)2021-01.*Missing archives: 0-2.*ai.meta'
    ):
        build(manual, tmp_path / 'data')
    assert not server.requests


def test_renewed_links_go_on(server, tmp_path, clean):
    manual = _write_links(server, tmp_path / 'manual')
    kept = server.objects.pop('sa_000002.tar')
    server.serve('sa_000002.tar', b'', statuses=[(403, {}, b'URL signature expired')] * 10)
    with pytest.raises(faults.DataError, match=r'(?s)1 of 3 archives.*403.*URL signature expired'):
        build(manual, tmp_path / 'data')
    server.objects['sa_000002.tar'] = kept
    server.requests.clear()
    _write_links(server, manual, expires=0x7E000000)
    built = build(manual, tmp_path / 'data')
    assert {name for _, name, _, _ in server.requests} == {'sa_000002.tar'}
    assert archives(built, 'reused') == 2
    assert digests(built.data_path) == clean


def test_finished_archives_need_no_links(server, files, tmp_path):
    manual = _write_links(server, tmp_path / 'manual')
    server.objects['sa_000002.tar'].statuses = [(403, {}, b'no')] * 10
    with pytest.raises(faults.DataError):
        build(manual, tmp_path / 'data')
    _write_links(server, manual, expires=EXPIRED)
    with pytest.raises(links_file.ExpiredLinksError, match=r'Missing archives: 2\.'):
        build(manual, tmp_path / 'data')
    (manual / 'sa_000002.tar').write_bytes((files / 'sa_000002.tar').read_bytes())
    assert archives(build(manual, tmp_path / 'data'), 'reused') == 2


def test_page_instead_of_archive(server, tmp_path):
    server.serve('sa_000000.tar', PAGE, content_type='text/html')
    with pytest.raises(faults.DataError, match=r'(?s)sa_000000.*Log in first'):
        build(_write_links(server, tmp_path / 'manual'), tmp_path / 'data')


_BUILD = """
import sys
import tensorflow_datasets as tfds
import segment_anything_tfds
config = tfds.download.DownloadConfig(manual_dir=sys.argv[1])
builder = tfds.builder('segment_anything', data_dir=sys.argv[2], on_error=sys.argv[3])
builder.download_and_prepare(download_config=config)
"""


@pytest.mark.parametrize('outcome', ['passes', 'fails'])
def test_no_signed_query_is_left_behind(server, tmp_path, outcome, caplog):
    manual = _write_links(server, tmp_path / 'manual')
    server.objects['sa_000000.tar'].cuts = [10_000]
    if outcome == 'fails':
        for served in server.objects.values():
            served.statuses = [(403, {}, b'URL signature expired')] * 10
    verbose = 'import logging; logging.basicConfig(level=logging.DEBUG)\n'
    done = run_python(verbose + _BUILD, manual, tmp_path / 'data', 'skip', check=False)
    assert (done.returncode == 0) == (outcome == 'passes'), done.stderr
    with caplog.at_level(logging.DEBUG), pytest.raises(faults.DataError):
        for served in server.objects.values():
            served.statuses = [(403, {}, b'URL signature expired')] * 10
        build(manual, tmp_path / 'other')
    left = [done.stdout, done.stderr, caplog.text]
    for path in (tmp_path / 'data', tmp_path / 'other'):
        left += [p.read_bytes().decode('latin1') for p in path.rglob('*') if p.is_file()]
        left += [str(p) for p in path.rglob('*')]
    assert len(left) > 5
    for text in left:
        assert SECRET not in text
        assert 'oe=' not in text
