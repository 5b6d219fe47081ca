"""MD5 digests by archive name: lists in `md5sum`'s format, and what was published about archives.

Meta publishes no digests. What others published is only as good as the copies they had, so an
archive that differs from it deserves a warning; one that equals a copy known to be corrupt is bad.
`checksums/README.md` has the formats.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
import re
import tempfile
from collections.abc import Iterable, Mapping

from segment_anything_tfds.source import resources

STATES = ('good', 'corrupt')
_NAMES = 'surrogateescape'  # file names are bytes, and lists hold them as they are
_HEADER = 'file_name\tmd5\tstate\tsource'
_MD5SUM = re.compile(r'\\?([0-9a-fA-F]{32}) [ *](.+)')
_BSD = re.compile(r'MD5 \((.+)\) = ([0-9a-fA-F]{32})')
_MD5 = re.compile('[0-9a-fA-F]{32}')
_ARCHIVE = re.compile(r'(sa_[0-9]{6})(\.tar|\.tar\.gz|\.tgz)?')


@dataclasses.dataclass(frozen=True)
class Entry:
    """What somebody says about one file.

    Attributes:
      name: base name of the file.
      md5: digest, 32 lower-case hexadecimal digits.
      state: `'good'`, or `'corrupt'` for the digest of a copy known to be damaged.
      source: who says so.
      trusted: whether a file with another digest is certainly wrong.
    """

    name: str
    md5: str
    state: str = 'good'
    source: str = ''
    trusted: bool = True


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What a digest says about a file.

    Attributes:
      status: `'match'`, `'mismatch'`, `'corrupt'` (a copy known to be damaged) or `'unknown'`
        (nothing to compare with).
      level: `'ok'`, `'warning'` or `'error'`.
      detail: one sentence for a person.
    """

    status: str
    level: str
    detail: str


class Checksums:
    """Digests by archive name; `sa_000020`, `sa_000020.tar` and a path to it name the same."""

    def __init__(self, entries: Iterable[Entry] = ()):
        self._entries: dict[str, list[Entry]] = {}
        for entry in entries:
            self._entries.setdefault(_key(entry.name), []).append(entry)

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, name: str) -> bool:
        return _key(name) in self._entries

    def digest(self, name: str) -> str | None:
        """Gives the digest that an intact copy has, the most trusted one; `None` if unknown."""
        good = self._of(name, 'good')
        return max(good, key=lambda entry: entry.trusted).md5 if good else None

    def check(self, name: str, md5: str) -> Verdict:
        """Compares a file's digest with all that is known about its name.

        Args:
          name: archive name, file name or path.
          md5: digest of the file, 32 hexadecimal digits.

        Raises:
          ValueError: `md5` is no MD5 digest.

        Example:
          >>> known = Checksums([Entry('sa_000020.tar', 'a' * 32)])
          >>> known.check('sa_000020', 'b' * 32).status
          'mismatch'
        """
        md5 = _checked('check', md5)
        good = self._of(name, 'good')
        for entry in self._of(name, 'corrupt'):
            if entry.md5 == md5:
                return Verdict(
                    'corrupt',
                    'error',
                    f'{_key(name)} is the corrupt copy with MD5 {md5} ({entry.source}). Download '
                    'it again from elsewhere.',
                )
        if not good:
            return Verdict('unknown', 'ok', f'No digest of {_key(name)} is known.')
        for entry in good:
            if entry.md5 == md5:
                return Verdict('match', 'ok', f'The MD5 of {_key(name)} is as expected.')
        trusted = [entry for entry in good if entry.trusted]
        entry = (trusted or good)[0]
        return Verdict(
            'mismatch',
            'error' if trusted else 'warning',
            f'Expected {_key(name)} to have MD5 {entry.md5} ({entry.source}); got {md5}. '
            'Download it again, or verify its contents.',
        )

    def _of(self, name: str, state: str) -> list[Entry]:
        return [entry for entry in self._entries.get(_key(name), ()) if entry.state == state]


