"""Archives that are prepared already: their shards, whatever selection and format they are in."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from etils import epath

from segment_anything_tfds import tfds_parts
from segment_anything_tfds.prepare import accounts, prepared
from segment_anything_tfds.prepare.shards import shard
from segment_anything_tfds.prepare.staging import place
from segment_anything_tfds.source.archive import locations
from segment_anything_tfds.streaming.parts import shard_files
from segment_anything_tfds.streaming.parts.parts import Part, Policy


class _Demands:
    """What the shards of an archive have to meet to be read in its place."""

    def __init__(self, policy: Policy, file_format: str):
        self._plan = shard.Plan(
            place.Staging('', ''),
            file_format,
            policy.on_error,
            decode_images=True,
            shards_per_archive=1,
            max_examples=None,
            checksums=policy.checksums,
        )
        self._decoded = (True,) if policy.decode_images else (True, False)

    def are_met(self, sidecar: place.Sidecar) -> bool:
        """Tells whether an archive was built by the same rules, with any number of shards."""
        plans = (
            dataclasses.replace(
                self._plan, decode_images=decoded, shards_per_archive=len(sidecar.shard_examples)
            )
            for decoded in self._decoded
        )
        return any(accounts.Demands.of(plan).are_met(sidecar) for plan in plans)


def find(
    dataset_dir: epath.Path,
    template: tfds_parts.ShardedFileTemplate,
    policy: Policy,
    at_hand: Mapping[int, locations.Source],
) -> dict[int, Part]:
    """Finds the archives that are prepared, by number, but for those at hand that changed since.

    Args:
      dataset_dir: where the data set of all archives is, or would be.
      template: names of its shards.
      policy: how archives would be read.
      at_hand: archives themselves.
    """
    found: dict[int, Part] = {}
    data_sets = prepared.find(dataset_dir, None, itself=True)
    for file_format in shard_files.FORMATS if data_sets else ():
        named = template.replace(filetype_suffix=file_format)
        have = prepared.archives(data_sets, _Demands(policy, file_format), named)
        for number, finished in have.items():
            source = at_hand.get(number)
            if source is None or not accounts.has_changed(source, finished):
                found.setdefault(number, to_part(number, finished, file_format))
    return found


def to_part(number: int, finished: accounts.Finished, file_format: str) -> Part:
    """Gives the part that the shards of an archive are."""
    shards = tuple(map(str, finished.shards))
    return Part(number, None, shards, finished.sidecar.shard_examples, file_format)
