"""Puts a finished data set in its final place: shards first, TFDS's metadata last."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Sequence
from concurrent import futures

import tensorflow_datasets.public_api as tfds
from etils import epath

from segment_anything_tfds import tfds_parts
from segment_anything_tfds.prepare import accounts, prepared
from segment_anything_tfds.prepare.staging import object_store

_PARALLEL_COPIES = 16


def publish(
    finished: Sequence[accounts.Finished], template: tfds_parts.ShardedFileTemplate
) -> tfds.core.SplitInfo:
    """Gives each shard its place in the split.

    Where the shards were, they stay: on a local disk both names are links to one file, in an object
    store a shard is copied, by the store itself where `s3fs` or `gcsfs` is installed.

    Args:
      finished: one an archive, in the order of the split.
      template: where the shards go, and their names.

    Returns:
      The split, for TFDS.

    Raises:
      OSError: where a shard did not arrive whole.
    """
    # staging: sa_000020.0.tfrecord             sa_000021.0.tfrecord
    # split:   ...-train.tfrecord-00000-of-00002  ...-train.tfrecord-00001-of-00002
    shards = [path for one in finished for path in one.shards]
    sizes = [size for one in finished for size in one.sidecar.shard_bytes]
    targets = template.sharded_filepaths(num_shards=len(shards))
    with futures.ThreadPoolExecutor(_PARALLEL_COPIES) as pool:
        list(pool.map(_link_or_copy, shards, targets, sizes))
    return tfds.core.SplitInfo(
        name=template.split,
        shard_lengths=[n for one in finished for n in one.sidecar.shard_examples],
        num_bytes=sum(sizes),
        filename_template=template,
    )


def _link_or_copy(source: epath.Path, target: epath.Path, size: int) -> None:
    if object_store.is_remote(source):
        object_store.copy(source, target)
    else:
        try:
            os.link(source, target)
        except OSError:  # not every local file system has hard links
            source.copy(target)
    if target.stat().length != size:
        raise OSError(
            f'`publish.publish`: expected {size:,} bytes in {target}, as in {source}; got'
            f' {target.stat().length:,}. Give the command again: finished archives are kept.'
        )


def write_reports(finished: Sequence[accounts.Finished], folder: epath.Path) -> None:
    """Writes what became of each archive, and the records that were left out, beside the data.

    Args:
      finished: one an archive, in the order of the split.
      folder: of the data set, or one whose files will be put there.
    """
    lines = [one.sidecar.to_json() + '\n' for one in finished]
    (folder / prepared.ARCHIVES_FILE_NAME).write_text(''.join(lines))
    skipped = [one for one in finished if one.sidecar.faults]
    if not skipped:
        return
    with (folder / prepared.FAULTS_FILE_NAME).open('w') as report:
        for one in skipped:
            report.writelines(_faults_of(one))


def _faults_of(one: accounts.Finished) -> Iterator[str]:
    """Gives the lines of an archive in a report that may have those of others."""
    with one.report.open() as lines:
        for line in lines:
            if json.loads(line)['archive'] == one.sidecar.archive:
                yield line


def check(finished: Sequence[accounts.Finished], template: tfds_parts.ShardedFileTemplate) -> None:
    """Makes sure that every shard of a data set is there at its full size.

    Raises:
      OSError: where one is not.
    """
    sizes = [size for one in finished for size in one.sidecar.shard_bytes]
    targets = template.sharded_filepaths(num_shards=len(sizes))
    with futures.ThreadPoolExecutor(_PARALLEL_COPIES) as pool:
        lengths = list(pool.map(_length, targets))
    wrong = [t.name for t, n, size in zip(targets, lengths, sizes, strict=True) if n != size]
    if wrong:
        raise OSError(
            f'`publish.check`: expected {len(sizes)} shards in {template.data_dir}; got'
            f' {len(wrong)} of them missing or cut, such as {wrong[0]}. Was the folder changed'
            ' meanwhile? Give the command again: finished archives are kept.'
        )


def _length(path: epath.Path) -> int:
    return path.stat().length if path.exists() else -1


def put_in_place(source: epath.Path, target: epath.Path) -> None:
    """Moves the files of a data set to where it will stay; after that it is prepared.

    On a disk that is one step. An object store has none such: there `dataset_info.json` comes last,
    without which a folder is no data set.

    Args:
      source: the folder that TFDS has finished.
      target: the folder of the data set; on a disk one that is there is replaced.
    """
    if not object_store.is_remote(target):
        remove(target)
        source.rename(target)
        return
    files = sorted(source.iterdir(), key=lambda path: path.name == tfds_parts.INFO_FILE_NAME)
    for path in files:
        path.copy(target / path.name, overwrite=True)


def remove(dataset_dir: epath.Path) -> None:
    """Removes a data set, and first of all what makes it one."""
    with contextlib.suppress(FileNotFoundError):
        (dataset_dir / tfds_parts.INFO_FILE_NAME).unlink()
    dataset_dir.rmtree(missing_ok=True)
