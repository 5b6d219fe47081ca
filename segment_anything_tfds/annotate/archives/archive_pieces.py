"""An archive written piece by piece, so that a stopped run keeps every piece that is whole.

An archive of 11,186 pictures may take a day. A gzip stream may be followed by another, and readers
join what both hold; so an archive is cut between two pictures into pieces that are streams of their
own, each a file under its final name only when it is whole:

    sa_000000.0000.piece    gzip(sa_1.jpg sa_1.json ... sa_8.json)
    sa_000000.0000.json     the piece's note: written after it, so it says that the piece is whole
    sa_000000.0001.piece    gzip(sa_9.jpg ...)

    sa_000000.tar = gzip(the folder '.') + pieces + gzip(the tar's end mark)

The same pictures and masks give the same bytes, whoever writes them and however often a run is
stopped.
"""

from __future__ import annotations

import csv
import dataclasses
import gzip
import io
import json
import shutil
import tarfile
from collections import Counter
from typing import Any

from etils import epath

from segment_anything_tfds.exchange.writers import tars
from segment_anything_tfds.prepare.staging import place

PIECE_IMAGES = 8
COLUMNS = ('file_name', 'source', 'width', 'height', 'original_width', 'original_height', 'masks')
_COPY_BYTES = 8 << 20


@dataclasses.dataclass
class Piece:
    """Pictures with masks that go into one piece, while it is filled.

    Attributes:
      rows: of the side table, as `COLUMNS`.
      faults: what was left out, as JSON values of `faults.Fault`.
      seen: pictures that were looked at, those left out included.
    """

    rows: list[list[Any]] = dataclasses.field(default_factory=list)
    faults: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    seen: int = 0

    def __post_init__(self) -> None:
        self._bytes = io.BytesIO()
        self._packed = gzip.GzipFile('', 'wb', 1, self._bytes, mtime=0)
        self._tar = tarfile.TarFile(fileobj=self._packed, mode='w', format=tarfile.USTAR_FORMAT)

    def add(self, jpeg: bytes, record: dict[str, Any], row: list[Any]) -> None:
        """Adds a picture, its record and its row of the side table."""
        stem = record['image']['file_name'].rpartition('.')[0]
        tars.add(self._tar, f'./{stem}.jpg', jpeg)
        tars.add(self._tar, f'./{stem}.json', json.dumps(record).encode())
        self.rows.append(row)

    @property
    def masks(self) -> int:
        """Masks in it."""
        return sum(row[-1] for row in self.rows)

    def to_bytes(self) -> bytes:
        """Gives the stream; nothing can be added after it."""
        self._packed.close()  # the tar is left without an end mark
        return self._bytes.getvalue()


class Pieces:
    """The pieces of one archive in a staging place.

    Args:
      staging: the place.
      name: of the archive.
      fingerprint: of everything that shapes the pieces; those of another one do not count.
    """

    def __init__(self, staging: place.Staging, name: str, fingerprint: str):
        self._staging, self._name, self._fingerprint = staging, name, fingerprint

    def notes(self, limit: int | None = None) -> list[dict[str, Any]]:
        """Gives the notes of the pieces that are whole, from the first one on; at most `limit`."""
        found = []
        while len(found) != limit and (note := self._note(len(found))) is not None:
            found.append(note)
        return found

    def write(self, index: int, piece: Piece) -> None:
        """Keeps a piece; when this returns, it survives whatever happens."""
        data = piece.to_bytes()
        with place.replacing(self._path(index, 'piece')) as temporary:
            temporary.write_bytes(data)
        note = {
            'fingerprint': self._fingerprint,
            'bytes': len(data),
            'seen': piece.seen,
            'rows': piece.rows,
            'faults': piece.faults,
        }
        place.write_text(self._path(index, 'json'), json.dumps(note))

    def assemble(self, count: int, target: epath.Path) -> int:
        """Writes the archive of the first `count` pieces; returns its size in bytes."""
        with place.replacing(target) as temporary:
            with temporary.open('wb') as out:
                out.write(_start())
                for index in range(count):
                    with self._path(index, 'piece').open('rb') as piece:
                        shutil.copyfileobj(piece, out, _COPY_BYTES)
                out.write(_end())
            size = temporary.stat().length
        return size

    def clear(self, count: int) -> None:
        """Removes the pieces, whose archive is there."""
        for index in range(count):
            for kind in ('json', 'piece'):
                self._path(index, kind).unlink(missing_ok=True)

    def _path(self, index: int, kind: str) -> epath.Path:
        return self._staging.path(self._name, f'{index:04d}.{kind}')

    def _note(self, index: int) -> dict[str, Any] | None:
        note = place.read_json(self._path(index, 'json'))
        if note is None or note.get('fingerprint') != self._fingerprint:
            return None
        path = self._path(index, 'piece')
        if not path.exists() or path.stat().length != note.get('bytes'):
            return None
        return note


def table(rows: list[list[Any]], header: bool = False) -> str:
    """Writes rows of the side table as CSV."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator='\n')
    if header:
        writer.writerow(COLUMNS)
    writer.writerows(rows)
    return text.getvalue()


def count(notes: list[dict[str, Any]]) -> Counter:
    """Counts images and masks of pieces, and what they left out, by reason."""
    rows = [row for note in notes for row in note['rows']]
    left_out = Counter(f'skipped/{fault["reason"]}' for n in notes for fault in n['faults'])
    return Counter(images=len(rows), masks=sum(row[-1] for row in rows)) + left_out


def _start() -> bytes:
    """Gives the folder that SA-1B's archives begin with."""
    root = tarfile.TarInfo('.')
    root.type, root.mode = tarfile.DIRTYPE, 0o755
    return gzip.compress(root.tobuf(tarfile.USTAR_FORMAT), 1, mtime=0)


def _end() -> bytes:
    """Gives the end mark of a tar: two blocks of zeros."""
    return gzip.compress(bytes(2 * tarfile.BLOCKSIZE), 1, mtime=0)
