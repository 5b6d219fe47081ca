"""Shows how far a run has come: workers leave small files, the driver adds them up."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence

from segment_anything_tfds.annotate.archives import archive_task, picture_lists
from segment_anything_tfds.prepare.staging import place
from segment_anything_tfds.source import meter


@contextlib.contextmanager
def shown(
    plan: archive_task.Plan, units: Sequence[picture_lists.Unit], progress: meter.Show
) -> Iterator[None]:
    """Shows images and masks while the block runs: workers leave small files, which are added."""
    known = all(unit.count is not None for unit in units)
    total = sum(unit.count for unit in units) if known else None
    start = _totals(plan, units, {})
    with meter.show(
        'masks', total=total, unit=' images', done=start['images'], progress=progress
    ) as shown:
        stop = threading.Event()
        watch = threading.Thread(target=_watch, args=(plan, units, shown, stop, start), daemon=True)
        watch.start()
        try:
            yield
        finally:
            stop.set()
            watch.join()


def _watch(plan, units, shown: meter.Meter, stop: threading.Event, start: Counter) -> None:
    finished: dict[str, Counter] = {}
    began = time.monotonic()
    while True:
        ended = stop.wait(archive_task.interval(plan.staging))
        counts = _totals(plan, units, finished)
        seconds = max(time.monotonic() - began, 1e-3)
        rate = (counts['masks'] - start['masks']) / seconds
        shown.update(
            done=counts['images'],
            title=f'archives {len(finished)}/{len(units)}',
            note=f'{counts["masks"]:,} masks, {rate:.1f} masks/s',
        )
        if ended:
            return


def _totals(plan, units, finished: dict[str, Counter]) -> Counter:
    """Counts images and masks so far; remembers in `finished` what will not change any more."""
    total: Counter = Counter()
    for unit in units:
        if unit.name not in finished and (note := plan.finished(unit)) is not None:
            finished[unit.name] = Counter(note['counts'])
        running = place.read_json(plan.staging.path(unit.name, 'progress.json')) or {}
        total += finished.get(unit.name) or Counter(running)
    return total
