"""Keeps the faults of one archive as they are found, however many there are."""

from __future__ import annotations

import contextlib
import json
from collections import Counter

from etils import epath

from segment_anything_tfds.prepare.staging import place
from segment_anything_tfds.source import faults

UNFINISHED = 'unfinished'


class FaultLog(contextlib.AbstractContextManager):
    """Writes faults to a temporary file, as JSON Lines, that is removed unless `keep` is called.

    Attributes:
      counts: how many faults there are, by reason.
    """

    def __init__(self, staging: place.Staging, archive: str):
        self.counts: Counter[str] = Counter()
        self._staging = staging
        self._archive = archive
        self._file = None
        self._temporary = None

    def add(self, fault: faults.Fault) -> None:
        self.counts[fault.reason] += 1
        if self._file is None:
            self._temporary = place.temporary_path(self._staging.path(self._archive, 'log'))
            self._file = self._temporary.open('w')
        self._file.write(fault.to_json() + '\n')

    def keep(self, kind: str) -> None:
        """Gives the faults found so far the name that `kind` has in the staging place."""
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


def read(path: epath.Path, limit: int | None = None) -> list[faults.Fault]:
    """Reads up to `limit` faults that a `FaultLog` kept; none where there is no file."""
    found: list[faults.Fault] = []
    with contextlib.suppress(FileNotFoundError), path.open() as lines:
        for line in lines:
            if limit is not None and len(found) >= limit:
                break
            found.append(faults.Fault(**json.loads(line)))
    return found
