"""Archives, downloaded into files: what is there stays, what is missing is fetched.

An archive grows in `sa_000020.tar.part` and takes its name in one step, when it is whole. Beside
it, `.sa1b/sa_000020.json` remembers which version on the server the part belongs to. Everything is
known by the archive's name, so a renewed links file goes on where the old one stopped.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import hashlib
import os
import pathlib
from collections.abc import Callable, Iterator

from segment_anything_tfds.source import faults
from segment_anything_tfds.source.archive import locations, pair_stream, tar_stream
from segment_anything_tfds.source.remote import fetch, links_file, part, redaction
from segment_anything_tfds.source.remote.control import Pace, Stop

__all__ = ['Done', 'Pace', 'Stop', 'download', 'final_path', 'is_there']

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
    """Tells where an archive lies when it is whole."""
    return pathlib.Path(folder) / f'{name}.tar'


def is_there(folder: str | os.PathLike, name: str) -> bool:
    """Tells whether an archive lies there; an empty file of its name is none.

    Raises:
      IsADirectoryError: a folder has its name.
    """
    final = final_path(folder, name)
    if final.is_dir():
        raise IsADirectoryError(
            f'`downloader.is_there`: expected {final} to be an archive, or nothing; got a folder. '
            'Move it away.'
        )
    return final.exists() and final.stat().st_size > 0


def download(
    link: links_file.Link,
    folder: str | os.PathLike,
    *,
    stop: Stop | None = None,
    pace: Pace | None = None,
    on_bytes: Callable[[int], None] = lambda size: None,
    is_wrong: Callable[[str], bool] = lambda md5: False,
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
      is_wrong: says of the digest of what was fetched whether it is another one than it should be;
        such a file is set aside as `sa_000020.tar.corrupt` and never has an archive's name.
      patience: how long to go on trying.

    Returns:
      What is there now.

    Raises:
      fetch.FetchError: the server refuses, cannot be reached, or sends something else.
      OSError: the disk is full, or another process downloads the same archive.
    """
    final = final_path(folder, link.name)
    if is_there(folder, link.name):
        return Done(final, final.stat().st_size)
    with part.opened(folder, link.name) as file:
        if is_there(folder, link.name):  # another process has just finished it
            part.path(folder, link.name).unlink(missing_ok=True)
            return Done(final, final.stat().st_size)
        job = _Download(link, pathlib.Path(folder), file, stop or Stop(), on_bytes)
        job.pace, job.patience, job.is_wrong = pace, patience, is_wrong
        return job.run()


class _Download:
    """One archive on its way into an open file."""

    pace: Pace | None = None
    patience: fetch.Patience | None = None
    is_wrong: Callable[[str], bool]

    def __init__(self, link, folder, file, stop, on_bytes):
        self._link, self._folder, self._file = link, folder, file
        self._stop, self._on_bytes = stop, on_bytes
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._fetched = self._retries = self._position = 0
        self._restarted = ''

    def run(self) -> Done:
        state = part.read_note(self._folder, self._link.name)
        if state is not None:
            self._hash_part()
        why = self._go_on(state) if self._position else ''
        if why is not None:
            self._begin(why)
        return self._finish()

    def _go_on(self, remote: fetch.Remote) -> str | None:
        """Fetches from where the part ends; gives why, where the server has something else.

        Where only tags differ, as those of a renewed link may, the bytes have to speak for it.
        """
        start = max(0, self._position - OVERLAP)
        try:
            with self._transfer(start, remote) as transfer:
                if not self._is_same(transfer, self._position - start):
                    return 'the server has other bytes than those fetched before'
                self._receive(transfer)
                return None
        except fetch.FetchError as error:
            if error.reason != 'changed':
                raise
            why = error.message
        if remote == fetch.Remote(remote.size):
            return why
        return self._go_on(fetch.Remote(remote.size))

    def _begin(self, why: str) -> None:
        """Fetches from the first byte; what is there goes once an archive is seen to come."""
        with self._transfer(0, None) as transfer:
            data = _read_fully(transfer, tar_stream.BLOCK)
            self._check_start(data)
            self._truncate(why)
            part.write_note(self._folder, self._link.name, transfer.remote)
            self._append(data)
            self._receive(transfer)

    @contextlib.contextmanager
    def _transfer(self, start: int, remote: fetch.Remote | None) -> Iterator[fetch.Transfer]:
        transfer = fetch.Transfer(
            self._link.url,
            name=self._link.name,
            start=start,
            remote=remote,
            patience=self.patience,
        )
        with transfer, self._stop.watch(transfer):
            try:
                yield transfer
            finally:
                self._fetched += transfer.fetched
                self._retries += transfer.retries

    def _receive(self, transfer: fetch.Transfer) -> None:
        """Appends what comes, to its end."""
        while data := transfer.read(PIECE):
            if self.pace is not None:
                self.pace.take(len(data))
            self._append(data)
        if (doubt := transfer.doubt()) and self._is_cut():
            raise doubt

    def _is_same(self, transfer: fetch.Transfer, size: int) -> bool:
        """Tells whether the server's bytes are those that end the part."""
        theirs = _read_fully(transfer, size)
        self._file.seek(self._position - size)
        return self._file.read(size) == theirs

    def _is_cut(self) -> bool:
        """Tells whether the archive lacks its end marker; other faults are not looked at.

        Only asked where the server does not say how long the archive is, since this reads it all.
        """
        path = str(part.path(self._folder, self._link.name))
        source = locations.Source(self._link.number, 'file', path)
        try:
            with pair_stream.open_archive(source, on_fault=lambda fault: None) as pairs:
                collections.deque(pairs, maxlen=0)
        except faults.DataError as error:
            return any(fault.reason == 'archive_truncated' for fault in error.faults)
        return False

    def _append(self, data: bytes) -> None:
        self._file.write(data)
        self._file.flush()
        self._md5.update(data)
        self._position += len(data)
        self._on_bytes(len(data))

    def _check_start(self, data: bytes) -> None:
        if not data:
            raise fetch.FetchError(
                f'`download.download`: expected bytes of {self._link.name}; got an empty file. '
                f'{links_file.HOW_TO_GET}',
                'refused',
            )
        if not data.startswith(_GZIP) and not tar_stream.is_header(data):
            shown = redaction.redact(data.decode('latin-1')).encode('latin-1', 'replace')[:16]
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

    def _finish(self) -> Done:
        md5 = self._md5.hexdigest()
        final = final_path(self._folder, self._link.name)
        if self.is_wrong(md5):
            final = final.with_suffix('.tar.corrupt')
        # Bytes, then name, then note: a crash in between leaves at worst a note without a part,
        # which nothing goes on from.
        os.fsync(self._file.fileno())
        os.replace(part.path(self._folder, self._link.name), final)
        part.sync(self._folder)
        part.note_path(self._folder, self._link.name).unlink(missing_ok=True)
        return Done(
            final,
            self._position,
            md5,
            self._fetched,
            self._retries,
            self._restarted,
        )


def _read_fully(transfer: fetch.Transfer, size: int) -> bytes:
    """Reads the next `size` bytes, fewer only at the end of the object: an error is raised."""
    data = transfer.read(size)
    return data + transfer.read(size - len(data)) if len(data) < size else data
