"""TSV files as Semantic-SAM reads them, each with its `.lineidx`.

A row is the file name, the record as JSON, and the JPEG in base64. A line of `.lineidx` is the
offset and the length in bytes of a row (source: UX-Decoder/Semantic-SAM, `DATASET.md`).
"""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import Iterator

from segment_anything_tfds.exchange import formats, records


class Writer(formats.Numbered):
    """Writes `sa1b-000000.tsv` and `sa1b-000000.lineidx`, and so on."""

    @contextlib.contextmanager
    def opened(self, number: int) -> Iterator[None]:
        stem = self.folder / f'sa1b-{number:06d}'
        with (
            open(f'{stem}.tsv', 'wb') as self._rows,
            open(f'{stem}.lineidx', 'w', encoding='ascii') as self._index,
        ):
            yield

    def add(self, record: records.Record) -> None:
        fields = [
            record.file_name.encode(),
            json.dumps(record.json).encode(),
            base64.b64encode(record.jpeg),
        ]
        start = self._rows.tell()
        self._rows.write(b'\t'.join(fields) + b'\n')
        self._index.write(f'{start} {self._rows.tell() - start}\n')
