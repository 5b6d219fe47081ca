"""Archives in the format of SA-1B: flat tars in gzip, for everything that reads SA-1B."""

from __future__ import annotations

import contextlib
import gzip
import json
import tarfile
from collections.abc import Iterator

from segment_anything_tfds.exchange import formats, records
from segment_anything_tfds.exchange.writers import tars
from segment_anything_tfds.source import selection


class Writer(formats.Numbered):
    """Writes `sa_000000.tar` and so on; pairs stay together."""

    @contextlib.contextmanager
    def opened(self, number: int) -> Iterator[None]:
        path = self.folder / f'{selection.archive_name(number)}.tar'
        with (
            open(path, 'wb') as file,
            gzip.GzipFile('', 'wb', 1, file, mtime=0) as packed,
            tarfile.open(fileobj=packed, mode='w', format=tarfile.USTAR_FORMAT) as self._tar,
        ):
            root = tarfile.TarInfo('.')
            root.type, root.mode = tarfile.DIRTYPE, 0o755
            self._tar.addfile(root)
            yield

    def add(self, record: records.Record) -> None:
        tars.add(self._tar, f'./{record.stem}.jpg', record.jpeg)
        tars.add(self._tar, f'./{record.stem}.json', json.dumps(record.json).encode())
