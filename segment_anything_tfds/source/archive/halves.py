"""Tells which members of an archive are halves of pairs (images, records) and which to skip."""

from __future__ import annotations

import dataclasses
import re

from segment_anything_tfds.source.archive import tar_stream
from segment_anything_tfds.source.archive.chunks import StreamError
from segment_anything_tfds.source.remote.excerpt import excerpt

_HALF = re.compile(r'(sa_[0-9]{1,20})\.(jpg|jpeg|json)', re.IGNORECASE | re.ASCII)
_LINKS = {
    'link': ('symbolic link', 'Copy what it points to in its place.'),
    'hard_link': ('hard link', 'Pack the archive again with `tar --hard-dereference`.'),
}
_UNREADABLE = {
    'device': 'a device',
    'parent': 'a name that leads out of the archive',
    'sparse': 'a sparse file',
}
_OTHER_FORMATS = {
    b'PK\x03\x04': 'a zip file',
    b'\xfd7zXZ': 'an xz stream',
    b'\x28\xb5\x2f\xfd': 'a zstd stream',
    b'BZh': 'a bzip2 stream',
    b'\xff\xd8\xff': 'a JPEG',
    b'\x1f\x8b': 'gzip inside gzip',
}


@dataclasses.dataclass(frozen=True)
class Half:
    """One half of a pair.

    Attributes:
      stem: `'sa_<image id>'`, in lower case.
      kind: `'image'` or `'record'`.
      name: base name of the member.
      size: bytes.
    """

    stem: str
    kind: str
    name: str
    size: int

    @property
    def other(self) -> str:
        """The kind of the half that is wanted to go with this one."""
        return 'record' if self.kind == 'image' else 'image'

    @property
    def order(self) -> tuple:
        """Sorts halves by image id, and those of a pair next to each other."""
        return len(self.stem), self.stem, self.kind, self.name


@dataclasses.dataclass(frozen=True)
class Pair:
    """One image of SA-1B and its record, as the archive holds them.

    Attributes:
      stem: `'sa_<image id>'`, in lower case.
      image_name: base name of the image's member.
      image: the JPEG file, unchecked.
      record_name: base name of the record's member.
      record: the JSON file, unchecked.
    """

    stem: str
    image_name: str
    image: bytes = dataclasses.field(repr=False)
    record_name: str
    record: bytes = dataclasses.field(repr=False)


def base_name(name: str) -> str:
    """Gives the last part of a member's name, also of one that Windows wrote."""
    return name.replace('\\', '/').rpartition('/')[2]


def classify(name: str, kind: str, size: int) -> Half | str:
    """Gives the half that a member is, or else the kind of what is passed over.

    Args:
      name: whole name of the member. Only its base name counts, and nothing is written by it, so an
        absolute name does no harm.
      kind: `'file'`, `'directory'`, `'link'`, `'hard_link'`, `'device'`, `'sparse'` or `'other'`.
      size: bytes.
    """
    if kind != 'file':
        return kind
    if '..' in name.replace('\\', '/').split('/'):
        return 'parent'
    base = base_name(name)
    if base.startswith('._'):
        return 'resource_fork'
    return parse_name(base, size) or 'other'


def parse_name(base: str, size: int = 0) -> Half | None:
    """Gives the half that a base name stands for; `None` for any other name."""
    match = _HALF.fullmatch(base)
    if match is None:
        return None
    return Half(match[1].lower(), 'record' if match[2].lower() == 'json' else 'image', base, size)


def why_lost(kind: str) -> tuple[str, str]:
    """Tells why a member named like a half cannot be read, by its kind: reason and detail."""
    if kind in _LINKS:
        what, advice = _LINKS[kind]
        return 'member_link', f'expected a file; got a {what}, which is not followed. {advice}'
    what = _UNREADABLE.get(kind, 'a member of an unknown type')
    return 'member_unreadable', f'expected a plain file; got {what}. Pack the archive again.'


def check_start(block: bytes):
    """Says what an archive is that is no tar: most often a web page that was saved as one.

    Raises:
      StreamError: the block, up to 512 bytes, is no tar header.
    """
    if tar_stream.is_header(block):
        return
    if not block or (len(block) < tar_stream.BLOCK and b'\0' in block):
        raise StreamError(
            'archive_truncated',
            f'expected a tar; got {len(block)} bytes in all. Download the archive again.',
        )
    what = next((w for magic, w in _OTHER_FORMATS.items() if block.startswith(magic)), None)
    if what is None and b'\0' not in block and excerpt(block):
        what = f'text, probably what a server answered: "{excerpt(block)}"'
    raise StreamError(
        'archive_not_tar',
        f'expected a tar, plain or gzip; got {what or f"bytes that begin {block[:16]!r}"}. '
        'Download the archive again.',
    )
