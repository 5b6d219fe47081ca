"""Where finished shards wait until the data set is whole; it survives a failed or killed build.

For the archive `sa_000020` it holds

    sa_000020.0.tfrecord     a shard, one for each of `shards_per_archive`
    sa_000020.json           the sidecar: written last, so it says that the shards are whole
    sa_000020.faults.jsonl   the records that `on_error='skip'` left out
    sa_000020.failed.json    why the archive was not finished, in short: written last
    sa_000020.failed.jsonl   each fault for which it was not finished
    sa_000020.progress.json  how far a worker has come
    driver.json              which process drives the build; see `driver`
    driver.lock              held by that process, where it is on this machine
    tfds/                    where TFDS writes the data set, before it is put in its place

Every file is written under a temporary name of its own and renamed, so that two workers on the
same archive do no harm. Only single files are renamed: object stores can do that.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import uuid
from collections.abc import Iterator

from etils import epath

from segment_anything_tfds.prepare.staging import object_store

_TEMPORARY = '.tmp-'
_LISTS = ('shard_examples', 'shard_bytes', 'shard_crc32c')


@dataclasses.dataclass(frozen=True)
class Sidecar:
    """What a finished archive became.

    Attributes:
      archive: name of the archive, for example `'sa_000020'`.
      source: identity of the data that was read.
      fingerprint: identity of the options that shape the shards.
      shard_examples: examples in each shard.
      shard_bytes: size of each shard, in bytes.
      shard_crc32c: CRC-32C of each shard, computed while it was written.
      bytes_read: bytes of the archive, as stored at the source.
      md5: digest of the archive, where it was compared with a known one.
      faults: how many records were left out, by reason.
      doubts: why the archive may not be whole; see `wholeness.doubts`.
    """

    archive: str
    source: str
    fingerprint: str
    shard_examples: tuple[int, ...]
    shard_bytes: tuple[int, ...]
    shard_crc32c: tuple[int, ...]
    bytes_read: int
    md5: str | None
    faults: dict[str, int]
    doubts: dict[str, str]

    @classmethod
    def from_json(cls, fields: dict | None) -> Sidecar | None:
        """Gives the sidecar of JSON values; `None` where they are absent, or of another version."""
        try:
            lists = {key: tuple(fields[key]) for key in _LISTS}
            return cls(**{**fields, **lists})
        except (KeyError, TypeError):
            return None

    def to_json(self) -> str:
        """Gives the sidecar as one line of JSON."""
        return json.dumps(dataclasses.asdict(self))


@dataclasses.dataclass(frozen=True)
class Staging:
    """A folder of finished shards and their sidecars; picklable.

    Attributes:
      folder: path of the folder, on any file system that `epath` knows.
      suffix: file suffix of the shards, for example `'tfrecord'`.
    """

    folder: str
    suffix: str

    def path(self, archive: str, kind: str) -> epath.Path:
        return epath.Path(self.folder) / f'{archive}.{kind}'

    def shard(self, archive: str, index: int) -> epath.Path:
        return self.path(archive, f'{index}.{self.suffix}')

    def write_sidecar(self, sidecar: Sidecar) -> None:
        write_text(self.path(sidecar.archive, 'json'), sidecar.to_json())

    def finished(self, archive: str) -> Sidecar | None:
        """Gives the sidecar of an archive whose shards are all there at full size, else None."""
        sidecar = Sidecar.from_json(read_json(self.path(archive, 'json')))
        if sidecar is None:
            return None
        for index, size in enumerate(sidecar.shard_bytes):
            path = self.shard(archive, index)
            if not path.exists() or path.stat().length != size:
                return None
        return sidecar

    def forget(self, archive: str, *kinds: str) -> None:
        for kind in kinds:
            self.path(archive, kind).unlink(missing_ok=True)


def folder_of(dataset_dir: epath.Path) -> str:
    """Gives the staging place of a data set: a sibling, to TFDS an unfinished data set."""
    return os.fspath(dataset_dir.parent / f'incomplete.shards_{dataset_dir.name}')


def create(folder: str) -> None:
    """Makes a staging folder, if need be."""
    epath.Path(folder).mkdir(parents=True, exist_ok=True)


def clear_temporaries(folder: str) -> None:
    """Removes what workers that were killed left half-written; for when none is at work."""
    for path in object_store.glob(epath.Path(folder), f'*{_TEMPORARY}*'):
        path.unlink(missing_ok=True)


def clear(folder: str) -> None:
    """Removes all that is in a staging folder but the lock, which its holder removes."""
    if object_store.is_remote(folder):
        epath.Path(folder).rmtree(missing_ok=True)
        return
    for path in epath.Path(folder).iterdir():
        if path.suffix != '.lock':
            path.rmtree() if path.is_dir() else path.unlink(missing_ok=True)


def temporary_path(path: epath.Path) -> epath.Path:
    """Gives a name beside `path` that nobody else uses."""
    return path.with_name(f'{path.name}{_TEMPORARY}{uuid.uuid4().hex}')


@contextlib.contextmanager
def replacing(path: epath.Path) -> Iterator[epath.Path]:
    """Gives a temporary path; it becomes `path` if the block succeeds, else it is removed."""
    temporary = temporary_path(path)
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: epath.Path, text: str) -> None:
    """Writes a small file so that a reader sees it whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text)


def read_json(path: epath.Path) -> dict | None:
    """Reads a small JSON file; None where it is absent, was cut short or makes no sense."""
    try:
        value = json.loads(path.read_text())
    except (FileNotFoundError, ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
