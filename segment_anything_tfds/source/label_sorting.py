"""Reads tables of labels piece by piece, and sorts large ones by id into a file a column.

A table that does not fit into memory is sorted by buckets: rows go into the bucket of their range
of ids, and each bucket, small enough, is sorted on its own.
"""

from __future__ import annotations

import json
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np

DESCRIPTION = 'columns.json'
_BUCKET = 1 << 21  # rows
_WORDS = 1 << 20
_ROWS = 1 << 16  # of Parquet, at once
_BLOCK = 1 << 24  # bytes of CSV, at once
_PARQUET = '.parquet'
Piece = dict[str, np.ndarray]


class Reader:
    """Pieces of a table: `id` int64 [n], other columns int64, float32 or int32 (places of words).

    Iterating again reads again; text keeps its places.
    """

    def __init__(self, paths: list[pathlib.Path]):
        self._paths = paths
        self._words: dict[str, dict[str, int]] = {}
        self._kinds: dict[str, tuple[str, tuple[int, ...]]] = {}
        for _ in self:  # kinds of columns follow from the first rows
            break
        if not self._kinds:
            raise _error(paths[0], 'a column `id`', 'an empty table')

    def __iter__(self) -> Iterator[Piece]:
        for path in self._paths:
            for batch in _batches(path):
                if 'id' not in batch.schema.names:
                    names = ', '.join(batch.schema.names)
                    raise _error(path, 'a column `id`', f'the columns {names:.200}')
                piece = {
                    name: self._convert(path, name, column)
                    for name, column in zip(batch.schema.names, batch.columns, strict=True)
                }
                for name, values in piece.items():
                    kind = str(values.dtype), values.shape[1:]
                    if self._kinds.setdefault(name, kind) != kind:
                        raise _error(path, f'`{name}` of one kind throughout', f'{kind}')
                if piece.keys() != self._kinds.keys():
                    raise _error(path, f'the columns {", ".join(self._kinds)}', ', '.join(piece))
                yield piece

    def empty(self) -> Piece:
        """Gives no rows, of the kinds that all rows have."""
        return {name: np.zeros((0, *shape), kind) for name, (kind, shape) in self._kinds.items()}

    def words(self) -> dict[str, tuple[str, ...]]:
        """Gives the different texts of columns of text, in the order of their places."""
        return {name: tuple(words) for name, words in self._words.items()}

    def _convert(self, path: pathlib.Path, name: str, column: Any) -> np.ndarray:
        import pyarrow as pa

        kind = column.type
        if pa.types.is_dictionary(kind):
            column = column.dictionary_decode()
            kind = column.type
        if name == 'id':
            if not pa.types.is_integer(kind) or column.null_count:
                raise _error(path, '`id` to hold integers', str(kind))
            ids = column.to_numpy(zero_copy_only=False)
            if len(ids) and (ids.min() < 0 or ids.max() >= 2**63):
                raise _error(path, '`id` from 0 to 2^63 - 1', str(ids.min()))
            return ids.astype(np.int64)
        if pa.types.is_boolean(kind) or pa.types.is_integer(kind):
            return column.cast(pa.int64()).fill_null(-1).to_numpy(zero_copy_only=False)
        if pa.types.is_floating(kind) or pa.types.is_null(kind):
            return column.cast(pa.float32()).fill_null(0).to_numpy(zero_copy_only=False)
        if pa.types.is_string(kind) or pa.types.is_large_string(kind):
            return self._text(path, name, column.fill_null(''))
        if pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind):
            return _lists(path, name, column)
        raise _error(path, f'`{name}` to hold numbers, text or lists of numbers', str(kind))

    def _text(self, path: pathlib.Path, name: str, column: Any) -> np.ndarray:
        is_list = name not in self._words and column[0].as_py().startswith('[')
        if is_list and path.suffix != _PARQUET:
            return _lists_of_text(path, name, column.to_pylist())
        words = self._words.setdefault(name, {})
        coded = column.dictionary_encode()
        places = [words.setdefault(text, len(words)) for text in coded.dictionary.to_pylist()]
        if len(words) > _WORDS:
            raise _error(path, f'`{name}` with at most {_WORDS} different texts', 'more')
        return np.array(places, np.int32)[coded.indices.to_numpy()]


def _lists(path: pathlib.Path, name: str, column: Any) -> np.ndarray:
    """Returns float32 [n, D] of lists of one length."""
    import pyarrow as pa

    values = column.flatten()
    numeric = pa.types.is_floating(values.type) or pa.types.is_integer(values.type)
    lengths = set(column.value_lengths().to_pylist()) if hasattr(column, 'value_lengths') else {0}
    if not numeric or values.null_count or column.null_count or len(lengths) != 1:
        raise _error(path, f'`{name}` to hold lists of numbers of one length', 'others')
    found = values.to_numpy(zero_copy_only=False).astype(np.float32)
    return found.reshape(len(column), -1)


