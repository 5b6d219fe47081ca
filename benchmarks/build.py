"""Builds archives of SA-1B's shape with this builder and with TFDS's own, in one run.

Both read the archives from a server on this machine, with the same runner of Beam. Ours also reads
them as local files, and once more as one archive four times as large, to see whether memory grows.
`gzip -dc` of the same archives is the floor. Each build is a process of its own, and its time is
that of the whole process, imports included.

    python benchmarks/build.py --archives 4 --images 250 --json rows.json
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import http.server
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import threading
import time

import _report
import archives
import psutil

BUILD = """
import sys, time
start = time.perf_counter()
if sys.argv[1] == 'ours':
    import segment_anything_tfds
import tensorflow_datasets as tfds
from apache_beam.runners.portability import fn_api_runner
config = tfds.download.DownloadConfig(
    manual_dir=sys.argv[2], beam_runner=fn_api_runner.FnApiRunner()
)
builder = tfds.builder('segment_anything', data_dir=sys.argv[3])
assert ('segment_anything_tfds' in type(builder).__module__) == (sys.argv[1] == 'ours')
begin = time.perf_counter()
builder.download_and_prepare(download_config=config)
assert builder.info.splits['train'].num_examples == int(sys.argv[4])
print('BUILD', time.perf_counter() - begin, begin - start)
"""
SAMPLE_SECONDS = 0.05


class _Quiet(http.server.SimpleHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def serve(folder: pathlib.Path):
    """Serves a folder on this machine; gives the address."""
    handler = functools.partial(_Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f'http://127.0.0.1:{server.server_port}'
        server.shutdown()


def tree_size(folder: pathlib.Path) -> int:
    """Bytes on disk below a folder; hard links count once."""
    seen = {}
    for root, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                stat = os.stat(os.path.join(root, name))
                seen[stat.st_ino] = stat.st_blocks * 512
    return sum(seen.values())


def resident(processes: list[psutil.Process]) -> int:
    """Resident bytes of some processes."""
    total = 0
    for process in processes:
        with contextlib.suppress(psutil.Error):
            total += process.memory_info().rss
    return total


def measure(which: str, manual_dir: pathlib.Path, images: int) -> dict:
    """Builds once; gives seconds, and peak bytes of memory and of disk beyond the output."""
    with tempfile.TemporaryDirectory(dir=manual_dir.parent) as data_dir:
        environment = dict(os.environ, TF_CPP_MIN_LOG_LEVEL='2')
        root = pathlib.Path(__file__).resolve().parent.parent
        environment['PYTHONPATH'] = str(root)
        start, used, own = time.perf_counter(), _report.cpu_seconds(), time.process_time()
        process = subprocess.Popen(
            [sys.executable, '-c', BUILD, which, str(manual_dir), data_dir, str(images)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
        )
        watched = [psutil.Process(process.pid)]
        memory = disk = samples = 0
        while process.poll() is None:
            if samples % 10 == 0:  # these two take longer than a look at the memory
                watched[1:] = watched[0].children(recursive=True)
                disk = max(disk, tree_size(pathlib.Path(data_dir)))
            memory = max(memory, resident(watched))
            samples += 1
            time.sleep(SAMPLE_SECONDS)
        watching = time.process_time() - own
        seconds = time.perf_counter() - start
        output = process.stdout.read()
        if process.returncode:
            raise RuntimeError(f'{which}: exit code {process.returncode}\n{output}')
        final = tree_size(pathlib.Path(data_dir, 'segment_anything'))
        timing = next(line for line in output.splitlines() if line.startswith('BUILD')).split()
    return {
        'cost': _report.Cost(seconds, _report.cpu_seconds() - used - watching),
        'build_seconds': float(timing[1]),
        'peak_bytes': memory,
        'extra_disk_bytes': max(0, disk - final),
    }


def gunzip(paths: list[pathlib.Path]) -> None:
    for path in paths:
        with path.open('rb') as file:
            subprocess.run(['gzip', '-dc'], stdin=file, stdout=subprocess.DEVNULL, check=True)


def write_links(folder: pathlib.Path, address: str, paths: list[pathlib.Path]) -> pathlib.Path:
    folder.mkdir()
    rows = ['file_name\tcdn_link'] + [f'{path.name}\t{address}/{path.name}' for path in paths]
    (folder / 'segment_anything_links.txt').write_text('\n'.join(rows))
    return folder


def fastest(runs: list[dict]) -> dict:
    """The run that took the least: whatever else runs can only slow it down."""
    return min(runs, key=lambda run: run['cost'].wall)


def run(folder: pathlib.Path, num_archives: int, images: int, repeat: int, theirs: bool) -> dict:
    """Makes the archives, builds them in every way, and gives the fastest run of each."""
    local = folder / 'local'
    paths = archives.make_archives(local, num_archives, images)
    large = folder / 'large'
    archives.make_archives(large, 1, 4 * images)
    total = num_archives * images
    ways: dict[str, list] = {'ours, links': [], 'ours, files': [], 'ours, 4 x as large': []}
    floor = []
    with serve(local) as address:
        linked = write_links(folder / 'linked', address, paths)
        for _ in range(repeat):
            floor.append({'cost': _report.seconds(lambda: gunzip(paths))})
            ways['ours, links'].append(measure('ours', linked, total))
            ways['ours, files'].append(measure('ours', local, total))
            ways['ours, 4 x as large'].append(measure('ours', large, 4 * images))
        if theirs:
            ways['TFDS'] = [measure('theirs', linked, total) for _ in range(repeat)]
    return {way: fastest(runs) for way, runs in {**ways, 'gzip -dc': floor}.items()}


def report_on(results: dict, report: _report.Report) -> None:
    ours, files, large = (results[f'ours, {way}'] for way in ('links', 'files', '4 x as large'))
    floor = results['gzip -dc']['cost']
    for way, measured in results.items():
        report.time(f'{way}: process', measured['cost'])
        if 'peak_bytes' in measured:
            report.value(f'{way}: seconds of the build', measured['build_seconds'])
            report.value(f'{way}: peak memory, GB', measured['peak_bytes'] / 1e9)
            report.value(f'{way}: disk beyond the output, GB', measured['extra_disk_bytes'] / 1e9)
    if 'TFDS' in results:
        report.ratio('TFDS / ours', results['TFDS']['cost'], ours['cost'], '>= 5')
        report.value('TFDS / ours, memory', results['TFDS']['peak_bytes'] / ours['peak_bytes'])
    for way, measured in (('links', ours), ('files', files)):
        report.ratio(f'process / gzip -dc, {way}', measured['cost'], floor, '<= 1.0')
        report.value(
            f'build / gzip -dc, {way}, wall', measured['build_seconds'] / floor.wall, '<= 1.0'
        )
    report.value('peak memory of ours, GB', ours['peak_bytes'] / 1e9, '<= 1.0')
    growth = large['peak_bytes'] / files['peak_bytes']
    report.value('memory, archives 4 x as large', growth, '<= 1.15')
    report.value('disk of ours beyond the output, GB', ours['extra_disk_bytes'] / 1e9, '<= 0.01')


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--archives', type=int, default=4, help='default: %(default)s')
    parser.add_argument('--images', type=int, default=250, help='in each; default: %(default)s')
    parser.add_argument('--repeat', type=int, default=3, help='runs of each; default: %(default)s')
    parser.add_argument('--no-tfds', action='store_true', help="leave out TFDS's own builder")
    parser.add_argument('--folder', type=pathlib.Path, help='where to work (default: temporary)')
    _report.add_arguments(parser)
    arguments = parser.parse_args()
    packages = ('apache-beam', 'isal', 'tensorflow', 'tensorflow-datasets', 'gzip')
    report = _report.Report(packages, note=arguments.note, file=arguments.json)
    folder = pathlib.Path(tempfile.mkdtemp(dir=arguments.folder))
    try:
        results = run(
            folder, arguments.archives, arguments.images, arguments.repeat, not arguments.no_tfds
        )
    finally:
        shutil.rmtree(folder)
    report_on(results, report)
    report.write()


if __name__ == '__main__':
    main()
