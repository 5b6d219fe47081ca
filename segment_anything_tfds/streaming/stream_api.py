"""`sa1b.stream`: SA-1B as a `tf.data.Dataset`, with nothing prepared."""

from __future__ import annotations

import os
from typing import Any

import tensorflow as tf
import tensorflow_datasets.public_api as tfds

from segment_anything_tfds import segment_anything_dataset_builder
from segment_anything_tfds.streaming import lifetimes, planning, splits, tf_dataset
from segment_anything_tfds.streaming.parts import interrupts


def stream(
    archives: splits.Selection = None,
    *,
    manual_dir: str | os.PathLike | None = None,
    data_dir: str | os.PathLike | None = None,
    keep: str | os.PathLike | None = None,
    split: str = 'train',
    decoders: Any = None,
    on_error: str = 'fail',
    seed: int | None = None,
    shuffle_buffer: int = planning.SHUFFLE_BUFFER,
    interleave: int = planning.INTERLEAVE,
    hold_out: splits.Selection = None,
    shard: tuple[int, int] | None = None,
    faults: str | os.PathLike | None = None,
    decode_images: bool = False,
    digests: str | os.PathLike | None = None,
    link_wait: float = planning.LINK_WAIT,
) -> tf.data.Dataset:
    """Streams archives, folders, links and prepared shards into a dataset.

    The examples are those that `tfds.load('segment_anything/20-29')` gives once the archives are
    prepared, leaf by leaf, and pass the same checks. Archives that are prepared in `data_dir`
    come from their shards. Nothing is stored, unless `keep` says where.

    An iterator over the dataset, or over what was made of it by `map`, `batch` and so on, can be
    saved: `tf.train.Checkpoint(iterator=iterator)`. What is saved is where each open archive
    stands, besides what `tf.data` has in its own buffers. Restored, it goes on with the next
    example, in another process too. A plain tar or an extracted folder goes on at once, a gzip
    archive or a link is read again up to the place, without its contents being checked again.
    For several passes call `repeat` on the dataset itself: then the order of those that are still
    to come is saved too.

    Args:
      archives: a selection such as `'20-29+130'`; `None` for all that are listed or present, or,
        where there are none, prepared.
      manual_dir: folder with `segment_anything_links.txt`, archives, or extracted archives, here
        or in a bucket.
      data_dir: where prepared data sets are; `None` for TFDS's default, `~/tensorflow_datasets`.
      keep: a `data_dir` to prepare the archives in: the shard of each is written while the archive
        passes. With the end of the first pass the data set is prepared, as by `tfds.load`; later
        passes, and those that begin after a stop, read the shards of archives that are whole.
        What was held out, or is another host's, is left to others: the data set that is prepared is
        the selection that was read.
      split: `'train'`, or slices of it by archives, such as `'train[:2shard]'`; with `hold_out`
        also `'validation'` and `'all'`.
      decoders: as in `tfds.load`, `tfds.decode.PartialDecoding` included.
      on_error: `'fail'` raises an error at the first record that breaks a rule, with archive,
        member and reason; `'skip'` leaves such records out, reports and counts them.
      seed: shuffles archives and examples, anew in each pass; equal seeds give equal orders. With
        `None` archives and examples come in their order, a block of 16 from each of `interleave`
        archives in turn.
      shuffle_buffer: examples that are shuffled among each other, undecoded, about 1 MB each.
      interleave: archives that are read at once. A gzip archive takes up to 3 GB of the system's
        folder for temporary files, for images whose records lie behind them.
      hold_out: archives to leave out of `'train'`, by their numbers (`'28-29'`) or names
        (`['sa_000028.tar']`); they are the split `'validation'`.
      shard: `(host, hosts)`: only this host's archives; each archive is read by one host.
      faults: file of JSON Lines that faults are appended to, with `on_error='skip'`.
      decode_images: decode every JPEG fully while checking; shards count as prepared only where
        that was done for them too.
      digests: list of MD5 digests, in `md5sum`'s format, that archives have to match.
      link_wait: seconds to wait for a renewed links file, once a server refuses a link.

    Returns:
      A dataset of examples; with another pass in another order where there is a seed.

    Raises:
      ValueError: an argument breaks its rule, an archive is nowhere, or its link has expired.

    While iterating, `tf.errors.InvalidArgumentError` for data with faults and `tf.errors.OpError`
    for lines and disks say which archive it was and how far the stream came.
    """
    plan = planning.make(
        archives,
        manual_dir=manual_dir,
        data_dir=data_dir,
        keep=keep,
        split=split,
        hold_out=hold_out,
        shard=shard,
        on_error=on_error,
        decode_images=decode_images,
        digests=digests,
        faults=faults,
        link_wait=link_wait,
        seed=seed,
        shuffle_buffer=shuffle_buffer,
        interleave=interleave,
    )
    interrupts.listen()
    readers = lifetimes.Readers(plan.open_mixer)

    def read(passes: int | None = None) -> tf.data.Dataset:
        order = {'seed': seed, 'interleave': interleave, 'window': shuffle_buffer, 'passes': passes}
        records = tf_dataset.make(readers, list(plan.parts), **order)
        return tf_dataset.decode(records, _features(), decoders)

    dataset = read()
    if seed is not None:

        def repeat(count: int | None = None, name: str | None = None) -> tf.data.Dataset:
            """Repeats as every dataset does; a saved iterator knows which pass it is in."""
            del name
            return read(-1 if count is None else int(count))

        dataset.repeat = repeat
    return dataset


def _features() -> tfds.features.FeaturesDict:
    return segment_anything_dataset_builder.Builder().info.features
