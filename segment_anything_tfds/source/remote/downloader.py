"""Archives, downloaded into files: what is there stays, what is missing is fetched.

An archive grows in `sa_000020.tar.part` and takes its name in one step, when it is whole. Beside
it, `.sa1b/sa_000020.json` remembers which version on the server the part belongs to. Everything is
known by the archive's name, so a renewed links file goes on where the old one stopped.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import pathlib
from collections.abc import Callable

from segment_anything_tfds.source.archive import tar_stream
from segment_anything_tfds.source.remote import fetch, links_file, redaction
from segment_anything_tfds.source.remote.control import Pace, Stop

__all__ = ['Done', 'Pace', 'Stop', 'download', 'final_path', 'part_size']

try:
    import fcntl
except ImportError:  # a system without file locks
    fcntl = None

STATE_FOLDER = '.sa1b'
PIECE = 1 << 20  # bytes read, hashed and written at once
OVERLAP = 64 << 10  # bytes fetched again on resuming, to compare with what is there
_GZIP = b'\x1f\x8b'


@dataclasses.dataclass(frozen=True)
class Done:
    """An archive that is whole.

    Attributes:
      path: the file.
      size: bytes.
      md5: digest in hexadecimal digits; `None` where the file was there before.
      fetched: bytes received, those received twice included.
      retries: attempts that failed and were made again.
      restarted: why bytes that were there had to be fetched again; empty where not.
    """

    path: pathlib.Path
    size: int
    md5: str | None = None
    fetched: int = 0
    retries: int = 0
    restarted: str = ''


def final_path(folder: str | os.PathLike, name: str) -> pathlib.Path:
    """Where an archive lies when it is whole."""
    return pathlib.Path(folder) / f'{name}.tar'


def part_size(folder: str | os.PathLike, name: str) -> int:
    """Bytes of an archive that an earlier run left; 0 where there are none to go on from."""
    part = _part_path(folder, name)
    return part.stat().st_size if part.exists() and _read_state(folder, name) else 0


def download(
    link: links_file.Link,
    folder: str | os.PathLike,
    *,
    stop: Stop | None = None,
    pace: Pace | None = None,
    on_bytes: Callable[[int], None] = lambda size: None,
    patience: fetch.Patience | None = None,
) -> Done:
    """Downloads one archive, or what is missing of it.

    Args:
      link: where it is.
      folder: where it goes.
      stop: set from another thread to make this download end soon; what was fetched is kept.
      pace: limits the rate of all downloads together.
      on_bytes: called with the number of bytes that came to be there since; those of an earlier
        run count too, and a restart counts back with a negative number.
      patience: how long to go on trying.

    Returns:
      What is there now.

    Raises:
      fetch.FetchError: the server refuses, cannot be reached, or sends something else.
      OSError: the disk is full, or another process downloads the same archive.
    """
    final = final_path(folder, link.name)
    if final.exists():
        return Done(final, final.stat().st_size)
    (pathlib.Path(folder) / STATE_FOLDER).mkdir(parents=True, exist_ok=True)
    part = _part_path(folder, link.name)
    with open(part, 'a+b') as file, _locked(file, link.name):
        if final.exists():  # another process has just finished it
            part.unlink(missing_ok=True)
            return Done(final, final.stat().st_size)
        job = _Download(link, pathlib.Path(folder), file, stop or Stop(), on_bytes)
        job.pace, job.patience = pace, patience
        return job.run()


class _Download:
    """One archive on its way into an open file."""

    pace: Pace | None = None
    patience: fetch.Patience | None = None

    def __init__(self, link, folder, file, stop, on_bytes):
        self._link, self._folder, self._file = link, folder, file
        self._stop, self._on_bytes = stop, on_bytes
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._fetched = self._retries = self._position = 0
        self._restarted = ''

    def run(self) -> Done:
        state = _read_state(self._folder, self._link.name)
        if state is None:
            self._truncate('')
        else:
            self._hash_part()
        try:
            self._transfer(state)
        except _OtherBytesError as error:
            self._truncate(str(error))
            self._transfer(None)
        self._check_not_empty()
        return self._finish()

    def _transfer(self, remote: fetch.Remote | None) -> None:
        """Fetches from where the part ends; asks again without tags where only these differ."""
        try:
            self._fetch(remote)
        except fetch.FetchError as error:
            if error.reason != 'changed' or remote is None:
                raise
            if self._position == 0 or remote == fetch.Remote(remote.size):
                raise _OtherBytesError(error.message) from None
            self._transfer(fetch.Remote(remote.size))

    def _fetch(self, remote: fetch.Remote | None) -> None:
        start = max(0, self._position - OVERLAP)
        transfer = fetch.Transfer(
            self._link.url,
            name=self._link.name,
            start=start,
            remote=remote,
            patience=self.patience,
        )
        with transfer, self._stop.watch(transfer):
            try:
                self._compare(transfer, self._position - start)
                while data := self._read(transfer):
                    self._append(data, transfer.remote)
            finally:
                self._fetched += transfer.fetched
                self._retries += transfer.retries

    def _read(self, transfer: fetch.Transfer) -> bytes:
        data = transfer.read(PIECE)
        if self.pace is not None:
            self.pace.take(len(data))
        return data

    def _compare(self, transfer: fetch.Transfer, size: int) -> None:
        """Makes sure that the server's bytes are those that end the part."""
        if not size:
            return
        theirs = transfer.read(size)
        self._file.seek(self._position - size)
        if self._file.read(size) != theirs:
            raise _OtherBytesError('the server has other bytes than those fetched before')

    def _append(self, data: bytes, remote: fetch.Remote) -> None:
        if self._position == 0:
            self._check_start(data)
            _write_state(self._folder, self._link.name, remote)
        self._file.write(data)
        self._file.flush()
        self._md5.update(data)
        self._position += len(data)
        self._on_bytes(len(data))

    def _check_start(self, data: bytes) -> None:
        if not data.startswith(_GZIP) and not tar_stream.is_header(data[: tar_stream.BLOCK]):
            shown = redaction.redact(data[: tar_stream.BLOCK].decode('latin-1')).encode(
                'latin-1', 'replace'
            )[:16]
            raise fetch.FetchError(
                f'`download.download`: expected a tar, plain or gzip, behind the link of '
                f'{self._link.name}; got bytes that begin {shown!r}. {links_file.HOW_TO_GET}',
                'web_page',
            )

    def _hash_part(self) -> None:
        self._file.seek(0)
        while data := self._file.read(PIECE):
            self._md5.update(data)
            self._position += len(data)
        self._on_bytes(self._position)

    def _truncate(self, why: str) -> None:
        self._on_bytes(-self._position)
        self._restarted = why
        self._position = 0
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._file.truncate(0)

    def _check_not_empty(self) -> None:
        if not self._position:
            raise fetch.FetchError(
                f'`download.download`: expected bytes of {self._link.name}; got an empty file. '
                f'{links_file.HOW_TO_GET}',
                'refused',
            )

    def _finish(self) -> Done:
        final = final_path(self._folder, self._link.name)
        os.fsync(self._file.fileno())
        os.replace(_part_path(self._folder, self._link.name), final)
        _sync_folder(self._folder)
        _state_path(self._folder, self._link.name).unlink(missing_ok=True)
        return Done(
            final,
            self._position,
            self._md5.hexdigest(),
            self._fetched,
            self._retries,
            self._restarted,
        )


class _OtherBytesError(Exception):
    """The part on disk is not the start of what the server has."""


def _part_path(folder, name: str) -> pathlib.Path:
    return pathlib.Path(folder) / f'{name}.tar.part'


def _state_path(folder, name: str) -> pathlib.Path:
    return pathlib.Path(folder) / STATE_FOLDER / f'{name}.json'


def _read_state(folder, name: str) -> fetch.Remote | None:
    try:
        return fetch.Remote(**json.loads(_state_path(folder, name).read_bytes()))
    except (OSError, ValueError, TypeError):
        return None


def _write_state(folder, name: str, remote: fetch.Remote) -> None:
    path = _state_path(folder, name)
    temporary = path.with_suffix('.tmp')
    temporary.write_text(json.dumps(dataclasses.asdict(remote)), encoding='utf-8')
    os.replace(temporary, path)


def _sync_folder(folder) -> None:
    with contextlib.suppress(OSError):  # some file systems cannot
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def _locked(file, name: str):
    """Holds the file against other processes; they are told, and do not wait."""
    if fcntl is not None:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise OSError(
                f'`download.download`: expected {name} for this process alone; got another one '
                'that downloads it. Wait for that one.'
            ) from None
    yield
