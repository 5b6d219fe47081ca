"""The error that tells why archives were not finished: causes first, consequences counted."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from segment_anything_tfds.prepare.shards import fault_log
from segment_anything_tfds.source import faults, reasons

_SHOWN = 20
TFDS_COMMAND = 'tensorflow_datasets.scripts.cli.build'  # imported while `tfds build` runs
_SKIPS = 'to leave out records with faults, each of them reported.'
NO_WORD = 'no worker finished it'


def describe(
    failed: Mapping[str, fault_log.Failure],
    total: int,
    *,
    can_skip: bool,
    folder: str,
    config: str | None,
) -> faults.DataError:
    """Makes the error for archives that were not finished.

    Args:
      failed: why, by name of the archive.
      total: how many archives there are.
      can_skip: whether `on_error='skip'` is a choice that the user has not made.
      folder: where the lists of all faults are.
      config: the selection, for the advice.

    Returns:
      The error, with the faults that it lists.
    """
    roots = [fault for failure in failed.values() for fault in failure.roots]
    first = [fault for failure in failed.values() for fault in failure.first]
    listed = (roots + first)[:_SHOWN]
    lines = [f'  {fault}{_consequences(failed[fault.archive], fault)}' for fault in listed]
    counted = sum(_count(failure) for failure in failed.values())
    more = counted - sum(fault.count for fault in listed)
    if more > 0:
        lines.append(f'  and {more:,} more: see `*.failed.jsonl` in {folder}')
    if can_skip and any(set(f.counts) - {fault_log.UNFINISHED} for f in failed.values()):
        lines.append(_advice(config))
    return faults.DataError(
        roots + first,
        f'{len(failed)} of {total} archives could not be finished; the other'
        f' {total - len(failed)} are kept, and a rerun does not read them again.\n'
        + '\n'.join(lines),
    )


def _consequences(failure: fault_log.Failure, fault: faults.Fault) -> str:
    """Counts what a fault of a whole archive brought with it."""
    if fault not in failure.roots[:1]:
        return ''
    counts = [f'{n:,} {r}' for r, n in failure.counts.items() if r in reasons.CONSEQUENCES]
    return f', and so {", ".join(counts)}' if counts else ''


def _count(failure: fault_log.Failure) -> int:
    """Counts how many faults a list of them would have, without the consequences."""
    passed = reasons.CONSEQUENCES if failure.roots else ()
    return sum(n for reason, n in failure.counts.items() if reason not in passed)


def _advice(config: str | None) -> str:
    if TFDS_COMMAND in sys.modules:
        name = f'segment_anything/{config}' if config else 'segment_anything'
        return f'Build `{name}/on_error=skip` {_SKIPS}'
    return f"Pass `builder_kwargs={{'on_error': 'skip'}}` {_SKIPS}"
