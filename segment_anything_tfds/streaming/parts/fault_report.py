"""What a stream leaves out, and where that is written."""

from __future__ import annotations

import logging
import os
import threading
from collections import Counter

from segment_anything_tfds.source import faults
from segment_anything_tfds.source.archive import paths

_REMEMBERED = 100_000


class FaultReport:
    """Counts faults and appends each, once, to a file of JSON Lines; any thread may add.

    Attributes:
      counts: how many faults there are, by reason.
    """

    def __init__(self, path: str | os.PathLike | None = None):
        """Makes a report.

        Args:
          path: the file; what it has already is kept and not written again. `None` for none.
        """
        self.counts: Counter[str] = Counter()
        self._path = None if path is None else os.path.expanduser(os.fspath(path))
        if self._path is not None and '://' in self._path:
            raise ValueError(
                '`sa1b.stream`: expected `faults` to be a file on this machine; got '
                f'{self._path.partition("://")[0]}://. Copy it there afterwards.'
            )
        self._lock = threading.Lock()
        self._seen: set[str] = set()
        if self._path is not None and paths.open_path(self._path).exists():
            with open(self._path, encoding='utf-8') as lines:
                self._seen.update(line.rstrip('\n') for line in lines)

    def add(self, fault: faults.Fault) -> None:
        """Adds a fault, unless it is known: later passes find the same ones again."""
        line = fault.to_json()
        with self._lock:
            if line in self._seen:
                return
            if len(self._seen) < _REMEMBERED:
                self._seen.add(line)
            self.counts[fault.reason] += 1
            if self._path is not None:
                with open(self._path, 'a', encoding='utf-8') as file:
                    file.write(line + '\n')

    def tell(self, archive: str, found: Counter[str]) -> None:
        """Logs what was left out of an archive, if anything was."""
        if not found:
            return
        reasons = ', '.join(f'{count} {reason}' for reason, count in found.most_common())
        where = f'listed in {self._path}' if self._path else 'pass `faults=` a file to list them'
        logging.warning('%s: left out, because of faults: %s (%s).', archive, reasons, where)
