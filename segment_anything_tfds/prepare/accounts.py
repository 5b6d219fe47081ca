"""Which archives are finished, and where their shards lie: in the staging place or prepared."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping, Sequence
from concurrent import futures

from etils import epath

from segment_anything_tfds.prepare.shards import crc32c, fault_log, shard
from segment_anything_tfds.prepare.staging import object_store, place
from segment_anything_tfds.source import checksums
from segment_anything_tfds.source.archive import pair_stream

PREPARED = 'prepared'  # kind of a source that is nowhere but in another prepared selection
_PARALLEL = 16  # archives looked at side by side: in a bucket each takes some requests
_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Finished:
    """An archive whose shards are whole.

    Attributes:
      sidecar: what it became.
      shards: where they are, in their order.
      report: the file with its skipped records, where there are any; it may hold those of others.
    """

    sidecar: place.Sidecar
    shards: tuple[epath.Path, ...]
    report: epath.Path


@dataclasses.dataclass(frozen=True)
class Demands:
    """What the shards of an archive have to meet to be used again.

    Attributes:
      fingerprint: see `shard.Plan.fingerprint`.
      on_error: with `'fail'` nothing may have been left out.
      checksums: digests that have to have been compared.
      max_examples: what the build is limited to; such an archive is not read to its end.
    """

    fingerprint: str
    on_error: str
    checksums: checksums.Checksums
    max_examples: int | None

    @classmethod
    def of(cls, plan: shard.Plan) -> Demands:
        """Gives what a plan demands."""
        return cls(plan.fingerprint, plan.on_error, plan.checksums, plan.max_examples)

    def are_met(self, sidecar: place.Sidecar) -> bool:
        """Tells whether an archive was built as it would be now, whatever it was read from."""
        return (
            sidecar.fingerprint == self.fingerprint
            and (self.on_error == 'skip' or not sidecar.faults)
            and self._digest_is_judged(sidecar)
        )

    def _digest_is_judged(self, sidecar: place.Sidecar) -> bool:
        """Tells whether the archive's digest was compared, and judged as today's lists judge it."""
        no_digest = sidecar.source.startswith('folder ') or self.max_examples is not None
        if no_digest or sidecar.archive not in self.checksums:
            return True
        if sidecar.md5 is None:
            return False
        rejected = self.checksums.check(sidecar.archive, sidecar.md5).level == 'error'
        return rejected == (shard.DIGEST in sidecar.faults)


class Accounts:
    """What became of each archive of a build."""

    def __init__(self, staging: place.Staging, prepared: Mapping[int, Finished]):
        self._staging = staging
        self._prepared = prepared

    def reusable(
        self, sources: Sequence[pair_stream.Source], demands: Demands
    ) -> dict[int, Finished]:
        """Finds what earlier builds have finished and is still whole, by number of the archive."""

        def find(source: pair_stream.Source) -> Finished | None:
            staged = self.finished(source, demands)
            if staged is not None and _are_intact(staged):
                return staged
            prepared = self._prepared.get(source.number)
            if prepared is None or has_changed(source, prepared):
                return None
            return prepared if _are_intact(prepared) else _damaged(source, prepared)

        with futures.ThreadPoolExecutor(_PARALLEL) as pool:
            found = zip(sources, pool.map(find, sources), strict=True)
            return {source.number: one for source, one in found if one is not None}

    def finished(self, source: pair_stream.Source, demands: Demands) -> Finished | None:
        """Gives what the staging place has of an archive, if its shards are there at full size."""
        sidecar = self._staging.finished(source.name)
        if sidecar is None or not demands.are_met(sidecar):
            return None
        if source.kind != PREPARED and sidecar.source != source.identity():
            return None
        count = len(sidecar.shard_examples)
        shards = tuple(self._staging.shard(source.name, index) for index in range(count))
        return Finished(sidecar, shards, self._staging.path(source.name, 'faults.jsonl'))

    def failure(self, source: pair_stream.Source) -> fault_log.Failure | None:
        """Tells why no worker finished an archive, where one said so."""
        return fault_log.read(self._staging, source.name)


def has_changed(source: pair_stream.Source, prepared: Finished) -> bool:
    """Tells whether an archive was changed after it was prepared.

    One that was prepared from elsewhere, as from its link, counts as the same.
    """
    was_here = prepared.sidecar.source.startswith(f'{source.kind} ')
    return was_here and prepared.sidecar.source != source.identity()


def _damaged(source: pair_stream.Source, prepared: Finished) -> None:
    """Leaves an archive to be read again whose shards in another data set are damaged.

    Raises:
      ValueError: it is nowhere.
    """
    where = prepared.shards[0].parent
    if source.kind == PREPARED:
        raise ValueError(
            f'`Builder.download_and_prepare`: expected the shards of {source.name} as they were'
            f' written; got other bytes in {where}. Put the archive or its link into `manual_dir`.'
        )
    _log.warning('The shards of %s in %s are damaged; it is read again.', source.name, where)


def _are_intact(finished: Finished) -> bool:
    return all(map(_is_intact, finished.shards, finished.sidecar.shard_crc32c))


def _is_intact(path: epath.Path, crc: int) -> bool:
    """Tells whether the CRC-32C of a shard is the one in its sidecar.

    A file is read for that. An object is not, since it would have to come through this machine: the
    checksum that its store keeps is compared, and without one the shard counts as intact.
    """
    if not object_store.is_remote(path):
        return crc32c.of_file(path) == crc
    kept = object_store.crc32c(path)
    return kept is None or kept == crc