def _lists_of_text(path: pathlib.Path, name: str, texts: list[str]) -> np.ndarray:
    try:
        found = np.array([json.loads(text) for text in texts], np.float32)
    except (TypeError, ValueError):
        found = np.zeros(0)
    if found.ndim != 2:
        raise _error(path, f'`{name}` to hold lists of numbers of one length', 'others')
    return found


def _error(path: pathlib.Path, rule: str, got: str) -> ValueError:
    return ValueError(
        f'`label_table.open_table`: expected {rule} in {path.name}; got {got}. Write the table '
        'anew.'
    )


def _batches(path: pathlib.Path) -> Iterator[Any]:
    """Gives record batches of pyarrow."""
    import pyarrow as pa
    from pyarrow import csv, parquet

    try:
        if path.suffix == _PARQUET:
            # Buffered ahead, the whole file would be in memory.
            yield from parquet.ParquetFile(path, pre_buffer=False).iter_batches(_ROWS)
        else:
            yield from csv.open_csv(path, csv.ReadOptions(block_size=_BLOCK))
    except pa.ArrowInvalid as error:
        raise _error(path, 'CSV with a header, or Parquet', str(error)[:200]) from None


def check_ids(ids: np.ndarray) -> None:
    """Raises ValueError where sorted ids have one twice."""
    twice = np.flatnonzero(ids[1:] == ids[:-1])
    if len(twice):
        raise ValueError(
            f'`label_table.open_table`: expected each `id` once; got {ids[twice[0]]} twice. Join '
            'the rows of an id into one.'
        )


def sort(paths: list[pathlib.Path], folder: pathlib.Path) -> None:
    """Writes the columns of a table, sorted by id, and their description."""
    reader = Reader(paths)
    edges = _edges(reader)
    buckets = folder / 'buckets'
    buckets.mkdir()
    for piece in reader:
        owner = np.searchsorted(edges, piece['id'], 'right')
        order = np.argsort(owner, kind='stable')
        starts = np.searchsorted(owner[order], np.arange(len(edges) + 2))
        for bucket in np.unique(owner).tolist():
            rows = order[starts[bucket] : starts[bucket + 1]]
            for name, values in piece.items():
                with open(buckets / f'{bucket}.{_place(piece, name)}', 'ab') as file:
                    file.write(np.ascontiguousarray(values[rows]).tobytes())
    counts = _merge(reader, buckets, folder, len(edges) + 1)
    buckets.rmdir()
    words = reader.words()
    description = {
        name: {
            'file': f'{n}.bin',
            'dtype': str(values.dtype),
            'shape': [counts, *values.shape[1:]],
            'words': words.get(name),
        }
        for n, (name, values) in enumerate(reader.empty().items())
    }
    (folder / DESCRIPTION).write_text(json.dumps(description), encoding='utf-8')


def _edges(reader: Reader) -> np.ndarray:
    """Gives ids that part the table into buckets of some `_BUCKET` rows each."""
    # Not a list of views, each of which would keep all ids of its piece.
    sample, rows = bytearray(), 0
    for piece in reader:
        sample += piece['id'][::64].tobytes()
        rows += len(piece['id'])
    # Every 64th id stands for all of them. For three buckets, two edges: the ids at a third and at
    # two thirds of the sorted sample.
    values = np.sort(np.frombuffer(sample, np.int64))
    number = rows // _BUCKET
    return np.unique(values[np.arange(1, number + 1) * len(values) // (number + 1)])


def _place(piece: Piece, name: str) -> int:
    return list(piece).index(name)


def _merge(reader: Reader, buckets: pathlib.Path, folder: pathlib.Path, number: int) -> int:
    """Appends the buckets, each sorted, to the files of the columns; returns the rows."""
    rows, last = 0, np.zeros(0, np.int64)
    kinds = reader.empty()
    for bucket in range(number):
        if not (buckets / f'{bucket}.{_place(kinds, "id")}').exists():
            continue
        piece = {}
        for n, (name, empty) in enumerate(kinds.items()):
            path = buckets / f'{bucket}.{n}'
            piece[name] = np.fromfile(path, empty.dtype).reshape(-1, *empty.shape[1:])
            path.unlink()
        order = np.argsort(piece['id'], kind='stable')
        check_ids(np.concatenate([last, piece['id'][order]]))
        last = piece['id'][order][-1:]
        rows += len(order)
        for n, values in enumerate(piece.values()):
            with open(folder / f'{n}.bin', 'ab') as file:
                file.write(values[order].tobytes())
    return rows
