"""Turns one archive into its shards: what a Beam worker does with one element."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
from collections import Counter
from collections.abc import Callable, Iterator

from segment_anything_tfds.prepare.shards import fault_log, reporter, serialize, spread
from segment_anything_tfds.prepare.staging import driver, place
from segment_anything_tfds.source import checksums, faults
from segment_anything_tfds.source.archive import pair_stream, wholeness
from segment_anything_tfds.source.record import annotations, examples
from segment_anything_tfds.source.remote import links_file

DIGEST = 'archive_digest'
_LAYOUT_VERSION = 1
_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Plan:
    """How every archive of a build is turned into shards; picklable.

    Attributes:
      staging: where the shards go.
      file_format: value of the TFDS file format, for example `'tfrecord'`.
      on_error: `'fail'` or `'skip'`.
      decode_images: whether to decode every JPEG fully.
      shards_per_archive: how many shards an archive is spread over.
      max_examples: how many examples to take from an archive, None for all.
      checksums: digests to compare archives with.
      run: which run of the pipeline a worker works for; see `driver.is_over`.
      links_path: the links file, where workers look up the links of archives that are not at hand.
    """

    staging: place.Staging
    file_format: str
    on_error: str
    decode_images: bool
    shards_per_archive: int
    max_examples: int | None
    checksums: checksums.Checksums
    run: str = ''
    links_path: str = links_file.FILE_NAME

    @property
    def fingerprint(self) -> str:
        """Identity of the choices that shape the shards."""
        return (
            f'v{_LAYOUT_VERSION} {self.file_format} shards_per_archive={self.shards_per_archive}'
            f' decode_images={self.decode_images} max_examples={self.max_examples}'
        )


class RunIsOver(Exception):
    """Ends the work on an archive that nobody waits for any more; nothing of it is kept."""


@dataclasses.dataclass(frozen=True)
class Along:
    """What takes part in the work on an archive: a stream that gives its examples meanwhile.

    Attributes:
      open_archive: as `pair_stream.open_archive`.
      on_example: called with each example that is written, in pieces to be joined; may raise
        `RunIsOver`.
      on_fault: called with each fault.
      turn: as in `examples.check_pairs`.
    """

    open_archive: Callable[..., pair_stream.ArchiveReader] = pair_stream.open_archive
    on_example: Callable[[list[bytes]], object] = lambda pieces: None
    on_fault: Callable[[faults.Fault], object] = lambda fault: None
    turn: contextlib.AbstractContextManager = dataclasses.field(
        default_factory=contextlib.nullcontext
    )


class _ArchiveFailed(Exception):
    """Ends the work on an archive with faults, which are in its log."""


def build_archive(source: pair_stream.Source, plan: Plan, along: Along | None = None) -> Counter:
    """Writes the shards of one archive to the staging place, or a file that says why not.

    No error leaves this function: the driver finds in the staging place what became of each
    archive, on any runner, so one archive never stops the others.

    Args:
      source: where the archive comes from.
      plan: how to turn it into shards.
      along: what takes part.

    Returns:
      Counts for Beam's counters: archives, examples, bytes read, and records skipped, by reason.
    """
    try:
        _check_run(plan)
        along = along or Along()
        with fault_log.FaultLog(plan.staging, source.name, along.on_fault) as log:
            return _build_archive(source, plan, log, along)
    except RunIsOver:
        return Counter(archives_stopped=1)
    except Exception as error:  # on a full disk not even a report can be written
        _log.warning('%s was not finished. %s', source.name, links_file.redact(repr(error)))
        return Counter(archives_unfinished=1)


def _build_archive(
    source: pair_stream.Source, plan: Plan, log: fault_log.FaultLog, along: Along
) -> Counter:
    try:
        sidecar = _write_shards(source, plan, log, along)
        log.keep_skipped()
        plan.staging.write_sidecar(sidecar)  # last: it says that all else is there
    except _ArchiveFailed:
        log.keep_failed()
        return Counter(archives_failed=1)
    except RunIsOver:
        raise
    except Exception as error:
        _check_run(plan)  # the next run clears what this one has written
        _record_unfinished(source, error, plan, log)
        return Counter(archives_unfinished=1)
    plan.staging.forget(source.name, 'progress.json')
    skipped = {f'skipped/{reason}': count for reason, count in log.counts.items()}
    return Counter(
        archives_built=1,
        examples=sum(sidecar.shard_examples),
        bytes_read=sidecar.bytes_read,
        **skipped,
    )


def _check_run(plan: Plan) -> None:
    if driver.is_over(plan.staging.folder, plan.run):
        raise RunIsOver


def _write_shards(
    source: pair_stream.Source, plan: Plan, log: fault_log.FaultLog, along: Along
) -> place.Sidecar:
    with contextlib.ExitStack() as stack:
        paths = [
            stack.enter_context(place.replacing(plan.staging.shard(source.name, index)))
            for index in range(plan.shards_per_archive)
        ]
        want_digest = source.name in plan.checksums
        reader = stack.enter_context(
            along.open_archive(_with_link(source, plan), on_fault=log.add, want_digest=want_digest)
        )
        serialized = _serialized_examples(reader, source, plan, log, along)
        written = spread.write(plan.file_format, paths, serialized)
        if not _is_digest_right(source, reader.md5, plan, log):
            # its records cannot be trusted either: with `on_error='skip'` none of them is kept
            written = spread.write(plan.file_format, paths, [])
        if log.counts and plan.on_error == 'fail':
            raise _ArchiveFailed
        shard_bytes = tuple(path.stat().length for path in paths)
    return place.Sidecar(
        archive=source.name,
        source=source.identity(),
        fingerprint=plan.fingerprint,
        shard_examples=tuple(shard.examples for shard in written),
        shard_bytes=shard_bytes,
        shard_crc32c=tuple(shard.crc32c for shard in written),
        bytes_read=reader.bytes_read,
        doubts=wholeness.doubts(source, reader.pairs) if plan.max_examples is None else {},
        md5=reader.md5,
        faults=dict(log.counts),
    )


def _is_digest_right(
    source: pair_stream.Source, md5: str | None, plan: Plan, log: fault_log.FaultLog
) -> bool:
    """Tells whether the archive's digest is not known to be wrong."""
    if md5 is None:
        return True
    verdict = plan.checksums.check(source.name, md5)
    if verdict.level == 'error':
        log.add(faults.Fault(source.name, DIGEST, verdict.detail))
    elif verdict.level == 'warning':
        _log.warning('%s', verdict.detail)
    return verdict.level != 'error'


