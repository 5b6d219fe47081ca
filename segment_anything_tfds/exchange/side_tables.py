"""What archives cannot hold, in tables beside them: where images came from, what masks are called.

`images.csv` has a row for each image whose name, license or source is not told by its archive;
`labels.csv` one for each mask with a label, an id in its file, or the mark of a crowd. The latter
is a table of labels, for `training.datasets.with_labels`, exports and filters.
"""

from __future__ import annotations

import csv
import pathlib
from collections.abc import Sequence
from typing import Any

IMAGES, LABELS = 'images.csv', 'labels.csv'
_COLUMNS = {
    IMAGES: ('image_id', 'file_name', 'original_id', 'license', 'license_url', 'source'),
    LABELS: ('id', 'label', 'original_id', 'iscrowd'),
}


class SideTables:
    """Writes rows as they come; a table without rows has no file."""

    def __init__(self, folder: pathlib.Path):
        self._folder = folder
        self._files: dict[str, Any] = {}

    def __enter__(self) -> SideTables:
        return self

    def __exit__(self, *_: object) -> None:
        for file, _ in self._files.values():
            file.close()

    def add(self, table: str, row: Sequence[Any]) -> None:
        """Adds a row: values in the order of the columns, None for what is unknown."""
        if table not in self._files:
            file = open(self._folder / table, 'w', newline='', encoding='utf-8')  # noqa: SIM115
            self._files[table] = file, csv.writer(file)
            self._files[table][1].writerow(_COLUMNS[table])
        self._files[table][1].writerow(['' if value is None else value for value in row])
