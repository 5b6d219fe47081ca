"""Tables that say more of masks: annotation id -> label, score, embedding.

A table is a CSV or Parquet file, or several, with a column `id` and any others. Small ones are held
in memory. A large one is sorted once into files beside it, one a column, which are then mapped into
memory: a look-up touches a few pages of them, whatever the size of the table.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import pathlib
import shutil
from collections.abc import Sequence
from typing import Any

import numpy as np

from segment_anything_tfds.source import label_sorting

MAPPED_FROM = 1 << 26  # bytes of the table's files
Table = str | os.PathLike | Sequence[str | os.PathLike]


@dataclasses.dataclass(frozen=True)
class Column:
    """What a table says of each id.

    Attributes:
      values: [n] or [n, D]: int64, float32, or for text int32, which are places in `words`.
      words: the different texts; None for numbers.
      path: the file that `values` are mapped from; None where they are in memory.
    """

    values: np.ndarray
    words: tuple[str, ...] | None = None
    path: str | None = None

    @property
    def missing(self) -> Any:
        """What stands for an id that is not in the table: '', -1 for integers, 0.0 for others."""
        if self.words is not None:
            return ''
        return -1 if self.values.dtype.kind == 'i' else 0.0


@dataclasses.dataclass(frozen=True)
class LabelTable:
    """A table, sorted by id.

    Attributes:
      ids: the column `id`, int64 [n], rising.
      columns: the others, by name.
    """

    ids: Column
    columns: dict[str, Column]

    def kinds(self) -> dict[str, type]:
        """Gives `str` or `float` of each column that has one value for an id."""
        return {
            name: float if column.words is None else str
            for name, column in self.columns.items()
            if column.values.ndim == 1
        }

    def look_up(self, ids: Sequence[int]) -> dict[str, list | np.ndarray]:
        """Gives what the table says of some ids.

        Args:
          ids: N ids.

        Returns:
          By name a list of N texts, or an array [N] or [N, D], with `Column.missing` for ids that
          the table has not; and `has_label` bool [N], which says for which it has any.
        """
        wanted = np.asarray(ids, np.uint64).astype(np.int64)
        rows = np.searchsorted(self.ids.values, wanted)
        rows = np.minimum(rows, max(len(self.ids.values) - 1, 0))
        known = np.zeros(len(wanted), bool)
        if len(self.ids.values):
            known = self.ids.values[rows] == wanted
        found: dict[str, list | np.ndarray] = {'has_label': known}
        for name, column in self.columns.items():
            values = np.full((len(wanted), *column.values.shape[1:]), -1, column.values.dtype)
            values[known] = column.values[rows[known]]
            if column.words is None:
                values[~known] = column.missing
                found[name] = values
            else:
                found[name] = [column.words[n] if n >= 0 else '' for n in values.tolist()]
        return found


def open_table(table: Table, *, cache_dir: str | os.PathLike | None = None) -> LabelTable:
    """Opens a table.

    Args:
      table: a CSV or Parquet file, or a list of them with the same columns. `id` holds integers;
        other columns hold integers, numbers, text (at most 2^20 different ones), or in Parquet
        lists of numbers of one length, in CSV the same as text such as `[0.5, 1]`.
      cache_dir: where the sorted columns of a table of more than `MAPPED_FROM` bytes go (64 MiB);
        by default a folder beside the table. They are used again until the table changes.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: there is no column `id`, an id occurs twice, or a column holds something else; the
        file and the column are named.

    Example:
      >>> import tempfile, pathlib
      >>> path = pathlib.Path(tempfile.mkdtemp()) / 'labels.csv'
      >>> _ = path.write_text('id,label,score\\n7,dog,0.5\\n3,cat,0.9\\n')
      >>> open_table(path).look_up([3, 4])['label']
      ['cat', '']
    """
    single = isinstance(table, (str, os.PathLike))
    paths = [pathlib.Path(path) for path in ([table] if single else table)]
    for path in paths:
        if not path.is_file():
            raise FileNotFoundError(
                f'`label_table.open_table`: expected `table` to be a CSV or Parquet file; got '
                f'{path}. Check its spelling.'
            )
    if sum(path.stat().st_size for path in paths) <= MAPPED_FROM:
        return _held(paths)
    folder = pathlib.Path(cache_dir) if cache_dir else paths[0].parent
    folder = folder / f'{paths[0].name}.{_fingerprint(paths)}.columns'
    if not (folder / label_sorting.DESCRIPTION).exists():
        temporary = folder.with_name(f'{folder.name}.{os.getpid()}.incomplete')
        shutil.rmtree(temporary, ignore_errors=True)
        try:
            temporary.mkdir(parents=True)
            label_sorting.sort(paths, temporary)
            shutil.rmtree(folder, ignore_errors=True)
            os.replace(temporary, folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    return _mapped(folder)


def _fingerprint(paths: list[pathlib.Path]) -> str:
    stats = [(str(path.absolute()), path.stat().st_size, path.stat().st_mtime_ns) for path in paths]
    return hashlib.sha256(repr(stats).encode()).hexdigest()[:12]


def _held(paths: list[pathlib.Path]) -> LabelTable:
    reader = label_sorting.Reader(paths)
    parts = list(reader)
    empty = reader.empty()
    columns = {
        name: np.concatenate([empty[name], *(part[name] for part in parts)]) for name in empty
    }
    order = np.argsort(columns['id'], kind='stable')
    label_sorting.check_ids(columns['id'][order])
    words = reader.words()
    found = {name: Column(values[order], words.get(name)) for name, values in columns.items()}
    return LabelTable(found.pop('id'), found)


def _mapped(folder: pathlib.Path) -> LabelTable:
    content = json.loads((folder / label_sorting.DESCRIPTION).read_text(encoding='utf-8'))
    found = {}
    for name, kind in content.items():
        path = folder / kind['file']
        shape = tuple(kind['shape'])
        values = np.memmap(path, kind['dtype'], 'r', shape=shape)
        words = kind['words']
        found[name] = Column(values, None if words is None else tuple(words), str(path))
    return LabelTable(found.pop('id'), found)
