"""Puts finished shards in their final place, under the names that TFDS reads."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from concurrent import futures

from etils import epath
from tensorflow_datasets.core import naming, splits

from segment_anything_tfds.prepare.staging import object_store, place

FAULTS_FILE_NAME = 'faults.jsonl'
_PARALLEL_COPIES = 16


def publish(
    sidecars: Sequence[place.Sidecar],
    staging: place.Staging,
    filename_template: naming.ShardedFileTemplate,
) -> splits.SplitInfo:
    """Gives each shard its place in the split and collects the reports of skipped records.

    The staging place keeps its shards until TFDS has finished the data set, so nothing is lost if
    that fails: on a local disk both names are links to one file, in an object store a shard is
    copied, by the store itself where `s3fs` or `gcsfs` is installed.

    Args:
      sidecars: one an archive, in the order of the split.
      staging: where the shards are.
      filename_template: where they go.

    Returns:
      The split, for TFDS.
    """
    shards = [
        staging.shard(sidecar.archive, index)
        for sidecar in sidecars
        for index in range(len(sidecar.shard_examples))
    ]
    targets = filename_template.sharded_filepaths(num_shards=len(shards))
    with futures.ThreadPoolExecutor(_PARALLEL_COPIES) as pool:
        list(pool.map(_link_or_copy, shards, targets))
    _collect_faults(sidecars, staging, filename_template.data_dir / FAULTS_FILE_NAME)
    return splits.SplitInfo(
        name=filename_template.split,
        shard_lengths=[n for sidecar in sidecars for n in sidecar.shard_examples],
        num_bytes=sum(n for sidecar in sidecars for n in sidecar.shard_bytes),
        filename_template=filename_template,
    )


def _link_or_copy(source: epath.Path, target: epath.Path) -> None:
    if object_store.is_remote(source):
        object_store.copy(source, target)
        return
    with contextlib.suppress(OSError):  # not every local file system has hard links
        os.link(source, target)
        return
    source.copy(target)


def _collect_faults(
    sidecars: Sequence[place.Sidecar], staging: place.Staging, report: epath.Path
) -> None:
    skipped = [sidecar.archive for sidecar in sidecars if sidecar.faults]
    if not skipped:
        return
    with report.open('w') as lines:
        for archive in skipped:
            lines.write(staging.path(archive, 'faults.jsonl').read_text())
