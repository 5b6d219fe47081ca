"""What to read of a selection and how: the part of a stream that no framework matters to."""

from __future__ import annotations

import dataclasses
import os
import threading
from collections.abc import Sequence

import tensorflow_datasets.public_api as tfds

from segment_anything_tfds import segment_anything_dataset_builder, tfds_parts
from segment_anything_tfds.prepare.shards import shard as shard_lib
from segment_anything_tfds.prepare.staging import place
from segment_anything_tfds.source import checksums, selection
from segment_anything_tfds.source.archive import locations
from segment_anything_tfds.source.archive import paths as paths_lib
from segment_anything_tfds.source.remote import links_file
from segment_anything_tfds.streaming import mixing, splits
from segment_anything_tfds.streaming.parts import (
    fault_report,
    keeping,
    part_reader,
    prepared_shards,
)
from segment_anything_tfds.streaming.parts.cursors import Cursor, Position
from segment_anything_tfds.streaming.parts.parts import Part, Policy

SHUFFLE_BUFFER = 64
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
      keeper: keeps the shards of archives that are read; `None` for no keeping.
    """

    parts: dict[int, Part]
    policy: Policy
    seed: int | None = None
    shuffle_buffer: int = SHUFFLE_BUFFER
    interleave: int = INTERLEAVE
    keeper: keeping.Keeper | None = None

    def open_mixer(self, position: Position) -> mixing.Mixer:
        """Reads several parts at once, from a position on."""
        turn = threading.Lock()

        def open_part(number: int, cursor: Cursor):
            if number not in self.parts:
                raise ValueError(
                    f'`sa1b.stream`: expected a saved position in the archives '
                    f'{selection.format(self.parts)}; got one in {number}. Restore it into a '
                    'stream of the same archives, split and shard.'
                )
            return part_reader.open_part(self.parts[number], cursor, self.policy, turn, self.keeper)

        return mixing.Mixer(position, open_part)


def make(
    archives: splits.Selection,
    *,
    manual_dir: str | os.PathLike | None = None,
    data_dir: str | os.PathLike | None = None,
    keep: str | os.PathLike | None = None,
    split: str = 'train',
    hold_out: splits.Selection = None,
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
      archives: a selection such as `'20-29+130'`; `None` for all that are listed or present, or,
        where there are none, prepared.
      manual_dir: as in `sa1b.stream`, which documents these and the other arguments.
      data_dir: likewise.
      keep: likewise.
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
    builder = _builder(data_dir if keep is None else keep)
    wanted = None if archives is None else splits.parse_numbers(archives, 'archives')
    everything = _locate(folder, links, wanted, builder, policy)
    held_out = splits.parse_numbers(hold_out, 'hold_out')
    numbers = splits.share(splits.choose(sorted(everything), split, held_out), shard)
    parts = {number: everything[number] for number in numbers}
    needed = [n for n, part in parts.items() if part.source and part.source.kind == 'link']
    links_file.check_expiry(links, needed)
    keeper = None
    if keep is not None:
        is_all = archives is None and len(parts) == len(everything)
        config = None if is_all else selection.format(parts)
        builder = _builder(keep, config, policy, digests)
        keeper = _keeper(builder, manual_dir and os.path.expanduser(manual_dir), parts, policy)
    return Plan(parts, policy, keeper=keeper, **order)


def _builder(data_dir, config: str | None = None, policy: Policy | None = None, digests=None):
    choices = {}
    if policy is not None:
        choices = {'on_error': policy.on_error, 'decode_images': policy.decode_images}
        choices['digests'] = digests and os.fspath(digests)
    folder = None if data_dir is None else os.path.expanduser(os.fspath(data_dir))
    return segment_anything_dataset_builder.Builder(data_dir=folder, config=config, **choices)


def _locate(
    folder, links: links_file.Links, wanted: Sequence[int] | None, builder, policy: Policy
) -> dict[int, Part]:
    """Tells where each archive is, prepared ones first."""
    try:
        sources = locations.locate(folder, links, None)
    except ValueError:  # there is nothing
        sources = []
    at_hand = {source.number: source for source in sources}
    template = tfds_parts.filename_template(builder)
    have = prepared_shards.find(builder.data_path, template, policy, at_hand)
    if wanted is None:
        wanted = list(at_hand) or list(have)
    missing = [n for n in wanted if n not in have and n not in at_hand]
    if missing or not wanted:
        locations.locate(folder, links, missing or None)  # says what lacks
    return {n: have[n] if n in have else Part(n, at_hand[n]) for n in wanted}


def _keeper(builder, manual_dir, parts: dict[int, Part], policy: Policy) -> keeping.Keeper:
    """Gives what has a data set prepared as a builder would prepare it."""
    dataset_dir, file_format = builder.data_path, builder.info.file_format
    plan = shard_lib.Plan(
        staging=place.Staging(place.folder_of(dataset_dir), file_format.file_suffix),
        file_format=file_format.value,
        on_error=policy.on_error,
        decode_images=policy.decode_images,
        shards_per_archive=1,
        max_examples=None,
        checksums=policy.checksums,
        links_path=policy.links_path,
    )
    folder = builder.data_path.parent.parent if builder.builder_config else builder.data_path.parent

    def find_prepared():
        template = tfds_parts.filename_template(builder)
        return prepared_shards.find(folder / dataset_dir.name, template, policy, {})

    def publish():
        config = tfds.download.DownloadConfig(manual_dir=manual_dir)
        builder.download_and_prepare(download_config=config)

    return keeping.Keeper(plan, policy, parts, find_prepared=find_prepared, publish=publish)


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
