"""What a path holds: archives, extracted archives, or the shards of a prepared dataset."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import re
from collections.abc import Iterable, Sequence

from segment_anything_tfds.source import selection
from segment_anything_tfds.source.archive import locations, paths

_NUMBER = re.compile(r'sa_([0-9]{6})')
_RECORD = re.compile(r'(?:[^./][^/]*/)*sa_[0-9]+\.json')  # in no hidden folder
_INFO = 'dataset_info.json'


@dataclasses.dataclass(frozen=True, repr=False)
class Archive(locations.Source):
    """An archive under any name; `label` is what faults and reports call it."""

    label: str = ''

    @property
    def name(self) -> str:
        return self.label


@dataclasses.dataclass(frozen=True)
class Shard:
    """One shard of a dataset that TFDS prepared.

    Attributes:
      folder: the folder with `dataset_info.json`.
      split: name of the split.
      index: index of the shard in the split.
      examples: how many examples it holds.
      number: number of the archive that it was made of; `None` where the dataset does not say.
    """

    folder: str
    split: str
    index: int
    examples: int
    number: int | None = None

    @property
    def name(self) -> str:
        """What reports call it."""
        return f'{self.split}[{self.index}shard]'


Input = locations.Source | Shard


def find(
    paths: Sequence[str | os.PathLike], numbers: Iterable[int] | None = None
) -> list[locations.Source | Shard]:
    """Finds the units of work that paths hold.

    Args:
      paths: archives (of any name), folders of archives, extracted archives (in any layout), or
        prepared datasets, each local or remote.
      numbers: numbers of the archives that are wanted; all where `None`.

    Returns:
      Archives and shards, path by path, by number.

    Raises:
      FileNotFoundError: a path does not exist.
      ValueError: a path holds nothing of the kind, or none of `numbers`.
    """
    wanted = None if numbers is None else set(numbers)
    found = [unit for path in paths for unit in _find(os.fspath(path))]
    if wanted is not None:
        missing = wanted - {unit.number for unit in found}
        if missing:
            have = {unit.number for unit in found if unit.number is not None and unit.number >= 0}
            raise ValueError(
                f'`inputs.find`: expected archives {selection.format(missing)} in '
                f'{_join(paths)}; got {selection.format(have) or "no numbered archive"}. '
                'Download them first, or ask for others.'
            )
        found = [unit for unit in found if unit.number in wanted]
    return found


def _find(text: str) -> list[locations.Source | Shard]:
    path = paths.open_path(text)
    if not path.exists():
        raise FileNotFoundError(
            f'`inputs.find`: expected `paths` that exist; got {text}. Check its spelling.'
        )
    if not path.is_dir():
        return [_archive(path, 'file')]
    if prepared := _prepared_folder(path):
        return _shards(prepared)
    try:
        return locations.locate(text, None)
    except ValueError:
        pass
    if any(_RECORD.fullmatch(name) for name, *_ in paths.walk(text, stat=False)):
        return [_archive(path, 'folder')]
    raise ValueError(
        f'`inputs.find`: expected archives, an extracted archive or a prepared dataset in {text}; '
        'got a folder with neither sa_<6 digits>.tar, sa_<id>.json nor dataset_info.json. '
        'Name the folder or the file that holds them.'
    )


def _archive(path, kind: str) -> locations.Source:
    base = path.name or pathlib.Path(os.path.abspath(path)).name
    stem = base.partition('.')[0] if kind == 'file' else base
    if match := _NUMBER.fullmatch(stem):
        return locations.Source(int(match[1]), kind, os.fspath(path))
    return Archive(-1, kind, os.fspath(path), label=stem)


def _prepared_folder(path):
    """Finds the folder with `dataset_info.json`: this, or the only one up to three levels below."""
    if (path / _INFO).exists():
        return path
    for pattern in (f'*/{_INFO}', f'*/*/{_INFO}', f'*/*/*/{_INFO}'):
        found = sorted(info.parent for info in path.glob(pattern))
        found = [folder for folder in found if 'incomplete' not in folder.name]
        if len(found) > 1:
            raise ValueError(
                f'`inputs.find`: expected one prepared dataset in {path}; got {_join(found)}. '
                'Name one of them.'
            )
        if found:
            return found[0]
    return None


def _shards(folder) -> list[Shard]:
    info = json.loads((folder / _INFO).read_text())
    lengths = [
        (split['name'], [int(length) for length in split['shardLengths']])
        for split in info.get('splits', ())
    ]
    total = sum(len(shards) for _, shards in lengths)
    numbers = _archive_numbers(folder)
    # Shards come in the order of the archives: 6 shards of 3 archives are 2 of each.
    per_archive = total // len(numbers) if numbers and total % len(numbers) == 0 else 0
    shards = []
    for split, examples in lengths:
        for index, count in enumerate(examples):
            number = numbers[len(shards) // per_archive] if per_archive else None
            shards.append(Shard(os.fspath(folder), split, index, count, number))
    return shards


def _archive_numbers(folder) -> Sequence[int]:
    """Reads from its metadata which archives a dataset was made of; empty where it does not say."""
    path = folder / 'metadata.json'
    if not path.exists():
        return ()
    archives = json.loads(path.read_text()).get('archives')
    return selection.parse(archives) if archives else ()


def _join(paths: Iterable[str | os.PathLike]) -> str:
    return ', '.join(map(os.fspath, paths))
