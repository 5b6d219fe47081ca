"""What all benchmarks share: times of both kinds, and reports in one form.

A row of a report is a time (`wall` and `cpu` in milliseconds or seconds, `cores` = cpu / wall) or a
figure (`value`, with the `target` that it must meet, if any, and whether it does: `ok`).
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import json
import operator
import os
import pathlib
import platform
import re
import resource
import statistics
import subprocess
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROGRAMS = {
    'aria2c': ['aria2c', '--version'],
    'curl': ['curl', '--version'],
    'gzip': ['gzip', '--version'],
    'wget': ['wget', '--version'],
}
ALWAYS = ('numpy', 'segment-anything-tfds')
_COMPARE = {'<=': operator.le, '>=': operator.ge, '<': operator.lt}


class Cost(NamedTuple):
    """What something took: by the clock, and of all cores together; in one unit."""

    wall: float
    cpu: float


def cpu_seconds() -> float:
    """CPU time of this process, of all its threads, and of its children that have ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def seconds(run: Callable[[], object]) -> Cost:
    """Calls once. Of commands that it starts, CPU time counts too, once they have ended."""
    wall, cpu = time.perf_counter(), cpu_seconds()
    run()
    return Cost(time.perf_counter() - wall, cpu_seconds() - cpu)


def median(costs: Iterable[Cost]) -> Cost:
    """The medians of both times."""
    return Cost(*map(statistics.median, zip(*costs, strict=True)))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds `--json` and `--note`."""
    parser.add_argument('--json', type=pathlib.Path, help='write the report to this file')
    parser.add_argument('--note', default='', help='what a reader of the report should know')


class Report:
    """Prints rows as they come, and keeps them.

    Args:
      packages: distributions and programs whose versions matter, beside `ALWAYS`.
      note: what a reader should know about this run.
      file: where `write` writes; None for nowhere.
    """

    def __init__(
        self, packages: Iterable[str] = (), *, note: str = '', file: pathlib.Path | None = None
    ):
        self.rows: list[dict] = []
        self.note, self.file = note, file
        self.versions = {name: version(name) for name in sorted({*ALWAYS, *packages})}
        for name, found in self.versions.items():
            if found is None:
                print(f'{name} is not installed (see CONTRIBUTING.md): its rows are left out')

    def time(self, name: str, cost: Cost, unit: str = 's') -> Cost:
        """Adds what something took."""
        cores = cost.cpu / cost.wall if cost.wall else 0.0
        print(
            f'{name:60} {cost.wall:9.3f} {unit}  CPU {cost.cpu:9.3f} {unit}  {cores:4.1f} cores',
            flush=True,
        )
        times = {'wall': _round(cost.wall), 'cpu': _round(cost.cpu), 'cores': round(cores, 2)}
        self._add({'name': name, 'unit': unit, **times})
        return cost

    def value(self, name: str, value: float, target: str | None = None) -> None:
        """Adds a figure; a target reads `'<= 1.5'`."""
        ok = None if target is None else meets(value, target)
        verdict = {None: '', True: 'ok', False: 'MISSED'}[ok]
        print(f'{name:60} {value:14,.4g}  {target or "":10} {verdict}', flush=True)
        self._add({'name': name, 'value': _round(value), 'target': target, 'ok': ok})

    def ratio(self, name: str, over: Cost, under: Cost, target: str | None = None) -> None:
        """Adds both ratios; the target is for the clock's."""
        self.value(f'{name}, wall', over.wall / under.wall, target)
        self.value(f'{name}, CPU', over.cpu / under.cpu)

    @property
    def ok(self) -> bool:
        """Whether all targets are met."""
        return all(row.get('ok') is not False for row in self.rows)

    def _add(self, row: dict) -> None:
        """Keeps a row, in the file too, so that a side that fails later takes nothing away."""
        self.rows.append(row)
        self.write()

    def write(self) -> None:
        """Writes the file, if one was asked for."""
        if self.file is not None:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            self.file.write_text(json.dumps(self.to_json(), indent=1, ensure_ascii=False) + '\n')

    def to_json(self) -> dict:
        return {
            'date': datetime.date.today().isoformat(),
            'note': self.note,
            'machine': machine(),
            'python': platform.python_version(),
            'versions': self.versions,
            'rows': self.rows,
        }


def meets(value: float, target: str) -> bool:
    """Whether a figure meets a target such as `'>= 3'`."""
    sign, bound = target.split()
    return _COMPARE[sign](value, float(bound))


def machine() -> dict:
    """Cores that this process may use, and what they are."""
    cores = len(os.sched_getaffinity(0))
    return {'cores': cores, 'processor': _processor(), 'system': platform.system()}


def version(name: str) -> str | None:
    """That of a distribution, or of a program; None if it is not installed."""
    if name in PROGRAMS:
        try:
            done = subprocess.run(PROGRAMS[name], capture_output=True, text=True, check=True)
        except FileNotFoundError:
            return None
        return re.search(r'\d+\.[\d.]*\d', done.stdout)[0]
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        lines = pathlib.Path('/proc/cpuinfo').read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(':')[2].strip() for line in lines if line.startswith('model name')]
    return names[0] if names else platform.machine()


def _round(value: float) -> float:
    """Four digits that count, so that reports of two runs can be compared by eye."""
    return float(f'{value:.4g}')
