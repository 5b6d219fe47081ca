"""Folders that come with the package: `dummy_data/` and `checksums/`."""

from __future__ import annotations

import pathlib

_PACKAGE = pathlib.Path(__file__).resolve().parent.parent


def folder(name: str) -> pathlib.Path:
    """Finds a folder of data that comes with the package.

    A wheel carries it inside the package, a checkout beside it.

    Args:
      name: `'dummy_data'` or `'checksums'`.

    Returns:
      The folder.

    Raises:
      FileNotFoundError: where the installation is not whole.
    """
    for parent in (_PACKAGE, _PACKAGE.parent):
        if (parent / name).is_dir():
            return parent / name
    raise FileNotFoundError(
        f'`resources.folder`: expected `name` to be a folder that comes with the package; got'
        f' {name!r}, which is neither in {_PACKAGE} nor beside it. Install the package again.'
    )


def demo_archives() -> pathlib.Path:
    """Finds the three small archives that come with the package: painted scenes in SA-1B's format.

    Returns:
      The folder, to be passed as `manual_dir` or wherever archives are read.

    Example:
      >>> sorted(path.name for path in demo_archives().glob('*.tar'))
      ['sa_000000.tar', 'sa_000001.tar', 'sa_000002.tar']
    """
    return folder('dummy_data')
