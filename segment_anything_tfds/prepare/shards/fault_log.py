"""Keeps the faults of one archive as they are found, however many there are."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections import Counter
from collections.abc import Callable

from segment_anything_tfds.prepare.staging import place
from segment_anything_tfds.source import faults, reasons

UNFINISHED = 'unfinished'
_FIRST_KEPT = 100


@dataclasses.dataclass(frozen=True)
class Failure:
    """Why an archive was not finished, in short.

    Attributes:
      roots: faults of the archive as a whole.
      first: the first faults of its records that the roots do not explain.
      counts: how many faults there are in all, by reason.
    """

    roots: tuple[faults.Fault, ...] = ()
    first: tuple[faults.Fault, ...] = ()
    counts: dict[str, int] = dataclasses.field(default_factory=dict)

    @property
    def may_pass(self) -> bool:
        """Whether another attempt may help, as when a connection broke."""
        return not self.counts or UNFINISHED in self.counts


class FaultLog(contextlib.AbstractContextManager):
    """Writes faults to a temporary file, as JSON Lines, which is removed unless it is kept.

    Attributes:
      counts: how many faults there are, by reason.
    """

    def __init__(
        self,
        staging: place.Staging,
        archive: str,
        on_fault: Callable[[faults.Fault], object] = lambda fault: None,
    ):
        self.counts: Counter[str] = Counter()
        self._staging = staging
        self._archive = archive
        self._on_fault = on_fault
        self._roots: list[faults.Fault] = []
        self._first: list[faults.Fault] = []
        self._file = None
        self._temporary = None

    def add(self, fault: faults.Fault) -> None:
        """Counts a fault and writes it down."""
        self.counts[fault.reason] += fault.count
        if reasons.is_root(fault.reason):
            self._roots.append(fault)
        elif len(self._first) < _FIRST_KEPT:
            self._first.append(fault)
        if self._file is None:
            self._temporary = place.temporary_path(self._staging.path(self._archive, 'log'))
            self._file = self._temporary.open('w')
        self._file.write(fault.to_json() + '\n')
        self._on_fault(fault)

    def keep_skipped(self) -> None:
        """Keeps the faults as those of records that were left out."""
        self._keep('faults.jsonl')

    def keep_failed(self) -> None:
        """Keeps the faults as the reason why the archive was not finished."""
        self._keep('failed.jsonl')
        first = self._first
        if self._roots:
            first = [fault for fault in first if fault.reason not in reasons.CONSEQUENCES]
        failure = Failure(tuple(self._roots), tuple(first), dict(self.counts))
        text = json.dumps(dataclasses.asdict(failure))
        place.write_text(self._staging.path(self._archive, 'failed.json'), text)

    def _keep(self, kind: str) -> None:
        if self._file is not None:
            self._file.close()
            self._temporary.replace(self._staging.path(self._archive, kind))
            self._file = None

    def __exit__(self, *exc_info) -> None:
        if self._file is not None:
            try:
                self._file.close()
            finally:
                self._temporary.unlink(missing_ok=True)


def read(staging: place.Staging, archive: str) -> Failure | None:
    """Tells why an archive was not finished; `None` where no worker said so."""
    fields = place.read_json(staging.path(archive, 'failed.json'))
    if fields is None:
        return None
    roots, first = (
        tuple(faults.Fault(**fault) for fault in fields[key]) for key in ('roots', 'first')
    )
    return Failure(roots, first, fields['counts'])
