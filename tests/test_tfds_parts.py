"""What this package uses of TFDS beyond its public interface, name by name.

A test here that fails with a new release of TFDS says what has to be looked at.
"""

import inspect
import warnings

import pytest
import tensorflow_datasets as tfds
from building import REPO
from etils import epath
from tensorflow_datasets.core import dataset_builder, registered

from segment_anything_tfds import _registration, tfds_parts
from segment_anything_tfds.segment_anything_dataset_builder import Builder

# Methods that TFDS calls and the builder overrides, with the arguments that it gives.
OVERRIDDEN = {
    '_create_builder_config': ['self', 'builder_config', 'version'],
    '_download_and_prepare': ['self', 'dl_manager', 'download_config'],
    '_log_download_bytes': ['self'],
    '_log_download_done': ['self'],
    'get_builder_config': ['name', 'version'],
}


@pytest.mark.parametrize('name', OVERRIDDEN)
def test_methods_that_the_builder_overrides(name):
    theirs = inspect.signature(getattr(dataset_builder.FileReaderBuilder, name))
    assert list(theirs.parameters) == OVERRIDDEN[name]
    assert name in vars(Builder)


def test_nothing_else_of_theirs_is_overridden_in_secret():
    ours = {name for name in vars(Builder) if name.startswith('_') and not name.startswith('__')}
    theirs = {name for name in dir(dataset_builder.FileReaderBuilder) if name.startswith('_')}
    expected = {name for name in OVERRIDDEN if name.startswith('_')} | {'_info', '_abc_impl'}
    assert ours & theirs == expected


def test_a_builder_writes_where_it_is_told(tmp_path):
    builder = Builder(data_dir=str(tmp_path))
    final = builder.data_path
    with tfds_parts.writing_to(builder, epath.Path(tmp_path / 'other' / '1.0.0')):
        assert builder.data_path == epath.Path(tmp_path / 'other' / '1.0.0')
        assert tfds_parts.filename_template(builder).data_dir == builder.data_path
    assert builder.data_path == final
    assert builder.info.splits['train'].filename_template.data_dir == final


def test_names_of_shards(tmp_path):
    template = tfds_parts.filename_template(Builder(data_dir=str(tmp_path)))
    assert template.split == 'train'
    names = [path.name for path in template.sharded_filepaths(num_shards=2)]
    assert names[1] == 'segment_anything-train.tfrecord-00001-of-00002'
    moved = template.replace(data_dir=epath.Path('/elsewhere'))
    assert moved.sharded_filepaths(num_shards=1)[0].parent == epath.Path('/elsewhere')


def test_choices_are_remembered(tmp_path):
    builder = Builder(data_dir=str(tmp_path), on_error='skip')
    assert builder.__getstate__()['_original_state']['on_error'] == 'skip'


def test_formats_and_messages():
    tfrecord = tfds_parts.FileFormat.from_value('tfrecord')
    assert tfrecord is tfds_parts.FileFormat.TFRECORD and tfrecord.file_suffix == 'tfrecord'
    for file_format in ('array_record', 'riegeli', 'parquet'):
        adapter = tfds_parts.ADAPTER_FOR_FORMAT[tfds_parts.FileFormat.from_value(file_format)]
        assert list(inspect.signature(adapter.write_examples).parameters) == ['path', 'iterator']
    assert tfds_parts.Int64List(value=[300]).SerializeToString() == b'\n\x02\xac\x02'
    assert tfds_parts.INFO_FILE_NAME == 'dataset_info.json'


def test_disk_space(tmp_path):
    there, not_there = epath.Path(tmp_path), epath.Path(tmp_path / 'not' / 'there')
    for folder in (there, not_there):
        assert tfds_parts.has_sufficient_disk_space(1, folder)
        assert not tfds_parts.has_sufficient_disk_space(1 << 60, folder)


def test_registry():
    providers = getattr(registered, _registration._PROVIDERS)
    assert isinstance(providers, list)
    parameters = inspect.signature(registered.add_dataset_builder_provider).parameters
    assert list(parameters) == ['provider', 'index']


def test_manual_dir_that_is_absent_is_an_assertion(tmp_path):
    """As `finding.manual_dir` takes it."""
    manager = tfds.download.DownloadManager(
        download_dir=tmp_path, manual_dir=tmp_path / 'none', manual_dir_instructions='Bring it.'
    )
    with pytest.raises(AssertionError, match='does not exist or is empty'):
        _ = manager.manual_dir


def test_download_modes():
    modes = tfds.download.GenerateMode
    assert not modes.REUSE_DATASET_IF_EXISTS.overwrite_dataset
    assert modes.REUSE_CACHE_IF_EXISTS.overwrite_dataset
    assert modes.UPDATE_DATASET_INFO


@pytest.mark.parametrize('version', ['4.10.0', '4.10.0+nightly', '5.0.1'])
def test_newer_minor_is_warned_of(version):
    with pytest.warns(UserWarning, match=rf'up to 4\.9; this is {version[:6]}.*datasets<4\.10'):
        tfds_parts.warn_if_untried(version)


@pytest.mark.parametrize('version', ['4.9.8', '4.9.10', '4.9.99+nightly', 'unknown'])
def test_older_minor_is_not_warned_of(version):
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        tfds_parts.warn_if_untried(version)


def test_private_parts_are_in_one_module():
    """What is imported from `tensorflow_datasets.core` or below is imported there."""
    allowed = {'tfds_parts.py', '_registration.py'}
    for path in (REPO / 'segment_anything_tfds').rglob('*.py'):
        text = path.read_text()
        if path.name not in allowed:
            assert 'from tensorflow_datasets.core' not in text, path
            assert 'from tensorflow_datasets.proto' not in text, path
            assert 'import tensorflow_datasets.core' not in text, path
