"""Archives and data sets in an object store: a server that speaks S3, on this machine."""

import contextlib
import hashlib
import json
import logging
import re
import urllib.request

import pytest
import samples
import tensorflow_datasets as tfds
from building import build, digests, read, run_python
from etils import epath
from test_runners import MULTI_PROCESSING

from segment_anything_tfds.prepare import object_store

moto = pytest.importorskip('moto.server')
boto3 = pytest.importorskip('boto3')
pytest.importorskip('s3fs')

DATA_SET = 'sets/segment_anything/1.0.0/'
BUILD = """
import sys
import segment_anything_tfds
import tensorflow_datasets as tfds
from apache_beam.options import pipeline_options
from segment_anything_tfds.prepare import transform

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


@pytest.fixture(scope='module')
def archives(tmp_path_factory):
    folder = tmp_path_factory.mktemp('archives')
    samples.write_archives(folder, archives=3)
    return folder


@pytest.fixture(scope='module')
def clean(archives, tmp_path_factory):
    return digests(build(archives, tmp_path_factory.mktemp('clean')).data_path)


@pytest.fixture
def store(archives, monkeypatch):
    """A client of a server with the archives in a bucket; epath finds the server too."""
    logging.getLogger('werkzeug').setLevel(logging.ERROR)
    server = moto.ThreadedMotoServer(ip_address='127.0.0.1', port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        'AWS_ENDPOINT_URL': f'http://{host}:{port}',
        'AWS_ACCESS_KEY_ID': 'test',
        'AWS_SECRET_ACCESS_KEY': 'test',
        'AWS_DEFAULT_REGION': 'us-east-1',
        'EPATH_USE_TF': 'false',
    }.items():
        monkeypatch.setenv(name, value)
    urllib.request.urlopen(f'http://{host}:{port}/moto-api/reset', data=b'')
    client = boto3.client('s3')
    for bucket in ('archives', 'data'):
        client.create_bucket(Bucket=bucket)
    for path in archives.iterdir():
        client.upload_file(str(path), 'archives', f'sa-1b/{path.name}')
    yield client
    server.stop()


def _keys(store, prefix=''):
    listed = store.list_objects_v2(Bucket='data', Prefix=prefix)
    return [item['Key'] for item in listed.get('Contents', [])]


def _get(store, key) -> bytes:
    return store.get_object(Bucket='data', Key=key)['Body'].read()


def _digests(store) -> dict[str, str]:
    return {
        key.removeprefix(DATA_SET): hashlib.sha256(_get(store, key)).hexdigest()
        for key in _keys(store, DATA_SET)
        if '-train.' in key
    }


def _build(*flags, before: str = '', **kwargs):
    return run_python(before + BUILD, 's3://archives/sa-1b', 's3://data/sets', *flags, **kwargs)


def _said(done) -> list[str]:
    return re.findall('^(?:RUN|REUSED).*', done.stdout, re.MULTILINE)


@pytest.mark.parametrize('flags', [(), MULTI_PROCESSING], ids=['one', 'multi'])
def test_builds_from_bucket_to_bucket(store, clean, flags):
    assert _said(_build(*flags)) == ['RUN [0, 1, 2]', 'REUSED 0']
    assert _digests(store) == clean
    others = {key.removeprefix(DATA_SET) for key in _keys(store)} - set(clean)
    assert others == {'LICENSE', 'dataset_info.json', 'features.json', 'metadata.json'}


def test_copied_to_a_disk_it_is_a_data_set(store, archives, tmp_path):
    _build()
    for key in _keys(store):
        path = tmp_path / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_get(store, key))
    copied = tfds.builder_from_directory(str(tmp_path / DATA_SET))
    assert len(read(copied)) == 12


@pytest.mark.parametrize('flags', [(), MULTI_PROCESSING], ids=['one', 'multi'])
def test_goes_on_where_a_stopped_driver_left_off(store, clean, flags):
    """Also where worker processes write what the driver then has to see."""
    stopped = _build(before=STOPPED, check=False)
    assert stopped.returncode and 'KeyboardInterrupt' in stopped.stderr
    assert DATA_SET + 'dataset_info.json' not in _keys(store)
    store.put_object(Bucket='data', Key=DATA_SET + 'left-from-a-stopped-build', Body=b'')
    sidecar = 'sets/segment_anything/incomplete.shards_1.0.0/sa_000001.json'
    assert json.loads(_get(store, sidecar))['shard_examples'] == [4]
    store.delete_object(Bucket='data', Key=sidecar)

    assert _said(_build(*flags)) == ['RUN [1]', 'REUSED 2']
    assert _digests(store) == clean
    assert len(_keys(store)) == len(clean) + 4


def test_a_second_build_reuses_the_data_set(store):
    _build()
    written = store.head_object(Bucket='data', Key=DATA_SET + 'dataset_info.json')['LastModified']
    _build()
    again = store.head_object(Bucket='data', Key=DATA_SET + 'dataset_info.json')['LastModified']
    assert again == written


def test_a_folder_on_a_disk_is_left_to_tfds(tmp_path):
    (tmp_path / 'kept').write_text('')
    with object_store.in_place(tmp_path):
        assert tfds.core.utils.incomplete_dir.__module__.startswith('tensorflow_datasets')
    assert (tmp_path / 'kept').exists()


def test_what_tfds_renames_is_given_back(tmp_path, monkeypatch):
    original = tfds.core.utils.incomplete_dir
    (tmp_path / 'left-from-a-stopped-build').write_text('')
    monkeypatch.setattr(object_store, 'is_remote', lambda _: True)
    with contextlib.suppress(RuntimeError), object_store.in_place(epath.Path(tmp_path)):
        with tfds.core.utils.incomplete_dir(str(tmp_path)) as written:
            assert written == str(tmp_path)
        raise RuntimeError
    assert tfds.core.utils.incomplete_dir is original
    assert not tmp_path.exists()
