"""Every part of TFDS that is not in its public interface, in one place.

TFDS may change these with any release; `tests/test_tfds_parts.py` names each of them, and the
newest release that they were tried with is below. What is public is imported where it is used.
"""

from __future__ import annotations

import contextlib
import os
import re
import warnings
from collections.abc import Iterator

import tensorflow_datasets as tfds
from etils import epath
from tensorflow_datasets.core import constants, dataset_builder, file_adapters, naming, utils
from tensorflow_datasets.proto import tf_example_pb2, tf_feature_pb2

__all__ = [
    'ADAPTER_FOR_FORMAT',
    'INFO_FILE_NAME',
    'Example',
    'FileFormat',
    'FileReaderBuilder',
    'Int64List',
    'ShardedFileTemplate',
    'filename_template',
    'has_sufficient_disk_space',
    'remember_choices',
    'writing_to',
]

NEWEST_TRIED = (4, 9)

ADAPTER_FOR_FORMAT = file_adapters.ADAPTER_FOR_FORMAT
Example = tf_example_pb2.Example
FileFormat = file_adapters.FileFormat
FileReaderBuilder = dataset_builder.FileReaderBuilder
INFO_FILE_NAME = constants.DATASET_INFO_FILENAME
Int64List = tf_feature_pb2.Int64List
ShardedFileTemplate = naming.ShardedFileTemplate


def has_sufficient_disk_space(needed: int, folder: epath.Path) -> bool:
    """Tells whether TFDS finds room for so many bytes on the disk of a folder."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return utils.has_sufficient_disk_space(needed, directory=os.fspath(folder))


def filename_template(builder: FileReaderBuilder) -> ShardedFileTemplate:
    """Gives the names of the shards of a builder, in the folder that it writes to."""
    return builder._get_filename_template('train')


def remember_choices(builder: FileReaderBuilder, **choices) -> None:
    """Makes a builder be pickled with arguments of its own constructor."""
    builder._original_state |= choices


@contextlib.contextmanager
def writing_to(builder: FileReaderBuilder, folder: epath.Path) -> Iterator[None]:
    """Makes a builder write its data set to a folder of ours while the block runs."""
    own = builder._data_dir
    builder._data_dir = os.fspath(folder)
    try:
        yield
    finally:
        builder._data_dir = own
        builder.info.update_data_dir(own)


def warn_if_untried(version: str) -> None:
    """Warns of a TFDS that is newer than any that this package was tried with."""
    found = re.match(r'(\d+)\.(\d+)', version)
    if found is None or tuple(map(int, found.groups())) <= NEWEST_TRIED:
        return
    newest, next_minor = f'{NEWEST_TRIED[0]}.{NEWEST_TRIED[1]}', NEWEST_TRIED[1] + 1
    warnings.warn(
        f'segment_anything_tfds was tried with tensorflow-datasets up to {newest}; this is'
        f' {version}. It may work as well. Should it not, install'
        f" 'tensorflow-datasets<{NEWEST_TRIED[0]}.{next_minor}', or a newer segment_anything_tfds.",
        stacklevel=2,
    )


warn_if_untried(tfds.__version__)
