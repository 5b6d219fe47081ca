"""Where each archive of a selection is: extracted, as a file, or behind its link."""

from __future__ import annotations

import dataclasses
import logging
import os
import re
import urllib.parse
from collections.abc import Container, Iterable

from segment_anything_tfds.source import selection as selection_lib
from segment_anything_tfds.source.archive import paths
from segment_anything_tfds.source.remote import links_file

# In order of preference, where several are at hand.
SUFFIXES = ('.tar', '.tar.gz', '.tgz')
_NAME = re.compile(r'sa_([0-9]{6})(\.tar|\.tar\.gz|\.tgz)?')
_EMPTY = 'is empty'
_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Source:
    """Where one archive comes from. Picklable; no text made from it shows a link's query.

    Attributes:
      number: number of the archive.
      kind: `'folder'` (extracted), `'file'` or `'link'`.
      location: folder, file (local, `gs://`, `s3://`) or signed URL.
    """

    number: int
    kind: str
    location: str = dataclasses.field(repr=False)

    @property
    def name(self) -> str:
        """Name of the archive, such as `'sa_000020'`."""
        return selection_lib.archive_name(self.number)

    @property
    def shown(self) -> str:
        """The location, fit to be shown."""
        if self.kind != 'link':
            return self.location
        parts = urllib.parse.urlsplit(self.location)
        host = parts.netloc.rpartition('@')[2]
        return urllib.parse.urlunsplit((parts.scheme, host, parts.path, '', ''))

    def __repr__(self) -> str:
        return f'Source({self.number}, {self.kind!r}, {self.shown!r})'

    def identity(self) -> str:
        """Gives a text that stays the same as long as the data does.

        Kind, name, size in bytes and time of modification in nanoseconds of a file; kind, name,
        number of files, their size and their latest modification of a folder; kind and name of a
        link, since a renewed link leads to the same archive.
        """
        if self.kind == 'link':
            return f'link {self.name}'
        path = paths.open_path(self.location)
        if self.kind == 'file':
            size, modified = paths.size_and_time(path)
            return f'file {path.name} {size} {modified}'
        stats = [(size, modified) for _, _, size, modified, _ in paths.walk(self.location)]
        latest = max((modified for _, modified in stats), default=0)
        return f'folder {path.name} {len(stats)} {sum(size for size, _ in stats)} {latest}'


def locate(
    manual_dir: str | os.PathLike | None,
    links: links_file.Links | None,
    selection: Iterable[int] | None = None,
) -> list[Source]:
    """Finds each archive: as a file in `manual_dir`, else extracted there, else its link.

    An extracted archive is a folder `sa_000020` with members in it, at any depth; a file is
    `sa_000020.tar` (`.tar.gz` and `.tgz` are accepted too). Where both are there, the file is read:
    it has an end mark and a checksum, while a folder may be half extracted. An empty file counts
    only where its archive is nowhere else, and a symbolic link that leads nowhere never does; a
    warning says so.
    Whether links have expired is not asked here, since finished archives need none: see
    `links.check_expiry`.

    Args:
      manual_dir: local or remote folder; `None` for links alone.
      links: the links file; `None` for none.
      selection: numbers of archives; `None` for every archive that is present or listed.

    Returns:
      One source an archive, by number.

    Raises:
      ValueError: an archive of the selection is neither present nor listed, or there is none.
    """
    listed = links.archives if links is not None else {}
    present = _present(manual_dir, listed)
    numbers = sorted({*present, *listed} if selection is None else set(selection))
    missing = [number for number in numbers if number not in present and number not in listed]
    if missing or not numbers:
        got = f'none of {selection_lib.format(missing)}' if missing else 'no archive at all'
        where = 'nowhere' if manual_dir is None else os.fspath(manual_dir)
        raise ValueError(
            '`locations.locate`: expected every archive of `selection` in `manual_dir` or in the '
            f'links file; got {got} ({len(present)} archives present in {where}, {len(listed)} '
            f'links). {links_file.HOW_TO_GET}'
        )
    return [
        Source(number, *present[number])
        if number in present
        else Source(number, 'link', listed[number].url)
        for number in numbers
    ]


def _present(manual_dir, listed: Container[int]) -> dict[int, tuple[str, str]]:
    """Finds kind and location of the archives in a folder, by number; `listed` ones have a link."""
    folder = paths.open_path(manual_dir) if manual_dir is not None else None
    if folder is None or not folder.is_dir():
        return {}
    found: dict[int, dict[str, str]] = {}
    for path in folder.iterdir():
        if match := _NAME.fullmatch(path.name):
            found.setdefault(int(match[1]), {})[match[2] or ''] = os.fspath(path)
    chosen = {number: _choose(places, number in listed) for number, places in found.items()}
    return {number: place for number, place in chosen.items() if place is not None}


def _choose(places: dict[str, str], is_listed: bool) -> tuple[str, str] | None:
    """Chooses where to read an archive from; an empty file for want of any other place."""
    files = [places[s] for s in SUFFIXES if s in places and not paths.open_path(places[s]).is_dir()]
    defects = {file: _defect(file) for file in files}
    usable = [('file', file) for file, defect in defects.items() if defect is None]
    if not usable and '' in places and _has_members(places['']):
        usable = [('folder', places[''])]
    if not usable and not is_listed:
        usable = [('file', file) for file, defect in defects.items() if defect == _EMPTY]
    for file, defect in defects.items():
        if defect is not None and ('file', file) not in usable[:1]:
            _log.warning('%s %s and is passed over.', file, defect)
    return usable[0] if usable else None


def _defect(file: str) -> str | None:
    """Tells why a file cannot be an archive, as a dead link; `None` if it may be one."""
    try:
        size, _ = paths.size_and_time(paths.open_path(file))
    except OSError as error:
        return f'cannot be read ({error.strerror or type(error).__name__})'
    return None if size else _EMPTY


def _has_members(folder: str) -> bool:
    return any(
        paths.MEMBER.fullmatch(name.rpartition('/')[2])
        for name, *_ in paths.walk(folder, stat=False)
    )
