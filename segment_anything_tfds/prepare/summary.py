"""Summarises a build for the data set's metadata and for the closing message."""

from __future__ import annotations

import dataclasses
from collections import Counter

import tensorflow_datasets.public_api as tfds

from segment_anything_tfds.prepare import accounts
from segment_anything_tfds.source import selection
from segment_anything_tfds.source.archive import wholeness

_DOUBTS = {
    'pairs': f'archives {{}} do not have the {wholeness.EXPECTED_PAIRS:,} pairs of all known ones',
    'folder': 'archives {} were read from folders that nothing says are whole',
}


@dataclasses.dataclass(frozen=True)
class Summary:
    """What a build did.

    Attributes:
      finished: one an archive, in numeric order.
      reused: numbers of those that an earlier run or another selection had finished.
      split_info: the split, for TFDS.
    """

    finished: tuple[accounts.Finished, ...]
    reused: frozenset[int]
    split_info: tfds.core.SplitInfo

    @property
    def bytes_read(self) -> int:
        """Bytes of the archives, as stored at their source."""
        return sum(one.sidecar.bytes_read for one in self.finished)

    def metadata(self) -> dict:
        """Gives what the data set remembers of its build, as JSON values.

        None of them is a number, as `tfds.show_examples` looks into each for a key.
        """
        sidecars = [one.sidecar for one in self.finished]
        numbers = set(selection.parse('+'.join(sidecar.archive for sidecar in sidecars)))
        skipped = sum((Counter(sidecar.faults) for sidecar in sidecars), Counter())
        return {
            'archives': selection.format(numbers),
            'archives_built': selection.format(numbers - self.reused),
            'archives_reused': selection.format(numbers & self.reused),
            'skipped': dict(skipped),
            'doubtful': {s.archive: '; '.join(s.doubts.values()) for s in sidecars if s.doubts},
        }

    def closing(self) -> str | None:
        """Gives a sentence about archives that may not be whole; `None` where there are none."""
        clauses = []
        for kind, clause in _DOUBTS.items():
            doubtful = [one.sidecar.archive for one in self.finished if kind in one.sidecar.doubts]
            if doubtful:
                numbers = selection.parse('+'.join(doubtful))
                clauses.append(clause.format(selection.format(numbers)))
        if not clauses:
            return None
        return f"Built; but {', and '.join(clauses)} (`builder.info.metadata['doubtful']`)."
