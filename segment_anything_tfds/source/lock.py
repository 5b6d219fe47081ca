"""A lock on a file, which ends with its process however that ends."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

try:
    import fcntl
except ImportError:  # a system without such locks
    fcntl = None

_held: set[int] = set()  # descriptors


@contextlib.contextmanager
def hold(path: str) -> Iterator[bool]:
    """Holds the lock of a file, which is made for it and removed again.

    Args:
      path: the file, in a folder that exists.

    Yields:
      Whether there is a lock: not every system and file system knows them.

    Raises:
      BlockingIOError: another process holds it.
      FileNotFoundError: the folder is gone.
    """
    file = _lock(path)
    if file is None:
        yield False
        return
    _held.add(file)
    try:
        yield True
    finally:
        # The file goes before the lock does: who has opened it in between sees it locked, or that
        # it is gone, and who comes later makes another one.
        with contextlib.suppress(OSError):
            os.unlink(path)
        _held.discard(file)
        os.close(file)


def _lock(path: str) -> int | None:
    while fcntl is not None:
        try:
            file = os.open(path, os.O_RDWR | os.O_CREAT)
        except FileNotFoundError:
            raise
        except OSError:  # as where a folder has its name
            return None
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(file), os.stat(path)):
                return file
        except (BlockingIOError, PermissionError):  # some file systems say that for the same
            os.close(file)
            raise BlockingIOError(f'{path} is locked') from None
        except FileNotFoundError:
            pass
        except OSError:  # the file system has no locks
            os.close(file)
            with contextlib.suppress(OSError):
                os.unlink(path)
            return None
        os.close(file)  # who held it has just removed it
    return None


def _let_go() -> None:
    """Closes in a forked process what its parent holds, as it would live on with that process."""
    for file in _held:
        os.close(file)
    _held.clear()


if hasattr(os, 'register_at_fork'):
    os.register_at_fork(after_in_child=_let_go)
