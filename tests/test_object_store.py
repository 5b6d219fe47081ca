"""Archives and data sets in an object store: servers on this machine that speak S3, or GCS."""

import contextlib
import hashlib
import http.server
import importlib
import importlib.util
import json
import logging
import pathlib
import re
import threading
import urllib.request

import pytest
import samples
import tensorflow_datasets as tfds
from building import build, digests, read, run_python
from test_runners import MULTI_PROCESSING

OTHER_FILES = {
    'LICENSE',
    'archives.jsonl',
    'dataset_info.json',
    'features.json',
    'metadata.json',
}
DATA_SET = 'sets/segment_anything/1.0.0/'
BUILD = """
import sys
import segment_anything_tfds
import tensorflow_datasets as tfds
from apache_beam.options import pipeline_options
from segment_anything_tfds.prepare.shards import transform

def run(sources, *args, run=transform.run):
    print('RUN', [source.number for source in sources])
    run(sources, *args)

transform.run = run
options = pipeline_options.PipelineOptions(flags=sys.argv[3:])
config = tfds.download.DownloadConfig(manual_dir=sys.argv[1], beam_options=options)
builder = tfds.builder('segment_anything', data_dir=sys.argv[2])
builder.download_and_prepare(download_config=config)
print('REUSED', builder.info.metadata['archives_reused'])
"""
STOPPED = """
from tensorflow_datasets.core import dataset_info

def stop(*_):
    raise KeyboardInterrupt

dataset_info.DatasetInfo.write_to_directory = stop
"""

WITH_COMPANY = f"""
import subprocess, sys
from tensorflow_datasets.core import dataset_info

write = dataset_info.DatasetInfo.write_to_directory

def with_company(*args, **kwargs):  # the shards are published, the metadata is not
    dataset_info.DatasetInfo.write_to_directory = write
    second = [sys.executable, '-c', {BUILD!r}, *sys.argv[1:]]
    done = subprocess.run(second, capture_output=True, text=True)
    print('SECOND', 'Another build of this data set is running' in done.stderr, done.returncode)
    return write(*args, **kwargs)

dataset_info.DatasetInfo.write_to_directory = with_company
"""


@pytest.fixture(scope='module')
def archives(tmp_path_factory):
    folder = tmp_path_factory.mktemp('archives')
    samples.write_archives(folder, archives=3)
    return folder


@pytest.fixture(scope='module')
def clean(archives, tmp_path_factory):
    return digests(build(archives, tmp_path_factory.mktemp('clean')).data_path)


class Store:
    """The bucket that holds the data set, and a build that writes there from another bucket."""

    def __init__(self, scheme: str, archives: pathlib.Path):
        self.files = _client(scheme)
        self.scheme = scheme
        for path in archives.iterdir():
            self.files.put_file(str(path), f'archives/sa-1b/{path.name}')

    def names(self) -> list[str]:
        return [key.removeprefix('data/') for key in self.files.find('data')]

    def get(self, key: str) -> bytes:
        return self.files.cat_file(f'data/{key}')

    def digests(self) -> dict[str, str]:
        return {
            key.removeprefix(DATA_SET): hashlib.sha256(self.get(key)).hexdigest()
            for key in self.names()
            if key.startswith(DATA_SET) and '-train.' in key
        }

    def build(self, *flags, before: str = '', **kwargs):
        folders = f'{self.scheme}://archives/sa-1b', f'{self.scheme}://data/sets'
        return run_python(before + BUILD, *folders, *flags, **kwargs)


def _client(scheme: str):
    fresh = {'use_listings_cache': False, 'skip_instance_cache': True}
    if scheme == 's3':
        return importlib.import_module('s3fs').S3FileSystem(**fresh)
    # What `gcsfs` itself exports depends on the environment when it was imported.
    return importlib.import_module('gcsfs.core').GCSFileSystem(token='anon', **fresh)