def load(paths: Iterable[str | os.PathLike] = ()) -> Checksums:
    """Reads what comes with the package about SA-1B's archives, and lists of the user's own.

    Args:
      paths: lists to trust, in `md5sum`'s or our tab-separated format.

    Raises:
      FileNotFoundError: a list does not exist.
      ValueError: a list is malformed; see `read`.
    """
    entries = read(resources.folder('checksums') / 'published.tsv')
    for path in paths:
        entries += read(path)
    return Checksums(entries)


def read(path: str | os.PathLike) -> list[Entry]:
    """Reads a list of digests.

    Accepts `md5sum`'s lines (`<md5>  <name>`, `<md5> *<name>`), those of BSD's `md5`
    (`MD5 (<name>) = <md5>`), and our tab-separated table, told by its header. Blank lines and lines
    that begin with `#` are passed over. Entries of our table are not `trusted`.

    Args:
      path: the list.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: a line is neither; the file and the line are named.
    """
    path = pathlib.Path(path)
    entries, table = [], False
    for number, line in enumerate(path.read_text('utf-8-sig', _NAMES).splitlines(), 1):
        if not line.strip() or line.startswith('#'):
            continue
        if line == _HEADER:
            table = True
            continue
        entry = _read_row(line) if table else _read_line(line, path.name)
        if entry is None:
            rule = _HEADER.replace('\t', '<TAB>') if table else '<md5>  <file name>'
            raise ValueError(
                f'`checksums.read`: expected lines "{rule}" in {path}; got {line[:120]!r} in line '
                f'{number}. Write the list with `md5sum`.'
            )
        entries.append(entry)
    return entries


def record(path: str | os.PathLike, digests: Mapping[str, str], *, replace: bool = False) -> None:
    """Adds digests to a list in `md5sum`'s format, made if need be; in one step, sorted by name.

    Args:
      path: the list.
      digests: MD5 digests by file name.
      replace: whether a digest that differs from the one recorded before takes its place.

    Raises:
      ValueError: a digest is malformed or differs from the one recorded before.
    """
    path = pathlib.Path(path)
    lines = path.read_text('utf-8', _NAMES).splitlines() if path.exists() else []
    comments = [line for line in lines if line.startswith('#')]
    known = {entry.name: entry.md5 for entry in read(path)} if path.exists() else {}
    for name, md5 in digests.items():
        md5 = _checked('record', md5)
        if known.get(name, md5) != md5 and not replace:
            raise ValueError(
                f'`checksums.record`: expected {name} to have the MD5 recorded in {path}, '
                f'{known[name]}; got {md5}. Pass `replace=True` if the file was meant to change.'
            )
        known[name] = md5
    rows = [f'{md5}  {name}' for name, md5 in sorted(known.items())]
    with tempfile.NamedTemporaryFile(
        'w',
        encoding='utf-8',
        errors=_NAMES,
        newline='\n',
        dir=path.parent,
        prefix=path.name,
        delete=False,
    ) as file:
        file.write('\n'.join(comments + rows) + '\n')
    os.chmod(file.name, 0o644)
    os.replace(file.name, path)


def _read_line(line: str, source: str) -> Entry | None:
    if match := _MD5SUM.fullmatch(line.rstrip()):
        md5, name = match.groups()
    elif match := _BSD.fullmatch(line.strip()):
        name, md5 = match.groups()
    else:
        return None
    return Entry(name.removeprefix('./'), md5.lower(), source=source)


def _read_row(line: str) -> Entry | None:
    fields = line.split('\t')
    if len(fields) != 4 or not _MD5.fullmatch(fields[1]) or fields[2] not in STATES:
        return None
    return Entry(fields[0], fields[1].lower(), fields[2], fields[3], trusted=False)


def _checked(function: str, md5: str) -> str:
    if not isinstance(md5, str) or not _MD5.fullmatch(md5):
        raise ValueError(
            f'`checksums.{function}`: expected `md5` to be 32 hexadecimal digits; got {md5!r}.'
        )
    return md5.lower()


def _key(name: str) -> str:
    base = re.split(r'[/\\]', os.fspath(name))[-1]
    match = _ARCHIVE.fullmatch(base)
    return match[1] if match else base
