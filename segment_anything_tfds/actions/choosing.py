"""Interprets what functions that read data take: paths, archives, filters, `on_error`."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar

from segment_anything_tfds.source import faults, meter, selection
from segment_anything_tfds.source.archive import inputs
from segment_anything_tfds.source.archive import paths as path_lib

if TYPE_CHECKING:
    from segment_anything_tfds.exchange.records import Record
    from segment_anything_tfds.source import label_table

Path = str | os.PathLike
Paths = Path | Sequence[Path]
Archives = str | int | Iterable[int] | None
OnFault = Callable[[faults.Fault], object]
Known = TypeVar('Known')


class ArgumentError(ValueError):
    """A function was asked for something that it cannot do."""


def numbers(archives: Archives) -> tuple[int, ...] | None:
    """Gives the archives that are named; `None` for all.

    Args:
      archives: a text such as `'20-29,130'`, a number, or numbers.

    Raises:
      ArgumentError: the text is malformed.
    """
    if archives is None:
        return None
    if isinstance(archives, int):
        return (archives,)
    if not isinstance(archives, str):
        return tuple(sorted(set(archives)))
    try:
        return selection.parse(archives)
    except ValueError as error:
        raise ArgumentError(f'--archives: {error}') from None


def among(archives: Archives, known: Iterable[int], where: str) -> tuple[int, ...]:
    """Gives the archives that are named; all that are `known` where none is.

    Raises:
      ArgumentError: the text is malformed, or names archives that are not known.
    """
    known = set(known)
    chosen = numbers(archives)
    if chosen is None:
        return tuple(sorted(known))
    if missing := set(chosen) - known:
        raise ArgumentError(
            f'--archives: expected archives that {where} lists; got {selection.format(missing)}, '
            'which it does not.'
        )
    return chosen


def listed(paths: Paths) -> list[Path]:
    """Paths as a list, also where there is one only."""
    return [paths] if isinstance(paths, (str, os.PathLike)) else list(paths)


def find(paths: Paths, archives: Archives = None) -> list[inputs.Input]:
    """Gives the archives and shards that paths hold.

    Raises:
      FileNotFoundError: a path does not exist.
      ArgumentError: a path holds nothing of the kind, or not the archives that are named.
    """
    wanted = numbers(archives)
    try:
        with path_lib.served(paths, ArgumentError):
            found = inputs.find(listed(paths), wanted)
    except ValueError as error:
        raise ArgumentError(str(error)) from None
    for unit in found:
        if isinstance(unit, inputs.Shard):
            _check_readable(unit)
    return found


def _check_readable(shard: inputs.Shard) -> None:
    """Refuses shards that TensorFlow cannot read: it knows fewer stores than `fsspec` does."""
    scheme, separator, _ = shard.folder.partition('://')
    if separator and scheme != 'gs':
        raise ArgumentError(
            f'expected a prepared dataset on this computer or in gs://; got {shard.folder}, which '
            f'TensorFlow does not read from {scheme}://. Copy it here, or name its archives.'
        )


def one_of(name: str, value: Known, known: Iterable[Known]) -> Known:
    """Gives the value back, if it is one of those that are known.

    Raises:
      ArgumentError: it is not.
    """
    known = list(known)
    if value not in known:
        raise ArgumentError(f'--{name}: expected one of {", ".join(map(str, known))}; got {value}')
    return value


class Policy:
    """An `on_fault` that obeys `on_error`, and counts what is left out.

    Attributes:
      reasons: how many records were left out, by reason.
    """

    def __init__(self, on_error: str, on_fault: OnFault | None = None, advice: str | None = None):
        self.reasons: Counter[str] = Counter()
        self._fail = one_of('on_error', on_error, ('fail', 'skip')) == 'fail'
        self._on_fault = on_fault
        self._advice = advice or "`on_error='skip'` leaves such records out."

    def __call__(self, fault: faults.Fault) -> None:
        if self._fail:
            raise faults.DataError([fault], f'{fault}\nNothing was kept; {self._advice}')
        self.reasons[fault.reason] += 1
        if self._on_fault is not None:
            self._on_fault(fault)


def parse_filter(
    rules: str | None, table: label_table.LabelTable | None = None
) -> Callable[[Record], Record | None]:
    """Gives what `filters.parse` makes of the rules; a mistake in them is one in an argument."""
    from segment_anything_tfds.exchange import filters

    try:
        return filters.parse(rules or '', table.kinds() if table else None)
    except ValueError as error:
        raise ArgumentError(f'--filter: {error}') from None


def read(
    paths: Paths,
    policy: OnFault,
    *,
    archives: Archives = None,
    filter: str | None = None,
    limit: int | None = None,
    labels: label_table.Table | None = None,
    only: Collection[str] | None = None,
) -> Iterator[Record]:
    """Reads records of all inputs, filtered; what is wrong with the arguments is said at once.

    Where `only` some images are wanted, others may be passed over; see `records.read`.
    """
    table = None
    if labels is not None:
        from segment_anything_tfds.source import label_table  # imports NumPy

        table = label_table.open_table(labels)
    keep = parse_filter(filter, table)
    if limit is not None and limit < 1:
        raise ArgumentError(f'--limit: expected a whole number, 1 or more; got {limit}')
    return _read(find(paths, archives), policy, table, keep, limit, only)


def _read(
    units,
    policy: OnFault,
    table: label_table.LabelTable | None,
    keep,
    limit: int | None,
    only: Collection[str] | None,
) -> Iterator[Record]:
    from segment_anything_tfds.exchange import records

    left = limit
    for unit in units:
        for record in records.read(unit, on_fault=policy, only=only):
            kept = keep(records.named(record, table) if table else record)
            if kept is None:
                continue
            yield kept
            left = None if left is None else left - 1
            if left == 0:
                return


def records(
    paths: Paths,
    *,
    archives: Archives = None,
    filter: str | None = None,
    limit: int | None = None,
    labels: label_table.Table | None = None,
    on_error: str = 'fail',
    on_fault: OnFault | None = None,
    progress: meter.Show = None,
) -> Iterator[Record]:
    """Iterates over the records of archives, extracted archives or a prepared dataset.

    Args:
      paths: an archive, a folder of archives, an extracted archive, or a prepared dataset; or
        several of them. Local, or in a bucket.
      archives: numbers of the archives that are wanted, such as `'20-29,130'`; all by default.
      filter: rules joined by commas, such as `'area>=1000, predicted_iou>0.9, width>=2000'`; see
        `export.filters.parse`.
      limit: how many records to give at most.
      labels: a table of labels, CSV or Parquet, by annotation id; its columns are `record.labels`,
        and fields of `filter`.
      on_error: `'fail'` raises at the first record that breaks a rule, `'skip'` leaves it out.
      on_fault: with `'skip'`, called with each fault.
      progress: whether and how to show progress: `True`, nothing, or a function that is called
        with a `Progress`.

    Returns:
      An iterator over records: `jpeg`, the image file; `json`, the record; `rows`, its
      annotations, an empty list where an image has no masks; `example`, the checked columns.

    Raises:
      FileNotFoundError: a path does not exist.
      ValueError: an argument is malformed, or a path holds nothing of the kind.
      DataError: while iterating, an archive is damaged, or a record breaks a rule.

    Example:
      >>> for record in records('dummy_data', archives='0', limit=2):
      ...     print(record.file_name, len(record.rows))  # doctest: +SKIP
    """
    policy = Policy(on_error, on_fault)
    found = read(paths, policy, archives=archives, filter=filter, limit=limit, labels=labels)
    return meter.track(found, 'records', total=limit, progress=progress)
