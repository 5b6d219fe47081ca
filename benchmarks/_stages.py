"""Times the stages of a mask generator, and its memory; needs no package but Python's own."""

from __future__ import annotations

import pathlib
import time


class Stages:
    """Wall and CPU seconds by stage; what no stage takes is the rest."""

    def __init__(self):
        self.wall: dict[str, float] = {}
        self.cpu: dict[str, float] = {}

    def timed(self, name, function):
        """The function, its time counted under a name."""

        def call(*args, **kwargs):
            start = time.perf_counter(), time.process_time()
            try:
                return function(*args, **kwargs)
            finally:
                self.add(name, start)

        return call

    def timed_items(self, name, function):
        """The same for a function that gives an iterator: what making each item takes."""

        def call(*args, **kwargs):
            items = iter(function(*args, **kwargs))
            while True:
                start = time.perf_counter(), time.process_time()
                try:
                    item = next(items)
                except StopIteration:
                    return
                finally:
                    self.add(name, start)
                yield item

        return call

    def add(self, name, start):
        wall, cpu = time.perf_counter() - start[0], time.process_time() - start[1]
        self.wall[name] = self.wall.get(name, 0.0) + wall
        self.cpu[name] = self.cpu.get(name, 0.0) + cpu


def status(key: str) -> int:
    """A line of the process's status on Linux, in bytes."""
    lines = pathlib.Path('/proc/self/status').read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith(key)).split()[1])


def measure(generate, stages: Stages, repeat: int) -> dict:
    """Runs once for memory and what is compiled, then for time.

    Args:
      generate: makes the records of one image.
      stages: what `generate` is timed by.
      repeat: runs that are timed; the fastest counts.

    Returns:
      Records, peak of memory beyond what there was, in bytes, and seconds: the first run's, and
      wall and CPU of the fastest by stage, `rest` being what comes beside model and image.
    """
    pathlib.Path('/proc/self/clear_refs').write_text('5')  # forgets the peak so far
    before = status('VmRSS')
    start = time.perf_counter()
    records = generate()
    first = time.perf_counter() - start
    found = {'records': len(records), 'peak_bytes': status('VmHWM') - before, 'first': first}
    best = None
    for _ in range(repeat):
        stages.wall, stages.cpu = {}, {}
        start = time.perf_counter(), time.process_time()
        generate()
        total = time.perf_counter() - start[0], time.process_time() - start[1]
        if best is None or total[0] < best['wall']['all']:
            best = {
                'wall': _with_rest(stages.wall, total[0]),
                'cpu': _with_rest(stages.cpu, total[1]),
            }
    return {**found, **(best or {})}


def _with_rest(seconds: dict, total: float) -> dict:
    return {**seconds, 'rest': total - sum(seconds.values()), 'all': total}
