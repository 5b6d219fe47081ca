"""Archives that were prepared before, in data sets of other selections beside this one."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable

from etils import epath

from segment_anything_tfds import tfds_parts
from segment_anything_tfds.prepare import accounts
from segment_anything_tfds.prepare.staging import object_store, place
from segment_anything_tfds.source import selection

ARCHIVES_FILE_NAME = 'archives.jsonl'
FAULTS_FILE_NAME = 'faults.jsonl'


@dataclasses.dataclass(frozen=True)
class DataSet:
    """A prepared selection of archives.

    Attributes:
      config: name of the selection, empty for all archives.
      folder: where it is.
      numbers: its archives.
    """

    config: str
    folder: epath.Path
    numbers: tuple[int, ...]


def find(dataset_dir: epath.Path, config: str | None, *, itself: bool = False) -> list[DataSet]:
    """Finds the prepared selections of a data set other than a given one.

    Args:
      dataset_dir: folder of that selection, `<data_dir>/<name>/<config>/<version>`.
      config: its name; `None` for all archives, whose path has none in it.
      itself: whether the given one counts too.

    Returns:
      The selections that are prepared, the largest first.
    """
    version = dataset_dir.name
    top = dataset_dir.parent.parent if config else dataset_dir.parent
    found = []
    for pattern in (version, f'*/{version}'):
        for info in object_store.glob(top, f'{pattern}/{tfds_parts.INFO_FILE_NAME}'):
            folder = info.parent
            name = '' if folder.parent == top else folder.parent.name
            if (itself or folder != dataset_dir) and (numbers := _numbers(folder)):
                found.append(DataSet(name, folder, numbers))
    return sorted(found, key=lambda data_set: (-len(data_set.numbers), data_set.config))


def archives(
    data_sets: Iterable[DataSet],
    demands: accounts.Demands,
    template: tfds_parts.ShardedFileTemplate,
) -> dict[int, accounts.Finished]:
    """Finds the archives of prepared selections that were built as they would be now, by number.

    Args:
      data_sets: the selections.
      demands: what their archives have to meet.
      template: names of shards.
    """
    found: dict[int, accounts.Finished] = {}
    for data_set in data_sets:
        for finished in _read(data_set, template):
            (number,) = selection.parse(finished.sidecar.archive)
            if number not in found and demands.are_met(finished.sidecar) and _is_there(finished):
                found[number] = finished
    return found


def _numbers(folder: epath.Path) -> tuple[int, ...]:
    metadata = place.read_json(folder / 'metadata.json') or {}
    archives = metadata.get('archives')
    try:
        return tuple(selection.parse(archives)) if isinstance(archives, str) else ()
    except ValueError:
        return ()


def _read(
    data_set: DataSet, template: tfds_parts.ShardedFileTemplate
) -> Iterable[accounts.Finished]:
    path = data_set.folder / ARCHIVES_FILE_NAME
    if not path.exists():  # prepared by an older version, which did not keep the sidecars
        return
    sidecars = [place.Sidecar.from_json(json.loads(line)) for line in path.read_text().splitlines()]
    if None in sidecars:
        return
    total = sum(len(sidecar.shard_examples) for sidecar in sidecars)
    shards = iter(template.replace(data_dir=data_set.folder).sharded_filepaths(num_shards=total))
    for sidecar in sidecars:
        paths = tuple(next(shards) for _ in sidecar.shard_examples)
        yield accounts.Finished(sidecar, paths, data_set.folder / FAULTS_FILE_NAME)


def _is_there(finished: accounts.Finished) -> bool:
    sizes = finished.sidecar.shard_bytes
    return all(
        path.exists() and path.stat().length == size
        for path, size in zip(finished.shards, sizes, strict=True)
    )
