"""The links file of SA-1B: which archives exist, where they are, and until when.

The file is a table of `file_name` and `cdn_link`. The links are signed: whoever has one can
download, so the query of a link never goes into a log, an error or a `repr`.
"""

from __future__ import annotations

import dataclasses
import datetime
import os
import re
import urllib.parse
from collections.abc import Iterable

from segment_anything_tfds.source import selection
from segment_anything_tfds.source.archive import paths
from segment_anything_tfds.source.remote.redaction import redact

FILE_NAME = 'segment_anything_links.txt'
HOMEPAGE = 'https://ai.meta.com/datasets/segment-anything-downloads/'
HOW_TO_GET = (
    f'Get a new links file from {HOMEPAGE} (accept the licence, then download the text file of '
    f'links), and save it as {FILE_NAME} in `manual_dir`.'
)
_SCHEMES = ('http', 'https')
_ARCHIVE = re.compile(r'sa_([0-9]{6})\.tar')
_FILE = re.compile(r'[A-Za-z0-9_-]{1,60}(\.[A-Za-z0-9]{1,4}){1,2}')
_HEADERS = ('file_name', 'filename', 'file', 'name')
_MAX_BYTES = 16 * 1024**2
_MAX_PROBLEMS = 20

__all__ = ['ExpiredLinksError', 'Link', 'Links', 'check_expiry', 'parse', 'read', 'redact']


@dataclasses.dataclass(frozen=True)
class Link:
    """Where one archive can be downloaded.

    Attributes:
      number: number of the archive.
      url: signed URL; a secret.
      line: line of the links file, from 1.
      expires: when the server stops to honour the URL, UTC; `None` where the URL does not say.
    """

    number: int
    url: str = dataclasses.field(repr=False)
    line: int
    expires: datetime.datetime | None = None

    @property
    def name(self) -> str:
        """Name of the archive, such as `'sa_000020'`."""
        return selection.archive_name(self.number)


@dataclasses.dataclass(frozen=True)
class Links:
    """A links file.

    Attributes:
      archives: links by archive number, ascending.
      ignored: (line, file name) of rows that are not numbered archives.
      path: where the file was read.
    """

    archives: dict[int, Link]
    ignored: tuple[tuple[int, str], ...] = ()
    path: str = FILE_NAME

    @property
    def expires(self) -> datetime.datetime | None:
        """When the first link expires, UTC; `None` where no link says."""
        return min((link.expires for link in self.archives.values() if link.expires), default=None)


class ExpiredLinksError(ValueError):
    """Links that are needed have expired."""


def read(path: os.PathLike | str) -> Links:
    """Reads a links file.

    Args:
      path: the file, or the folder that contains `segment_anything_links.txt`; local or remote.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: the file is not a links file; see `parse`.
    """
    path = paths.open_path(path)
    if path.is_dir():
        path = path / FILE_NAME
    if not path.exists():
        raise FileNotFoundError(
            f'`links.read`: expected `path` to be a links file; got {os.fspath(path)}, which does '
            f'not exist. {HOW_TO_GET}'
        )
    length, _ = paths.size_and_time(path)
    if length > _MAX_BYTES:
        raise ValueError(
            f'`links.read`: expected a links file of at most {_MAX_BYTES} bytes; got {length} '
            f'bytes in {os.fspath(path)}. {HOW_TO_GET}'
        )
    return parse(_decode(path.read_bytes(), os.fspath(path)), path=os.fspath(path))


def parse(text: str, path: str = FILE_NAME) -> Links:
    """Parses the text of a links file.

    Accepts a header or none, tabs or spaces, any line ends, a byte order mark, blank lines and
    any order. Rows whose name is not `sa_<6 digits>.tar` are listed in `Links.ignored`.

    Args:
      text: the text.
      path: where it came from, for messages.

    Raises:
      ValueError: there is no archive in it, or a row is malformed, repeated or has a URL that is
        not HTTP(S); all such rows are listed with their lines.

    Example:
      >>> links = parse('sa_000020.tar  https://example.com/20?oe=65000000')
      >>> links.archives[20].expires.isoformat()
      '2023-09-12T06:06:56+00:00'
    """
    rows = [(n, line.split()) for n, line in enumerate(re.split('\r\n|\n|\r', text), 1)]
    rows = [(number, fields) for number, fields in rows if ''.join(fields).strip('\ufeff\0')]
    if rows:
        rows[0][1][0] = rows[0][1][0].lstrip('\ufeff')
    if rows and _is_header(rows[0][1]):
        del rows[0]
    archives: dict[int, Link] = {}
    ignored: list[tuple[int, str]] = []
    problems: list[str] = []
    for line, fields in rows:
        problem = _find_problem(fields, archives)
        if problem:
            problems.append(f'line {line}: {problem}')
        elif match := _ARCHIVE.fullmatch(fields[0]):
            number = int(match[1])
            archives[number] = Link(number, fields[1], line, read_expiry(fields[1]))
        else:
            ignored.append((line, fields[0]))
    if problems or not archives:
        _raise_problems(text, problems, len(ignored), path)
    return Links(dict(sorted(archives.items())), tuple(ignored), path)