def _with_link(source: pair_stream.Source, plan: Plan) -> pair_stream.Source:
    """Looks up the source's link, in the worker: a job's description shows no secrets."""
    if source.kind != 'link':
        return source
    link = links_file.read(plan.links_path).archives.get(source.number)
    if link is None:
        raise ValueError(
            f'`shard.build_archive`: expected a link to {source.name} in {plan.links_path}; got'
            ' none. Was the links file replaced during the build?'
        )
    return dataclasses.replace(source, location=link.url)


def _serialized_examples(
    reader: pair_stream.ArchiveReader,
    source: pair_stream.Source,
    plan: Plan,
    log: fault_log.FaultLog,
    along: Along,
) -> Iterator[list[bytes]]:
    """Gives the examples of an archive. After a fault that fails it, the rest is only checked."""
    teller = reporter.Reporter(plan.staging, source.name)
    for count, example in enumerate(_checked_examples(reader, source, plan, log, along), start=1):
        if teller.update(count, reader):
            _check_run(plan)
        if not (log.counts and plan.on_error == 'fail'):
            pieces = serialize.serialize(example)
            yield pieces
            along.on_example(pieces)
        if count == plan.max_examples:
            return


def _checked_examples(
    reader: pair_stream.ArchiveReader,
    source: pair_stream.Source,
    plan: Plan,
    log: fault_log.FaultLog,
    along: Along,
) -> Iterator[annotations.Example]:
    checked = examples.check_pairs(
        reader,
        archive=source.name,
        on_fault=log.add,
        decode_images=plan.decode_images,
        turn=along.turn,
    )
    try:
        for _, example in checked:
            yield example
    except faults.DataError as error:
        for fault in error.faults:
            log.add(fault)


def _record_unfinished(
    source: pair_stream.Source, error: Exception, plan: Plan, log: fault_log.FaultLog
) -> None:
    detail = links_file.redact(f'{type(error).__name__}: {error}')
    _log.warning('%s was not finished. %s', source.name, detail)
    with contextlib.suppress(OSError):  # on a full disk not even this can be written
        log.add(faults.Fault(source.name, fault_log.UNFINISHED, detail))
        log.keep_failed()