@contextlib.contextmanager
def _s3_server(monkeypatch):
    moto = pytest.importorskip('moto.server')
    s3fs = pytest.importorskip('s3fs')
    logging.getLogger('werkzeug').setLevel(logging.ERROR)
    server = moto.ThreadedMotoServer(ip_address='127.0.0.1', port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        for name, value in {
            'AWS_ENDPOINT_URL': f'http://{host}:{port}',
            'AWS_ACCESS_KEY_ID': 'test',
            'AWS_SECRET_ACCESS_KEY': 'test',
            'AWS_DEFAULT_REGION': 'us-east-1',
        }.items():
            monkeypatch.setenv(name, value)
        urllib.request.urlopen(f'http://{host}:{port}/moto-api/reset', data=b'')
        client = s3fs.S3FileSystem(skip_instance_cache=True)
        for bucket in ('archives', 'data'):
            client.mkdir(bucket)
        yield
    finally:
        server.stop()


@contextlib.contextmanager
def _gs_server(monkeypatch):
    emulator = pytest.importorskip('gcp_storage_emulator.server')
    if importlib.util.find_spec('gcsfs') is None:  # imported later: it looks at the environment
        pytest.skip('no gcsfs')
    moves = r'^/storage/v1/b/(?P<bucket_name>[^/]+)/o/(?P<object_id>.+)/moveTo/o/(?P<target>.+)$'
    routes = ((moves, {emulator.POST: _move}), *emulator.HANDLERS)
    monkeypatch.setattr(emulator, 'HANDLERS', routes)
    monkeypatch.setattr(emulator.server, 'HTTPServer', http.server.ThreadingHTTPServer)
    handle, one_at_a_time = emulator.Router.handle, threading.Lock()

    def handle_alone(*args):
        with one_at_a_time:
            return handle(*args)

    monkeypatch.setattr(emulator.Router, 'handle', handle_alone)
    server = emulator.create_server('127.0.0.1', 0, in_memory=True)
    server.start()
    address = f'http://127.0.0.1:{server._api._httpd.server_port}'
    for name, value in {
        'STORAGE_EMULATOR_HOST': address,
        'FSSPEC_GCS_TOKEN': 'anon',
        'FSSPEC_GS_TOKEN': 'anon',
        'GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT': 'false',  # which speaks gRPC, to no server here
    }.items():
        monkeypatch.setenv(name, value)
    try:
        for bucket in ('archives', 'data'):
            body = json.dumps({'name': bucket}).encode()
            headers = {'Content-Type': 'application/json'}
            request = urllib.request.Request(f'{address}/storage/v1/b?project=p', body, headers)
            urllib.request.urlopen(request)
        yield
    finally:
        server.stop()


def _move(request, response, storage):
    """What the emulator lacks of the service: one object takes another name."""
    from gcp_storage_emulator.handlers import objects

    bucket, name = request.params['bucket_name'], request.params['object_id']
    target = request.params['target']
    response.json(objects._copy(request.base_url, storage, bucket, name, bucket, target))
    storage.delete_file(bucket, name)


_SERVERS = {'s3': _s3_server, 'gs': _gs_server}


@pytest.fixture(params=['s3', pytest.param('gs', marks=pytest.mark.slow)])
def store(request, archives, monkeypatch):
    """A server with the archives in a bucket, which `epath` finds."""
    monkeypatch.setenv('EPATH_USE_TF', 'false')
    with _SERVERS[request.param](monkeypatch):
        yield Store(request.param, archives)


def _said(done) -> list[str]:
    return re.findall('^(?:RUN|REUSED).*', done.stdout, re.MULTILINE)


@pytest.mark.slow
def test_builds_from_bucket_to_bucket(store, clean):
    assert _said(store.build(*MULTI_PROCESSING)) == ['RUN [0, 1, 2]', 'REUSED ']
    assert store.digests() == clean
    others = {key.removeprefix(DATA_SET) for key in store.names()} - set(clean)
    assert others == OTHER_FILES


@pytest.mark.slow
def test_goes_on_where_a_stopped_driver_left_off(store, clean):
    """Also where worker processes write what the driver then has to see."""
    stopped = store.build(before=STOPPED, check=False)
    assert stopped.returncode and 'KeyboardInterrupt' in stopped.stderr
    assert DATA_SET + 'dataset_info.json' not in store.names()
    store.files.pipe_file(f'data/{DATA_SET}left-from-a-stopped-build', b'')
    sidecar = 'sets/segment_anything/incomplete.shards_1.0.0/sa_000001.json'
    assert json.loads(store.get(sidecar))['shard_examples'] == [4]
    store.files.rm_file(f'data/{sidecar}')

    assert _said(store.build(*MULTI_PROCESSING)) == ['RUN [1]', 'REUSED 0+2']
    assert store.digests() == clean
    assert len(store.names()) == len(clean) + len(OTHER_FILES)


_COMMANDS = """
import sys
from segment_anything_tfds.cli import main
for args in (['stats'], ['preview', '--png', 'o'], ['export', '--format', 'coco', '--out', 'o']):
    print(main.main([args[0], sys.argv[1], *args[1:]]))
"""


@pytest.mark.parametrize('store', ['s3'], indirect=True)
def test_prepared_data_that_tensorflow_cannot_read_are_refused_by_name(store):
    info = {'splits': [{'name': 'train', 'shardLengths': ['4']}]}
    store.files.pipe_file(f'data/{DATA_SET}dataset_info.json', json.dumps(info).encode())
    done = run_python(_COMMANDS, 's3://data/sets')
    assert done.stdout.split() == ['2'] * 3
    text = 'got s3://data/sets/segment_anything/1.0.0, which TensorFlow does not read from s3://.'
    assert done.stderr.count(text) == 3


def test_two_builds_at_the_same_time_and_what_they_leave(store, clean, tmp_path):
    """The second harms nothing, the next finds all there, and a copy on a disk is a data set."""
    done = store.build(before=WITH_COMPANY)
    assert 'SECOND True 1' in done.stdout and _said(done) == ['RUN [0, 1, 2]', 'REUSED ']
    assert store.digests() == clean
    assert len(store.names()) == len(clean) + len(OTHER_FILES)
    assert _said(store.build()) == ['REUSED ']
    for key in store.names():
        path = tmp_path / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(store.get(key))
    copied = tfds.builder_from_directory(str(tmp_path / DATA_SET))
    assert len(read(copied)) == 12
