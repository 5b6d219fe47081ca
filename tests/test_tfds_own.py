"""The builder under TFDS's own test case, and against TFDS's own builder."""

import functools
import http.server
import threading

import numpy as np
import pytest
import samples
import tensorflow_datasets as tfds
from building import build, read, run_python
from tensorflow_datasets.testing import dataset_builder_testing

from segment_anything_tfds import segment_anything_dataset_builder
from segment_anything_tfds.source import resources


class SegmentAnythingTest(dataset_builder_testing.DatasetBuilderTestCase):
    DATASET_CLASS = segment_anything_dataset_builder.Builder
    EXAMPLE_DIR = resources.folder('dummy_data')
    SPLITS = {'train': 15}  # noqa: RUF012
    SKIP_CHECKSUMS = True


# The base class is not a test of ours, though this module imports its module.
del dataset_builder_testing

_BUILD_WITH_TFDS = """
import sys
import tensorflow_datasets as tfds
config = tfds.download.DownloadConfig(manual_dir=sys.argv[1])
tfds.builder('segment_anything', data_dir=sys.argv[2]).download_and_prepare(download_config=config)
"""


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope='module')
def served(tmp_path_factory):
    """A folder with archives, and a `manual_dir` whose links lead to them."""
    folder = tmp_path_factory.mktemp('served')
    samples.write_archives(folder, archives=2, images=5)
    manual = tmp_path_factory.mktemp('manual')
    handler = functools.partial(_Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        rows = ['file_name\tcdn_link']
        for path in sorted(folder.iterdir()):
            rows.append(f'{path.name}\thttp://127.0.0.1:{server.server_port}/{path.name}')
        (manual / 'segment_anything_links.txt').write_text('\n'.join(rows))
        yield folder, manual
        server.shutdown()


@pytest.fixture(scope='module')
def built_by_tfds(served, tmp_path_factory):
    data_dir = tmp_path_factory.mktemp('theirs')
    run_python(_BUILD_WITH_TFDS, served[1], data_dir)
    return data_dir


def _by_id(examples) -> dict:
    return {int(example['image']['image_id']): example for example in examples}


def test_equal_to_tfds_feature_by_feature(served, built_by_tfds, tmp_path):
    ours = _by_id(read(build(served[0], tmp_path)))
    theirs = _by_id(read(tfds.builder('segment_anything', data_dir=str(built_by_tfds))))
    assert sorted(ours) == sorted(theirs) and len(ours) == 10
    for image_id, example in ours.items():
        for (path, value), (other_path, other) in zip(
            _leaves(example), _leaves(theirs[image_id]), strict=True
        ):
            assert path == other_path
            assert np.asarray(value).dtype == np.asarray(other).dtype
            np.testing.assert_array_equal(value, other, err_msg=path)


def _leaves(example, path=''):
    if not isinstance(example, dict):
        return [(path, example)]
    return [leaf for key in sorted(example) for leaf in _leaves(example[key], f'{path}/{key}')]


def test_reads_what_tfds_prepared(built_by_tfds):
    builder = tfds.builder('segment_anything', data_dir=str(built_by_tfds))
    assert type(builder) is segment_anything_dataset_builder.Builder
    assert builder.is_prepared()
    builder.download_and_prepare()
    assert builder.info.splits['train'].num_examples == 10
    assert len(list(builder.as_dataset('train'))) == 10
