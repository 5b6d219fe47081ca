"""Data sets in object stores, which cannot rename a folder and need not send data to copy it."""

from __future__ import annotations

import base64
import logging
import os

import fsspec
from etils import epath

_log = logging.getLogger(__name__)


def is_remote(path: os.PathLike | str) -> bool:
    """Tells whether a path is in an object store, such as `gs://` or `s3://`."""
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
        _log.warning('%s is copied through this machine: %s', source.name, error)
        source.copy(target, overwrite=True)
        return
    store.copy(os.fspath(source), os.fspath(target))


def glob(folder: epath.Path, pattern: str) -> list[epath.Path]:
    """Finds what a folder holds now, also in folders below it where the pattern says so.

    `epath` has `fsspec` remember the answer of a store as long as the process lives, which would
    hide from the driver what workers write afterwards.
    """
    if not is_remote(folder):
        return list(folder.glob(pattern))
    try:
        store = _fresh_store(folder)
    except ImportError:
        return list(folder.glob(pattern))
    names = store.glob(f'{os.fspath(folder)}/{pattern}')
    depth = pattern.count('/') + 1
    return [folder.joinpath(*name.split('/')[-depth:]) for name in names]


def crc32c(path: epath.Path) -> int | None:
    """Gives the CRC-32C that the store keeps of an object, as GCS does; `None` where it has none.

    The bytes of the object are not read.
    """
    try:
        kept = _fresh_store(path).info(os.fspath(path)).get('crc32c')
    except ImportError:
        return None
    return int.from_bytes(base64.b64decode(kept), 'big') if kept else None


def _fresh_store(path: epath.Path) -> fsspec.AbstractFileSystem:
    return fsspec.filesystem(_scheme(path), use_listings_cache=False, skip_instance_cache=True)


def _scheme(path: os.PathLike | str) -> str:
    return os.fspath(path).partition('://')[0]
