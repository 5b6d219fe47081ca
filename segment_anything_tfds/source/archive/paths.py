"""Files and folders to read from, here or in a bucket."""

from __future__ import annotations

import os
import pathlib
import re
from collections.abc import Iterator

MEMBER = re.compile(r'sa_[0-9]+\.(jpg|jpeg|json)', re.IGNORECASE)


def open_path(path: str | os.PathLike):
    """A path to read from: `pathlib`'s for a local one, `epath`'s for `gs://` and the like.

    Raises:
      ValueError: a URL of another kind; only its scheme is named, as the rest may be secret.
    """
    if '://' not in os.fspath(path):
        return pathlib.Path(path)
    from etils import epath  # slow to import, and local files do without

    try:
        return epath.Path(path)
    except KeyError:
        scheme = os.fspath(path).partition('://')[0]
        raise ValueError(
            '`paths.open_path`: expected `path` to be local, or in a bucket, such as gs://; got '
            f'{scheme}://. Download what is there first.'
        ) from None


def size_and_time(path) -> tuple[int, int]:
    """Size in bytes and time of modification in nanoseconds, as finely as the place keeps it."""
    stat = path.stat()
    if isinstance(path, pathlib.Path):
        return stat.st_size, stat.st_mtime_ns
    return stat.length, int((stat.mtime or 0) * 1_000_000_000)


def walk(folder: str, stat: bool = True) -> Iterator[tuple[str, str, int, int, object]]:
    """Everything below a folder: name relative to it, kind as in a tar, size, time, path.

    Links are not followed. Without `stat`, sizes and times are 0.
    """
    stack = [(open_path(folder), '')]
    while stack:
        path, name = stack.pop()
        for child in path.iterdir():
            inner = f'{name}/{child.name}' if name else child.name
            kind = _kind(child)
            if kind == 'directory':
                stack.append((child, inner))
            else:
                size, modified = size_and_time(child) if stat and kind == 'file' else (0, 0)
                yield inner, kind, size, modified, child


def _kind(path) -> str:
    if not isinstance(path, pathlib.Path):  # each question to a bucket takes a while
        return 'file' if MEMBER.fullmatch(path.name) or not path.is_dir() else 'directory'
    if path.is_symlink():
        return 'link'
    if path.is_dir():
        return 'directory'
    return 'file' if path.is_file() else 'device'
