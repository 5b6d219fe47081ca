"""`sa1b.stream`: SA-1B as a `tf.data.Dataset`, with nothing prepared."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import tensorflow as tf
import tensorflow_datasets.public_api as tfds

from segment_anything_tfds import segment_anything_dataset_builder
from segment_anything_tfds.streaming import interrupts, lifetimes, planning, tf_dataset


def stream(
    archives: str | Iterable[int] | None = None,
    *,
    manual_dir: str | os.PathLike | None = None,
    split: str = 'train',
    decoders: Any = None,
    on_error: str = 'fail',
    seed: int | None = None,
    shuffle_buffer: int = planning.SHUFFLE_BUFFER,
    interleave: int = planning.INTERLEAVE,
    hold_out: str | Iterable[int] | None = None,
    shard: tuple[int, int] | None = None,
    faults: str | os.PathLike | None = None,
    decode_images: bool = False,
    digests: str | os.PathLike | None = None,
    link_wait: float = planning.LINK_WAIT,
) -> tf.data.Dataset:
    """Streams archives, folders and links into a dataset; stores nothing.

    The examples are those that `tfds.load('segment_anything/20-29')` gives once the archives are
    prepared, leaf by leaf, and pass the same checks.

    An iterator over the dataset, or over what was made of it by `map`, `batch` and so on, can be
    saved: `tf.train.Checkpoint(iterator=iterator)`. What is saved is where each open archive
    stands, besides what `tf.data` has in its own buffers. Restored, it goes on with the next
    example, in another process too. A plain tar or an extracted folder goes on at once, a gzip
    archive or a link is read again up to the place, without its contents being checked again.
    What a `repeat` after it still has to come may take another order than it would have taken.

    Args:
      archives: a selection such as `'20-29+130'`; `None` for all that are listed or present.
      manual_dir: folder with `segment_anything_links.txt`, archives, or extracted archives, here
        or in a bucket.
      split: `'train'`, or slices of it by archives, such as `'train[:2shard]'`; with `hold_out`
        also `'validation'` and `'all'`.
      decoders: as in `tfds.load`, `tfds.decode.PartialDecoding` included.
      on_error: `'fail'` raises an error at the first record that breaks a rule, with archive,
        member and reason; `'skip'` leaves such records out, reports and counts them.
      seed: shuffles archives and examples, anew in each pass; equal seeds give equal orders. With
        `None` archives and examples come in their order, a block of 16 from each of `interleave`
        archives in turn.
      shuffle_buffer: examples that are shuffled among each other, undecoded, about 1 MB each.
      interleave: archives that are read at once. A gzip archive takes up to
         3 GB of the system's folder for temporary files, for images whose records lie
        behind them.
      hold_out: archives to leave out of `'train'`; they are the split `'validation'`.
      shard: `(host, hosts)`: only this host's archives; each archive is read by one host.
      faults: file of JSON Lines that faults are appended to, with `on_error='skip'`.
      decode_images: decode every JPEG fully while checking.
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
    records = tf_dataset.make(
        lifetimes.Readers(plan.open_mixer),
        list(plan.parts),
        seed=seed,
        interleave=interleave,
        window=shuffle_buffer,
    )
    return tf_dataset.decode(records, _features(), decoders)


def _features() -> tfds.features.FeaturesDict:
    return segment_anything_dataset_builder.Builder().info.features
