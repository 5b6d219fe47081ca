"""What to annotate: the pictures of paths, dealt out to archives."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import itertools
import json
import numbers
import os
import pathlib
from collections import Counter
from collections.abc import Iterable, Sequence

from PIL import Image

from segment_anything_tfds.source import selection
from segment_anything_tfds.source.archive import inputs, paths

ARCHIVE_SIZE = 11_186  # images, as in SA-1B
MAX_ID = 10**12
# What cameras write and Pillow may not read: refused by name, where other files are passed over.
_CAMERA = {
    '.heic',
    '.heif',
    '.avif',
    '.jxl',
    '.dng',
    '.cr2',
    '.cr3',
    '.nef',
    '.arw',
    '.raf',
    '.rw2',
}


@dataclasses.dataclass(frozen=True)
class Unit:
    """The pictures of one archive to be made; picklable and small.

    Attributes:
      number: of the archive.
      first_id: image id of its first picture; those of `origin` keep their own.
      count: how many pictures there are; `None` where only reading tells.
      origin: the archive or shard that the pictures lie in; `None` for files.
      identity: a text that stays the same as long as the pictures do.
    """

    number: int
    first_id: int
    count: int | None
    origin: inputs.Input | None
    identity: str

    @property
    def name(self) -> str:
        """Name of the archive, such as `'sa_000000'`."""
        return selection.archive_name(self.number)


@dataclasses.dataclass(frozen=True)
class Found:
    """What paths hold.

    Attributes:
      units: one an archive to be made, by number.
      files: the picture files of each unit that is made of files, by its number.
      passed_over: files of folders that are no pictures: how many, by suffix.
    """

    units: list[Unit]
    files: dict[int, list[str]]
    passed_over: Counter


def find(
    given: Sequence[str | os.PathLike],
    *,
    archive_size: int = ARCHIVE_SIZE,
    first_id: int | None = None,
    first_number: int = 0,
    without: str = '',
) -> Found:
    """Finds the pictures of paths and deals them out to archives.

    Args:
      given: picture files and folders of them (at any depth), or else archives, extracted archives
        and prepared data sets of SA-1B.
      archive_size: picture files an archive. What lies in an archive or a shard stays together.
      first_id: image id of the first picture file, 1 if not given; others count up in the order of
        `given`, and in folders by name. Pictures from archives and shards keep their ids, so that
        their masks can be compared with those that they had.
      first_number: number of the first archive that is made of picture files, or of shards that do
        not know theirs.
      without: a folder whose files are left out, such as the one that archives are written to.

    Returns:
      The units of work.

    Raises:
      FileNotFoundError: a path does not exist.
      ValueError: there is no picture; picture files are mixed with archives; `first_id` is given
        with archives; two archives would get the same number; or a number is out of range.
    """
    _check_numbers(archive_size, first_id, first_number)
    files: dict[str, None] = {}
    origins: list[inputs.Input] = []
    passed_over: Counter = Counter()
    for path in map(os.fspath, given):
        path = path if '://' in path else os.path.abspath(path)
        found = _find_files(path, without, passed_over)
        if found is None:
            origins += inputs.find([path])
        else:
            files.update(dict.fromkeys(found))
    if not files and not origins:
        raise ValueError(
            f'`annotate.write_archives`: expected pictures in {", ".join(map(os.fspath, given))}; '
            f'got none{_and_others(passed_over)}. Name files, or folders that hold some.'
        )
    if files and origins:
        raise ValueError(
            '`annotate.write_archives`: expected either picture files or archives, whose pictures '
            f'keep their ids; got both, such as {next(iter(files))} and {origins[0].name}. '
            'Annotate them one after the other.'
        )
    if origins and first_id is not None:
        raise ValueError(
            '`annotate.write_archives`: expected no `first_id` with archives, whose pictures keep '
            f'their ids; got {first_id}. Leave it out.'
        )
    if origins:
        return Found(_units_of_origins(origins, first_number), {}, passed_over)
    portions = _portions(list(files), archive_size)
    units, lists = [], {}
    for number, portion in enumerate(portions, int(first_number)):
        start = int((1 if first_id is None else first_id) + (number - first_number) * archive_size)
        units.append(Unit(number, start, len(portion), None, _identity(portion, start)))
        lists[number] = portion
    _check_last(units)
    return Found(units, lists, passed_over)


def _find_files(text: str, without: str, passed_over: Counter) -> list[str] | None:
    """Gives the picture files that a path names; `None` where it is or holds archives or shards."""
    path = paths.open_path(text)
    if not path.exists():
        raise FileNotFoundError(
            f'`annotate.write_archives`: expected `paths` that exist; got {text}. Check its '
            'spelling.'
        )
    if not path.is_dir():
        return None if _is_archive(path) else [text]
    try:
        inputs.find([text])
    except ValueError:
        pass
    else:
        return None
    found = []
    for name, kind, _, _, child in paths.walk(text, stat=False):
        suffix = pathlib.PurePath(name).suffix.lower()
        if any(part.startswith('.') for part in name.split('/')) or _is_within(child, without):
            continue
        if kind in ('file', 'link') and _is_picture(suffix):
            found.append((name, os.fspath(child)))
        else:
            passed_over[suffix or 'no suffix'] += 1
    return [child for _, child in sorted(found)]


def _is_within(path, folder: str) -> bool:
    """Tells whether a path lies in a folder; no path lies in `''`."""
    return bool(folder) and os.fspath(path).startswith(folder.rstrip('/') + '/')


def _is_archive(path) -> bool:
    """Tells an archive by its bytes: gzip, or the mark of a tar at byte 257."""
    with path.open('rb') as file:
        start = file.read(512)
    return start[:2] == b'\x1f\x8b' or start[257:262] == b'ustar'


def _is_picture(suffix: str) -> bool:
    return suffix in _CAMERA or suffix in _readable()


def _readable() -> set[str]:
    return {end for end, name in Image.registered_extensions().items() if name in Image.OPEN}


def _portions(files: list[str], size: int) -> list[list[str]]:
    return [files[start : start + size] for start in range(0, len(files), size)]


def _identity(files: Iterable[str], first_id: int) -> str:
    """Gives the first id, names of the files, and sizes and times of local ones, in 32 digits."""
    digest = hashlib.sha256(str(first_id).encode())
    for file in files:
        stat = None
        if '://' not in file:  # each question to a bucket takes a while
            with contextlib.suppress(OSError):
                stat = paths.size_and_time(paths.open_path(file))
        digest.update(json.dumps([file, stat]).encode())
    return f'files {digest.hexdigest()[:32]}'


def _units_of_origins(origins: list[inputs.Input], first_number: int) -> list[Unit]:
    known = {origin.number for origin in origins if _is_numbered(origin)}
    free = (number for number in itertools.count(int(first_number)) if number not in known)
    units = []
    for origin in origins:
        number = origin.number if _is_numbered(origin) else next(free)
        if isinstance(origin, inputs.Shard):
            identity = f'shard {origin.folder} {origin.name} {origin.examples}'
            units.append(Unit(number, 0, origin.examples, origin, identity))
        else:
            units.append(Unit(number, 0, None, origin, origin.identity()))
    twice = [number for number, count in Counter(u.number for u in units).items() if count > 1]
    if twice:
        raise ValueError(
            '`annotate.write_archives`: expected archives of different numbers; got '
            f'{selection.format(twice)} several times. Annotate them into folders of their own.'
        )
    return sorted(units, key=lambda unit: unit.number)


def _is_numbered(origin: inputs.Input) -> bool:
    return origin.number is not None and origin.number >= 0


def _check_numbers(archive_size: int, first_id: int | None, first_number: int) -> None:
    for name, value, least, most in (
        ('archive_size', archive_size, 1, 10**6),
        ('first_id', 1 if first_id is None else first_id, 0, MAX_ID),
        ('first_number', first_number, 0, selection.MAX_NUMBER),
    ):
        is_whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
        if not is_whole or not least <= value <= most:
            raise ValueError(
                f'`annotate.write_archives`: expected `{name}` from {least} to {most}; got '
                f'{value!r}.'
            )


def _check_last(units: list[Unit]) -> None:
    if units[-1].number > selection.MAX_NUMBER:
        raise ValueError(
            '`annotate.write_archives`: expected archives up to number '
            f'{selection.MAX_NUMBER}; got {units[-1].number}. Take a larger `archive_size`.'
        )


def _and_others(passed_over: Counter) -> str:
    if not passed_over:
        return ''
    return f' (passed over: {", ".join(f"{n} {s}" for s, n in passed_over.most_common(5))})'
