"""The same archives on two cores in every way that Beam offers on one machine.

One process, whose threads read and write beside the checks; two worker processes of Beam, in
each of its modes; Dask; and two builds of half the archives each, which is as fast as two
processes can be.

    python benchmarks/processes.py --archives 8 --images 250 --json rows.json
"""

from __future__ import annotations

import argparse
import pathlib
import sys
import tempfile

import _builds
import _report
import archives

WORKER = f'{sys.executable} -m apache_beam.runners.worker.sdk_worker_main'
WAYS = {
    'one process': (),
    'multi_processing, 2 workers': (
        '--direct_running_mode=multi_processing',
        '--direct_num_workers=2',
    ),
    'portable runner, 2 workers': (
        '--runner=PortableRunner',
        '--job_endpoint=embed',
        '--environment_type=beam:env:harness_subprocess_python:v1',
        f'--environment_config={WORKER}',
        '--direct_num_workers=2',
    ),
    'Dask, 2 workers': ('--runner=apache_beam.runners.dask.dask_runner.DaskRunner',),
}
PACKAGES = ('apache-beam', 'dask', 'isal')
HALVES = 'two builds of one half each'


def run(folder: pathlib.Path, num_archives: int, images: int, repeat: int, ways) -> dict:
    """Of each way, what its fastest run took: whatever else runs can only slow it down."""
    manual = folder / 'manual'
    archives.make_archives(manual, num_archives, images)
    half = num_archives // 2
    runs: dict[str, list[dict]] = {}
    for _ in range(repeat):
        for way, flags in WAYS.items():
            if way in ways:
                measured = _builds.measure(_builds.Job(manual, flags=flags))
                runs.setdefault(way, []).append(measured)
        if HALVES in ways:
            jobs = [
                _builds.Job(manual, f'{first}-{last}')
                for first, last in ((0, half - 1), (half, num_archives - 1))
            ]
            runs.setdefault(HALVES, []).append(_builds.measure(*jobs))
    return {way: _summary(measured) for way, measured in runs.items()}


def _summary(runs: list[dict]) -> dict:
    fastest = min(runs, key=lambda measured: measured['seconds'])
    return {
        'seconds': fastest['seconds'],
        'build': max(build['build_seconds'] for build in fastest['builds']),
        'cpu': fastest['cpu_seconds'],
        'peak_bytes': fastest['peak_bytes'],
        'images': sum(build['images'] for build in fastest['builds']),
    }


def report_on(results: dict, report: _report.Report) -> None:
    one = results['one process']
    for way, measured in results.items():
        report.time(
            f'{way}: all, imports included', _report.Cost(measured['seconds'], measured['cpu'])
        )
        report.value(f'{way}: seconds of the build', measured['build'])
        report.value(f'{way}: images a second', measured['images'] / measured['build'])
        report.value(f'{way}: CPU ms an image', 1000 * measured['cpu'] / measured['images'])
        report.value(f'{way}: peak memory, GB', measured['peak_bytes'] / 1e9)
    for way, measured in results.items():
        if measured is not one:
            report.value(
                f'{way}: times one process', one['seconds'] / measured['seconds'], '>= 1.6'
            )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--archives', type=int, default=8, help='default: %(default)s')
    parser.add_argument('--images', type=int, default=250, help='in each; default: %(default)s')
    parser.add_argument('--repeat', type=int, default=1, help='default: %(default)s')
    parser.add_argument('--ways', nargs='*', default=[*WAYS, HALVES], help='default: all')
    parser.add_argument('--folder', type=pathlib.Path, help='where to work (default: temporary)')
    _report.add_arguments(parser)
    arguments = parser.parse_args()
    report = _report.Report(PACKAGES, note=arguments.note, file=arguments.json)
    if report.versions['dask'] is None:
        arguments.ways = [way for way in arguments.ways if not way.startswith('Dask')]
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        results = run(
            pathlib.Path(folder),
            arguments.archives,
            arguments.images,
            arguments.repeat,
            arguments.ways,
        )
    report_on(results, report)
    report.write()


if __name__ == '__main__':
    main()
