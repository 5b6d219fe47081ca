"""Writes a stream of serialised examples to one or more shards, in threads beside the reader."""

from __future__ import annotations

import itertools
import queue
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent import futures

from etils import epath
from tensorflow_datasets.core import file_adapters

from segment_anything_tfds.prepare import tfrecord

_END = None
_QUEUED_EXAMPLES = 4
_POLL_SECONDS = 0.5

_Writer = Callable[[epath.Path, Iterable[tuple[int, bytes]]], object]


def write(
    file_format: str, paths: Sequence[epath.Path], examples: Iterable[bytes]
) -> tuple[int, ...]:
    """Writes examples to shards.

    Example i goes to shard i modulo the number of shards, so that shards are equal in size though
    nobody knows beforehand how many examples there will be.

    Args:
      file_format: value of a TFDS file format, for example `'tfrecord'`.
      paths: one path a shard.
      examples: serialised examples.

    Returns:
      The number of examples in each shard.
    """
    write_examples = _writer(file_format)
    queues = [queue.Queue(_QUEUED_EXAMPLES) for _ in paths]
    with futures.ThreadPoolExecutor(len(paths)) as pool:
        writers = [
            pool.submit(_write_shard, write_examples, path, iter(q.get, _END))
            for path, q in zip(paths, queues, strict=True)
        ]
        try:
            for example, q, writer in zip(
                examples, itertools.cycle(queues), itertools.cycle(writers), strict=False
            ):
                _put(q, example, writer)
        finally:
            for q, writer in zip(queues, writers, strict=True):
                _put(q, _END, writer)
        return tuple(writer.result() for writer in writers)


def _writer(file_format: str) -> _Writer:
    """TFDS's adapter for the format, except for TFRecord, which needs no TensorFlow here."""
    file_format = file_adapters.FileFormat.from_value(file_format)
    if file_format is file_adapters.FileFormat.TFRECORD:
        return tfrecord.write_examples
    return file_adapters.ADAPTER_FOR_FORMAT[file_format].write_examples


def _put(q: queue.Queue, item: bytes | None, writer: futures.Future) -> None:
    while not writer.done():
        try:
            q.put(item, timeout=_POLL_SECONDS)
            return
        except queue.Full:
            continue
    if item is not _END:
        writer.result()  # the writer stopped early: raise what stopped it


def _write_shard(write_examples: _Writer, path: epath.Path, examples: Iterator[bytes]) -> int:
    count = 0

    def keyed():
        nonlocal count
        for example in examples:
            count += 1
            yield count, example

    write_examples(path, keyed())
    return count
