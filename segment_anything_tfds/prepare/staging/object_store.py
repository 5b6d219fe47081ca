"""Data sets in object stores, which cannot rename a folder and need not send data to copy it."""

from __future__ import annotations

import contextlib
import logging
import os

import fsspec
from etils import epath
from tensorflow_datasets.core import constants, dataset_builder


def is_remote(path: os.PathLike | str) -> bool:
    """Whether a path is in an object store, such as `gs://` or `s3://`."""
    return '://' in os.fspath(path)


def copy(source: epath.Path, target: epath.Path) -> None:
    """Copies an object within its store, through this machine only where there is no other way.

    Args:
      source: an object.
      target: its copy; replaced where it exists.
    """
    try:
        store = fsspec.filesystem(_scheme(source))
    except ImportError as error:
        logging.warning('%s is copied through this machine: %s', source.name, error)
        source.copy(target, overwrite=True)
        return
    store.copy(os.fspath(source), os.fspath(target))


def glob(folder: epath.Path, pattern: str) -> list[epath.Path]:
    """What a folder holds now.

    `epath` has `fsspec` remember the answer of a store as long as the process lives, which would
    hide from the driver what workers write afterwards.
    """
    if not is_remote(folder):
        return list(folder.glob(pattern))
    try:
        store = fsspec.filesystem(
            _scheme(folder), use_listings_cache=False, skip_instance_cache=True
        )
    except ImportError:
        return list(folder.glob(pattern))
    names = store.glob(f'{os.fspath(folder)}/{pattern}')
    return [folder / name.rpartition('/')[2] for name in names]


def _scheme(path: os.PathLike | str) -> str:
    return os.fspath(path).partition('://')[0]


@contextlib.contextmanager
def in_place(dataset_dir: epath.Path):
    """Lets TFDS write a data set where it will stay, if that is in an object store.

    TFDS writes into a folder of another name and renames it, for which an object store would copy
    every object, one after another. Here what makes a data set of a folder is the last file that
    TFDS writes, `dataset_info.json`; a folder without it is a build that was stopped, and is
    cleared.

    Args:
      dataset_dir: the folder of the data set.
    """
    if not is_remote(dataset_dir):
        yield
        return
    if not (dataset_dir / constants.DATASET_INFO_FILENAME).exists():
        dataset_dir.rmtree(missing_ok=True)
    utils = dataset_builder.utils
    with utils.temporary_assignment(utils, 'incomplete_dir', _final_dir):
        yield


@contextlib.contextmanager
def _final_dir(dirname: str, permissions=None, overwrite: bool = False):
    """Stands in for TFDS's `incomplete_dir`."""
    del permissions
    if overwrite:
        epath.Path(dirname).rmtree(missing_ok=True)
    yield dirname
