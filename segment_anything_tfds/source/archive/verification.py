"""Verifies an archive: reads it to its end, and checks each image and record."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable

from segment_anything_tfds.source import checksums, faults
from segment_anything_tfds.source.archive import locations, pair_stream, wholeness
from segment_anything_tfds.source.archive.wholeness import EXPECTED_PAIRS
from segment_anything_tfds.source.record import examples

_FAULTS_KEPT = 20


@dataclasses.dataclass
class Report:
    """What was found in one archive.

    Attributes:
      archive: its name.
      path: where it is.
      state: `'good'`, `'doubtful'` (see `warnings`) or `'bad'` (see `faults` and `errors`).
      bytes: read, as stored.
      pairs: images with a record.
      masks: annotations without a fault.
      md5: digest of the file; `None` for a folder.
      digest: `'match'`, `'mismatch'`, `'corrupt'` or `'unknown'`; see `checksums.Verdict`.
      faults: how many, by reason.
      first_faults: the first of them, for a person.
      ignored: members passed over, by kind.
      errors: what makes the archive as a whole bad.
      warnings: what is unusual.
      seconds: how long it took.
    """

    archive: str
    path: str
    state: str = 'good'
    bytes: int = 0
    pairs: int = 0
    masks: int = 0
    md5: str | None = None
    digest: str = 'unknown'
    faults: dict[str, int] = dataclasses.field(default_factory=dict)
    first_faults: list[str] = dataclasses.field(default_factory=list)
    ignored: dict[str, int] = dataclasses.field(default_factory=dict)
    errors: list[str] = dataclasses.field(default_factory=list)
    warnings: list[str] = dataclasses.field(default_factory=list)
    seconds: float = 0.0

    def add(self, fault: faults.Fault) -> None:
        """Counts a fault, and keeps the first ones."""
        self.faults[fault.reason] = self.faults.get(fault.reason, 0) + fault.count
        if len(self.first_faults) < _FAULTS_KEPT:
            self.first_faults.append(str(fault))


def verify(
    source: locations.Source,
    *,
    known: checksums.Checksums,
    expected_pairs: int | None = EXPECTED_PAIRS,
    decode_images: bool = False,
    on_bytes: Callable[[int], None] | None = None,
) -> Report:
    """Reads an archive to its very end, and checks all there is to check.

    Args:
      source: the archive; a file or a folder.
      known: digests to compare with.
      expected_pairs: how many pairs there should be; another number is a warning, since subsets
        are made on purpose. `None` for any.
      decode_images: also decode the pixels, which takes many times as long.
      on_bytes: called with the number of bytes read since.

    Returns:
      The report. Nothing is raised for bad data.
    """
    start = time.monotonic()
    report = Report(source.name, source.shown)
    reader = pair_stream.open_archive(
        source, on_fault=report.add, want_digest=True, on_bytes=on_bytes
    )
    try:
        with reader:
            _check_pairs(reader, report, decode_images)
    except faults.DataError as error:
        for fault in error.faults:
            report.add(fault)
            report.errors.append(str(fault))
    except OSError as error:
        report.errors.append(f'{source.name}: cannot be read: {error.strerror or error}')
    report.bytes, report.pairs = reader.bytes_read, reader.pairs
    report.ignored, report.md5 = dict(reader.ignored), reader.md5
    _judge(source, report, known, expected_pairs)
    report.seconds = round(time.monotonic() - start, 3)
    return report


def _check_pairs(reader: pair_stream.ArchiveReader, report: Report, decode_images: bool) -> None:
    checked = examples.check_pairs(
        reader, archive=report.archive, on_fault=report.add, decode_images=decode_images
    )
    for _, example in checked:
        report.masks += len(example.annotations['id'])


def _judge(
    source: locations.Source,
    report: Report,
    known: checksums.Checksums,
    expected_pairs: int | None,
) -> None:
    if report.md5 is not None:
        verdict = known.check(os.path.basename(report.path), report.md5)
        report.digest = verdict.status
        if verdict.level != 'ok':
            texts = report.errors if verdict.level == 'error' else report.warnings
            texts.append(verdict.detail)
    doubts = wholeness.doubts(source, report.pairs, expected_pairs)
    if 'pairs' in doubts:
        report.warnings.append(f'{report.archive}: {doubts["pairs"]}.')
    if report.errors or report.faults:
        report.state = 'bad'
    elif report.warnings:
        report.state = 'doubtful'
