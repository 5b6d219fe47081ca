"""Files and folders to read from, here or in a bucket."""

from __future__ import annotations

import contextlib
import os
import pathlib
import re
from collections.abc import Iterator

_LOST_SLASH = re.compile(r'[A-Za-z][A-Za-z0-9+.-]+:/(?!/)')  # but no drive of Windows
MEMBER = re.compile(r'sa_[0-9]+\.(jpg|jpeg|json)', re.IGNORECASE)


def open_path(path: str | os.PathLike):
    """Makes a path to read from: `pathlib`'s for a local one, `epath`'s for `gs://` and the like.

    Raises:
      ValueError: a URL of another kind, or `pathlib`'s of one; only its scheme is named, as the
        rest may be secret.
    """
    text = os.fspath(path)
    if match := _LOST_SLASH.match(text):  # `pathlib.Path('s3://bucket')` is a folder `s3:` here
        raise ValueError(
            f'`paths.open_path`: expected `path` to be local, or a URL with two slashes; got one '
            f'after {match[0][:-1]} Give a URL as text, or as an `etils.epath.Path`.'
        )
    if '://' not in text:
        return pathlib.Path(path)
    from etils import epath  # slow to import, and local files do without

    try:
        return epath.Path(path)
    except KeyError:
        scheme = text.partition('://')[0]
        raise ValueError(
            '`paths.open_path`: expected `path` to be local, or in a bucket, such as gs://; got '
            f'{scheme}://. Download what is there first.'
        ) from None


@contextlib.contextmanager
def served(place: object, error: type[ValueError] = ValueError) -> Iterator[None]:
    """Names the setting that helps, in errors about buckets that TensorFlow cannot read.

    Args:
      place: what is to be read or written, for the message.
      error: what to raise.
    """
    try:
        yield
    except Exception as fault:
        if 'File system scheme' not in str(fault):
            raise
        raise error(
            f'expected a place that can be read and written; got {place}, of which TensorFlow knows'
            ' nothing. Set EPATH_USE_TF=false, so that fsspec serves it, and install what that '
            "needs: pip install 'segment-anything-tfds[s3]', or [gcp]."
        ) from None


def size_and_time(path) -> tuple[int, int]:
    """Gives size in bytes and time of change in nanoseconds, as finely as the place keeps it."""
    stat = path.stat()
    if isinstance(path, pathlib.Path):
        return stat.st_size, stat.st_mtime_ns
    return stat.length, int((stat.mtime or 0) * 1_000_000_000)


def walk(folder: str, stat: bool = True) -> Iterator[tuple[str, str, int, int, object]]:
    """Lists everything below a folder: name relative to it, kind as in a tar, size, time, path.

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
