"""How the cost of a build grows with the archives and the workers: measured, and simulated.

Measured: builds of 1, 10, 100 and 1000 tiny archives in one process (one file under many names).
Simulated: workers that take archive after archive, with failures and retries, from parameters that
`--help` lists; a bill where prices are given, since prices change.

    python benchmarks/scale.py --json rows.json --plot scale.png
    python benchmarks/scale.py --no-measure --seconds-per-archive 180 --vcpu-hour PRICE ...
"""

from __future__ import annotations

import argparse
import dataclasses
import heapq
import itertools
import os
import pathlib
import random
import tempfile

import _builds
import _report
import archives

SHORT_RUNS = 3  # of builds that take a second or two; the fastest counts


@dataclasses.dataclass(frozen=True)
class Parameters:
    """What the simulator is told; defaults are those of the whole of SA-1B.

    Attributes:
      archives: how many.
      archive_bytes: bytes of one, as stored, which are about those of its shard.
      seconds_per_archive: time of one attempt that succeeds, when nothing else limits.
      spread: relative standard deviation of that time.
      start_seconds: from the start of a job until its workers begin.
      failures_per_hour: of one worker: lost machine, killed process.
      download_rate: bytes a second that the server of the links gives in all; 0 for no limit.
      vcpus, memory_gb, disk_gb: of one worker.
      vcpu_hour, gb_hour, disk_gb_hour: prices.
      seed: of the randomness.
    """

    archives: int = 1000
    archive_bytes: float = 11.3e9
    seconds_per_archive: float = 150.0
    spread: float = 0.1
    start_seconds: float = 180.0
    failures_per_hour: float = 0.01
    download_rate: float = 0.0
    vcpus: float = 2.0
    memory_gb: float = 8.0
    disk_gb: float = 30.0
    vcpu_hour: float = 0.0
    gb_hour: float = 0.0
    disk_gb_hour: float = 0.0
    seed: int = 0


def simulate(workers: int, parameters: Parameters) -> dict[str, float]:
    """Deals archives out to workers until each is done; an attempt may fail and is made again.

    Args:
      workers: how many.
      parameters: all else.

    Returns:
      Wall time, worker hours, failures, hours lost to them, and the bill.
    """
    rng = random.Random(parameters.seed)
    at_once = min(workers, parameters.archives)
    seconds = parameters.seconds_per_archive
    if parameters.download_rate:
        seconds = max(seconds, at_once * parameters.archive_bytes / parameters.download_rate)
    rate = parameters.failures_per_hour / 3600
    free = [parameters.start_seconds] * at_once
    todo, failures, lost, end = parameters.archives, 0, 0.0, 0.0
    while todo:
        start = heapq.heappop(free)
        needed = max(0.1, rng.gauss(1, parameters.spread)) * seconds
        until_failure = rng.expovariate(rate) if rate else float('inf')
        if until_failure < needed:
            failures, lost = failures + 1, lost + until_failure
        else:
            todo -= 1
        finish = start + min(needed, until_failure)
        end = max(end, finish)
        heapq.heappush(free, finish)
    hours = at_once * end / 3600
    price = (
        parameters.vcpus * parameters.vcpu_hour
        + parameters.memory_gb * parameters.gb_hour
        + parameters.disk_gb * parameters.disk_gb_hour
    )
    return {
        'wall hours': end / 3600,
        'worker hours': hours,
        'vCPU hours': hours * parameters.vcpus,
        'failures': failures,
        'worker hours lost': lost / 3600,
        'bill': hours * price,
    }


def measure(folder: pathlib.Path, counts: list[int], images: int) -> dict[int, dict]:
    """Seconds, memory and construction time of builds of so many tiny archives."""
    original = archives.make_archives(folder / 'one', 1, images)[0]
    results = {}
    for count in counts:
        manual = folder / f'manual{count}'
        manual.mkdir()
        for number in range(count):
            os.link(original, manual / f'sa_{number:06d}.tar')
        runs = [
            _builds.measure(_builds.Job(manual)) for _ in range(1 if count > 100 else SHORT_RUNS)
        ]
        measured = min(runs, key=lambda run: run['builds'][0]['build_seconds'])
        build = measured['builds'][0]
        if build['images'] != count * images or build['runs'] != 1:
            raise RuntimeError(f'{count} archives: {build}')
        results[count] = {
            'build': build['build_seconds'],
            'seconds': measured['seconds'],
            'cpu': measured['cpu_seconds'],
            'peak_bytes': measured['peak_bytes'],
            'construction': build['construction_seconds'],
        }
    return results


