"""`images/sa_<id>.jpg` and `annotations/sa_<id>.json`."""

from __future__ import annotations

import json
import pathlib

from segment_anything_tfds.exchange import formats, records


class Writer:
    """Writes two files for each record."""

    def __init__(self, folder: pathlib.Path, options: formats.Options):
        del options
        self._images, self._annotations = folder / 'images', folder / 'annotations'
        self._images.mkdir()
        self._annotations.mkdir()

    def write(self, record: records.Record) -> None:
        (self._images / f'{record.stem}.jpg').write_bytes(record.jpeg)
        path = self._annotations / f'{record.stem}.json'
        path.write_text(json.dumps(record.json), encoding='utf-8')

    def close(self) -> None:
        """Does nothing: there is nothing left to do."""
