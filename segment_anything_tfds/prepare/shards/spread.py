"""Writes a stream of serialised examples to one or more shards, in threads beside the reader."""

from __future__ import annotations

import dataclasses
import itertools
import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent import futures

from etils import epath

from segment_anything_tfds import tfds_parts
from segment_anything_tfds.prepare.shards import crc32c, tfrecord

_END = None
_QUEUED_EXAMPLES = 4
_POLL_SECONDS = 0.5

_Pieces = Sequence[bytes]
_Writer = Callable[[epath.Path, Iterable[_Pieces]], int]


@dataclasses.dataclass(frozen=True)
class Written:
    """What a shard became.

    Attributes:
      examples: how many it holds.
      crc32c: its CRC-32C.
    """

    examples: int
    crc32c: int


def write(
    file_format: str, paths: Sequence[epath.Path], examples: Iterable[_Pieces]
) -> tuple[Written, ...]:
    """Writes examples to shards.

    Example i goes to shard i modulo the number of shards, so that shards are equal in size though
    nobody knows beforehand how many examples there will be.

    Args:
      file_format: value of a TFDS file format, for example `'tfrecord'`.
      paths: one path a shard.
      examples: serialised examples, each in pieces.

    Returns:
      What each shard became.
    """
    write_shard = _writer(file_format)
    queues = [queue.Queue(_QUEUED_EXAMPLES) for _ in paths]
    writers = [
        _start(_count_written, write_shard, path, iter(q.get, _END))
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
        futures.wait(writers)
    return tuple(writer.result() for writer in writers)


def _start(function: Callable, *args) -> futures.Future:
    """Calls a function in a thread that, unlike one of a pool, does not keep a process alive."""
    future = futures.Future()

    def run():
        try:
            future.set_result(function(*args))
        except BaseException as error:  # handed to whoever asks for the result
            future.set_exception(error)

    threading.Thread(target=run, name='sa1b-writer', daemon=True).start()
    return future


def _writer(file_format: str) -> _Writer:
    """Opens TFDS's adapter for the format, except for TFRecord, which needs no TensorFlow here."""
    file_format = tfds_parts.FileFormat.from_value(file_format)
    if file_format is tfds_parts.FileFormat.TFRECORD:
        return tfrecord.write
    adapter = tfds_parts.ADAPTER_FOR_FORMAT[file_format]

    def write_with_adapter(path, examples):
        adapter.write_examples(path, ((i, b''.join(pieces)) for i, pieces in enumerate(examples)))
        return crc32c.of_file(path)

    return write_with_adapter


def _put(q: queue.Queue, item: _Pieces | None, writer: futures.Future) -> None:
    while not writer.done():  # one that failed takes nothing any more, and its queue stays full
        try:
            q.put(item, timeout=_POLL_SECONDS)
            return
        except queue.Full:
            continue
    if item is not _END:
        writer.result()  # the writer stopped early: raise what stopped it


def _count_written(write_shard: _Writer, path: epath.Path, examples: Iterator[_Pieces]) -> Written:
    count = 0

    def counted():
        nonlocal count
        for example in examples:
            count += 1
            yield example

    crc = write_shard(path, counted())
    return Written(count, crc)
