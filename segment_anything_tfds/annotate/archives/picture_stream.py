"""Reads the pictures of one unit, one after another."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

from segment_anything_tfds.annotate.archives import picture_lists
from segment_anything_tfds.exchange import records
from segment_anything_tfds.source import faults
from segment_anything_tfds.source.archive import inputs, pair_stream, paths


@dataclasses.dataclass(frozen=True)
class Entry:
    """A picture to be annotated.

    Attributes:
      image_id: the id that it gets.
      source: the user's own name of it: a path, or archive and member.
      data: the file.
    """

    image_id: int
    source: str
    data: bytes = dataclasses.field(repr=False)


def read(unit: picture_lists.Unit, files: Sequence[str] | None) -> Iterator[Entry | faults.Fault]:
    """Gives the pictures of a unit, in an order that is the same each time.

    Args:
      unit: of `find`.
      files: its files, where it has some.

    Yields:
      Entries; and a fault in the place of each that cannot be read.
    """
    if files is not None:
        yield from _read_files(unit, files)
        return
    found: list[faults.Fault] = []
    read_all = _read_shard if isinstance(unit.origin, inputs.Shard) else _read_archive
    try:
        for entry in read_all(unit.origin, found.append):
            yield from found
            found.clear()
            yield entry
    except faults.DataError as error:  # what came before still counts
        found += error.faults
    yield from found


def _read_files(unit: picture_lists.Unit, files: Sequence[str]) -> Iterator[Entry | faults.Fault]:
    for image_id, path in enumerate(files, unit.first_id):
        try:
            data = paths.open_path(path).read_bytes()
        except OSError as error:
            detail = f'expected a file that can be read; got {error.strerror or error}'
            yield faults.Fault(unit.name, 'picture_unreadable', detail, _shown(path))
            continue
        yield Entry(image_id, _shown(path), data)


def _read_shard(shard: inputs.Shard, on_fault: records.OnFault) -> Iterator[Entry]:
    for record in records.read(shard, on_fault=on_fault):
        image_id = record.json['image']['image_id']
        yield Entry(image_id, f'{shard.name}/{record.file_name}', record.jpeg)


def _read_archive(source: pair_stream.Source, on_fault: records.OnFault) -> Iterator[Entry]:
    with pair_stream.open_archive(source, on_fault=on_fault) as pairs:
        for pair in pairs:
            image_id = int(pair.stem.removeprefix('sa_'))
            yield Entry(image_id, f'{source.name}/{pair.image_name}', pair.image)


def _shown(path: str) -> str:
    """Gives a path as text that any encoding can hold."""
    return path.encode('utf-8', 'backslashreplace').decode()
