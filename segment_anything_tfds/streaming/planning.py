"""What to read of a selection and how: the part of a stream that no framework matters to."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable

from segment_anything_tfds.source import checksums
from segment_anything_tfds.source.archive import locations
from segment_anything_tfds.source.archive import paths as paths_lib
from segment_anything_tfds.source.remote import links_file
from segment_anything_tfds.streaming import fault_report, mixing, part_reader, splits
from segment_anything_tfds.streaming.cursors import Cursor, Position
from segment_anything_tfds.streaming.parts import Part, Policy

SHUFFLE_BUFFER = 128
INTERLEAVE = 4
LINK_WAIT = 600.0


@dataclasses.dataclass(frozen=True)
class Plan:
    """The parts of a stream, and how they are read.

    Attributes:
      parts: what is read, by number of the archive, in the order of the split.
      policy: how archives are read.
      seed: what archives and examples are shuffled by; `None` for no shuffling.
      shuffle_buffer: examples that are shuffled among each other.
      interleave: archives that are read at once.
    """

    parts: dict[int, Part]
    policy: Policy
    seed: int | None = None
    shuffle_buffer: int = SHUFFLE_BUFFER
    interleave: int = INTERLEAVE

    def open_mixer(self, position: Position) -> mixing.Mixer:
        """Reads several parts at once, from a position on."""
        return mixing.Mixer(position, self._open_part)

    def _open_part(self, number: int, cursor: Cursor):
        return part_reader.open_part(self.parts[number], cursor, self.policy)


def make(
    archives: str | Iterable[int] | None,
    *,
    manual_dir: str | os.PathLike | None = None,
    split: str = 'train',
    hold_out: str | Iterable[int] | None = None,
    shard: tuple[int, int] | None = None,
    on_error: str = 'fail',
    decode_images: bool = False,
    digests: str | os.PathLike | None = None,
    faults: str | os.PathLike | None = None,
    link_wait: float = LINK_WAIT,
    **order,
) -> Plan:
    """Finds what a stream reads.

    Args:
      archives: a selection such as `'20-29+130'`; `None` for all that are listed or present.
      manual_dir: as in `sa1b.stream`, which documents these and the other arguments.
      split: likewise.
      hold_out: likewise.
      shard: likewise.
      on_error: likewise.
      decode_images: likewise.
      digests: likewise.
      faults: likewise.
      link_wait: likewise.
      **order: `seed`, `shuffle_buffer` and `interleave`.

    Returns:
      The plan.

    Raises:
      ValueError: an argument breaks its rule, or an archive is nowhere, or its link has expired.
    """
    _check(on_error, **order)
    folder = None if manual_dir is None else paths_lib.open_path(os.path.expanduser(manual_dir))
    links = _read_links(folder)
    policy = Policy(
        on_error,
        decode_images,
        checksums.load([os.path.expanduser(digests)] if digests is not None else []),
        links.path,
        link_wait,
        fault_report.FaultReport(faults),
    )
    wanted = None if archives is None else splits.parse_numbers(archives, 'archives')
    sources = locations.locate(folder, links, wanted)
    everything = {source.number: Part(source.number, source) for source in sources}
    held_out = splits.parse_numbers(hold_out, 'hold_out')
    numbers = splits.share(splits.choose(sorted(everything), split, held_out), shard)
    parts = {number: everything[number] for number in numbers}
    needed = [n for n, part in parts.items() if part.source.kind == 'link']
    links_file.check_expiry(links, needed)
    return Plan(parts, policy, **order)


def _read_links(folder) -> links_file.Links:
    if folder is None:
        return links_file.Links({})
    path = folder / links_file.FILE_NAME
    return links_file.read(path) if path.exists() else links_file.Links({}, path=os.fspath(path))


def _check(on_error: str, *, seed=None, shuffle_buffer=SHUFFLE_BUFFER, interleave=INTERLEAVE):
    if on_error not in ('fail', 'skip'):
        raise ValueError(
            f"`sa1b.stream`: expected `on_error` to be 'fail' or 'skip'; got {on_error!r}."
        )
    if seed is not None and (type(seed) is not int or not 0 <= seed < 2**63):
        raise ValueError(
            f'`sa1b.stream`: expected `seed` to be an int from 0 to 2^63 - 1, or None for no '
            f'shuffling; got {seed!r}.'
        )
    for name, value in (('shuffle_buffer', shuffle_buffer), ('interleave', interleave)):
        if type(value) is not int or value < 1:
            raise ValueError(
                f'`sa1b.stream`: expected `{name}` to be an int of at least 1; got {value!r}.'
            )