def check_expiry(
    links: Links, needed: Iterable[int], *, now: datetime.datetime | None = None
) -> None:
    """Checks that the links to the archives that are needed are still valid.

    Args:
      links: the links file.
      needed: numbers of the archives that have to be downloaded; those without a link are ignored.
      now: UTC time to compare with; the clock's where `None`.

    Raises:
      ExpiredLinksError: at least one has expired.
    """
    now = now or datetime.datetime.now(datetime.timezone.utc)
    found = [links.archives[number] for number in needed if number in links.archives]
    expired = [link for link in found if link.expires is not None and link.expires <= now]
    if expired:
        since = min(link.expires for link in expired)
        raise ExpiredLinksError(
            f'`links.check_expiry`: expected links that are valid at {now:%Y-%m-%d %H:%M} UTC; got '
            f'{len(expired)} in {links.path} that have expired, the first at '
            f'{since:%Y-%m-%d %H:%M} UTC. Missing archives: '
            f'{selection.format(link.number for link in expired)}. {HOW_TO_GET} '
            'What is finished stays finished: archives are known by name, not by link.'
        )


def _decode(data: bytes, path: str) -> str:
    utf16 = data.startswith((b'\xff\xfe', b'\xfe\xff'))
    try:
        return data.decode('utf-16' if utf16 else 'utf-8-sig')
    except UnicodeDecodeError as error:
        raise ValueError(
            f'`links.read`: expected {path} to be UTF-8 text; got byte {data[error.start]:#04x} at '
            f'offset {error.start}. {HOW_TO_GET}'
        ) from None


def _is_header(fields: list[str]) -> bool:
    return fields[0].lower() in _HEADERS and not any('://' in field for field in fields)


def _find_problem(fields: list[str], archives: dict[int, Link]) -> str | None:
    shown = ' '.join(map(_show, fields[:4]))
    if len(fields) != 2:
        return f'expected 2 columns, file name and link; got {len(fields)}: {shown}'
    match = _ARCHIVE.fullmatch(fields[0])
    if match is None:
        is_name = _FILE.fullmatch(fields[0])
        return None if is_name else f'expected a file name first; got {shown}'
    if (earlier := archives.get(int(match[1]))) is not None:
        return f'expected each archive once; got {fields[0]} again after line {earlier.line}'
    try:
        parts = urllib.parse.urlsplit(fields[1])
        valid = parts.scheme in _SCHEMES and bool(parts.hostname)
    except ValueError:
        valid = False
    return None if valid else f'expected a link that starts with http:// or https://; got {shown}'


def _show(field: str) -> str:
    """Shows a file name as it is; of anything else, perhaps part of a link, only its length."""
    if _FILE.fullmatch(field):
        return field
    scheme = re.match('[a-z][a-z0-9+.-]{0,9}://', field)
    return f'{scheme[0] if scheme else ""}… ({len(field)} characters)'


def read_expiry(url: str) -> datetime.datetime | None:
    """Tells when a signed URL expires, UTC: its `oe`; `None` where it does not say."""
    values = urllib.parse.parse_qs(urllib.parse.urlsplit(url).query).get('oe', [''])
    if not re.fullmatch('[0-9a-fA-F]{1,10}', values[-1]):
        return None
    try:
        return datetime.datetime.fromtimestamp(int(values[-1], 16), datetime.timezone.utc)
    except (ValueError, OverflowError, OSError):
        return None


def _raise_problems(text: str, problems: list[str], num_ignored: int, path: str) -> None:
    if text.lstrip('\ufeff \r\n\t').startswith('<'):
        got = 'a web page (was it saved before the licence was accepted?)'
    elif problems:
        shown = problems[:_MAX_PROBLEMS]
        if len(problems) > len(shown):
            shown.append(f'and {len(problems) - len(shown)} more')
        raise ValueError(
            f'`links.parse`: expected rows of file name and link in {path}; got '
            f'{len(problems)} rows that are not:\n  ' + '\n  '.join(shown) + f'\n{HOW_TO_GET}'
        )
    elif num_ignored:
        got = f'{num_ignored} rows, none of them an archive'
    else:
        got = 'only a header' if text.strip('\ufeff \r\n\t\0') else 'an empty file'
    raise ValueError(
        f'`links.parse`: expected rows such as `sa_000020.tar<TAB>https://...` in {path}; '
        f'got {got}. {HOW_TO_GET}'
    )
