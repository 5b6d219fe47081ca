"""Faults in the data: what was wrong, where, and how it is counted."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence


@dataclasses.dataclass(frozen=True)
class Fault:
    """One thing that is wrong with the data.

    Attributes:
      archive: name of the archive, for example `'sa_000020'`.
      reason: a short, stable slug by which faults are counted, for example `'jpeg_truncated'`.
      detail: one sentence for a person, with the rule and the value received.
      member: base name of the file inside the archive, where one is to blame.
      annotation_id: `id` of the annotation, where one is to blame.
      count: how many faults of this reason it stands for; of a record with very many, the first
        ones stand for themselves, and one for the rest.
    """

    archive: str
    reason: str
    detail: str
    member: str | None = None
    annotation_id: int | None = None
    count: int = 1

    def __str__(self) -> str:
        where = [self.archive]
        if self.member is not None:
            where.append(self.member)
        if self.annotation_id is not None:
            where.append(f'annotation {self.annotation_id}')
        return f'{" / ".join(where)}: {self.detail} [{self.reason}]'

    def to_json(self) -> str:
        """Gives the fault as one line of JSON; `count` is left out where it is 1."""
        fields = dataclasses.asdict(self)
        if self.count == 1:
            del fields['count']
        return json.dumps(fields)


class DataError(ValueError):
    """Data that cannot be used; `faults` says why, place by place."""

    def __init__(self, faults: Sequence[Fault], message: str | None = None):
        self.faults = tuple(faults)
        super().__init__(message or '\n'.join(str(fault) for fault in self.faults))

    def __reduce__(self):
        return type(self), (self.faults, str(self))