def report_on(results: dict[int, dict], report: _report.Report) -> None:
    for count, measured in results.items():
        cost = _report.Cost(measured['seconds'], measured['cpu'])
        report.time(f'{count} archives: all, imports included', cost)
        report.value(f'{count} archives: seconds of the build', measured['build'])
        report.value(f'{count} archives: peak memory, MB', measured['peak_bytes'] / 1e6)
        report.value(
            f'{count} archives: seconds to construct the pipeline', measured['construction'], '< 10'
        )
    marginal = _marginal(results)
    for (low, high), milliseconds in marginal.items():
        report.value(f'milliseconds for one more, {low} to {high}', milliseconds)
    if len(marginal) >= 2:
        *_, before, last = marginal.values()
        report.value('time for one more archive, last two steps', last / before, '<= 1.2')
    if {10, 1000} <= results.keys():
        peaks = [results[count]['peak_bytes'] for count in results if count >= 10]
        report.value('peak memory, largest / smallest', max(peaks) / min(peaks), '<= 1.1')


def _marginal(results: dict[int, dict]) -> dict[tuple[int, int], float]:
    """Milliseconds that one more archive takes, which leaves the start of a build out."""
    counts = sorted(count for count in results if count >= 10)
    return {
        (low, high): 1000 * (results[high]['build'] - results[low]['build']) / (high - low)
        for low, high in itertools.pairwise(counts)
    }


def simulate_all(workers: list[int], parameters: Parameters, report: _report.Report) -> None:
    for count in workers:
        for name, value in simulate(count, parameters).items():
            if name != 'bill' or value:
                report.value(f'simulated, {count} workers: {name}', value)


def plot(results: dict[int, dict], path: pathlib.Path) -> None:
    """Draws time and memory over the number of archives."""
    import matplotlib

    matplotlib.use('Agg')
    from matplotlib import pyplot

    counts = sorted(results)
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(9, 3.2), layout='constrained')
    left.loglog(counts, [results[count]['build'] for count in counts], 'o-')
    left.set(xlabel='archives', ylabel='seconds', title='Time of a build, one process')
    memory = [results[count]['peak_bytes'] / 1e6 for count in counts]
    right.semilogx(counts, memory, 'o-')
    right.set(xlabel='archives', ylabel='MB', title='Peak memory', ylim=(0, 1.2 * max(memory)))
    for axes in (left, right):
        axes.grid(alpha=0.3)
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--no-measure', action='store_true', help='only simulate')
    parser.add_argument('--counts', type=int, nargs='*', default=[1, 10, 100, 1000])
    parser.add_argument('--images', type=int, default=4, help='an archive; default: %(default)s')
    parser.add_argument('--workers', type=int, nargs='*', default=[1, 10, 100, 1000])
    parser.add_argument('--folder', type=pathlib.Path, help='where to work (default: temporary)')
    _report.add_arguments(parser)
    parser.add_argument('--plot', type=pathlib.Path, help='also draw the measurements')
    for field in dataclasses.fields(Parameters):
        name = '--' + field.name.replace('_', '-')
        parser.add_argument(name, type=type(field.default), default=field.default)
    arguments = parser.parse_args()
    report = _report.Report(['apache-beam', 'isal'], note=arguments.note, file=arguments.json)
    if not arguments.no_measure:
        with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
            results = measure(pathlib.Path(folder), arguments.counts, arguments.images)
        report_on(results, report)
        if arguments.plot:
            plot(results, arguments.plot)
    fields = {f.name: getattr(arguments, f.name) for f in dataclasses.fields(Parameters)}
    simulate_all(arguments.workers, Parameters(**fields), report)
    report.write()


if __name__ == '__main__':
    main()
