"""WebDataset tars: `sa_<id>.jpg` and, next to it, `sa_<id>.json`."""

from __future__ import annotations

import contextlib
import json
import tarfile
from collections.abc import Iterator

from segment_anything_tfds.exchange import formats, records
from segment_anything_tfds.exchange.writers import tars


class Writer(formats.Numbered):
    """Writes `sa1b-000000.tar` and so on."""

    @contextlib.contextmanager
    def opened(self, number: int) -> Iterator[None]:
        path = self.folder / f'sa1b-{number:06d}.tar'
        with tarfile.open(path, 'w', format=tarfile.USTAR_FORMAT) as self._tar:
            yield

    def add(self, record: records.Record) -> None:
        tars.add(self._tar, f'{record.stem}.jpg', record.jpeg)
        tars.add(self._tar, f'{record.stem}.json', json.dumps(record.json).encode())
