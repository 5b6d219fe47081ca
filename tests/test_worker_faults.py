"""What becomes of a build whose workers die, dawdle, double or run out of disk, with real ones.

After each fault the data set is complete, its shards equal those of a clean build, and nothing is
left beside it.
"""

import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time

import fault_server
import psutil
import pytest
import samples
from apache_beam.options import pipeline_options
from building import REPO, archives, build, digests
from test_runners import DASK, MULTI_PROCESSING, PORTABLE

from segment_anything_tfds.prepare import runner
from segment_anything_tfds.prepare.shards import transform
from segment_anything_tfds.prepare.staging import place
from segment_anything_tfds.source import faults

# Beam's threads end with errors when a worker is killed.
pytestmark = pytest.mark.filterwarnings('ignore::pytest.PytestUnhandledThreadExceptionWarning')

ARCHIVES, IMAGES = 6, 40
SLOW = 2  # the archive that comes from a slow server

_DRIVER = """
import signal
import sys
import segment_anything_tfds
import tensorflow_datasets as tfds
from apache_beam.options import pipeline_options

signal.signal(signal.SIGINT, signal.default_int_handler)  # not so in a shell's background
options = pipeline_options.PipelineOptions(flags=sys.argv[3:])
config = tfds.download.DownloadConfig(manual_dir=sys.argv[1], beam_options=options)
tfds.builder('segment_anything', data_dir=sys.argv[2]).download_and_prepare(download_config=config)
"""


@pytest.fixture(autouse=True)
def package_for_workers(monkeypatch):
    paths = [str(REPO), os.environ.get('PYTHONPATH', '')]
    monkeypatch.setenv('PYTHONPATH', os.pathsep.join(filter(None, paths)))


@pytest.fixture(scope='module')
def manual_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp('manual')
    samples.write_archives(folder, archives=ARCHIVES, images=IMAGES)
    return folder


@pytest.fixture(scope='module')
def clean(manual_dir, tmp_path_factory):
    return digests(build(manual_dir, tmp_path_factory.mktemp('clean')).data_path)


def _one_behind_a_link(manual_dir, folder):
    """Puts the archives into the folder, one of them behind a link; gives what is served."""
    folder.mkdir()
    for path in manual_dir.iterdir():
        (folder / path.name).hardlink_to(path)
    return fault_server.behind_link(folder / f'sa_{SLOW:06d}.tar')


@pytest.fixture
def slow_dir(manual_dir, tmp_path):
    """The archives; one of them is behind a link to a server that takes three seconds."""
    folder = tmp_path / 'slow'
    with _one_behind_a_link(manual_dir, folder) as served:
        served.rate = len(served.body) / 3
        yield folder


@pytest.fixture
def stuck_dir(manual_dir, tmp_path):
    """The archives, and the one that a server does not send to its end, until it is allowed to."""
    folder = tmp_path / 'stuck'
    with _one_behind_a_link(manual_dir, folder) as served:
        served.stalls = sys.maxsize
        yield folder, served


def _config(flags) -> dict:
    return {'beam_options': pipeline_options.PipelineOptions(flags=list(flags))}


def _check(built, clean, reused=0):
    assert digests(built.data_path) == clean
    assert built.info.metadata['archives'] == f'0-{len(clean) - 1}'
    assert built.info.metadata['skipped'] == {}
    assert archives(built, 'reused') == reused
    assert archives(built, 'built') == len(clean) - reused
    assert [path.name for path in built.data_path.parent.iterdir()] == ['1.0.0']


@contextlib.contextmanager
def _flags(engine: str):
    """Flags for an engine with two worker processes."""
    if engine != 'dask':
        yield {'multi': MULTI_PROCESSING, 'portable': PORTABLE}[engine]
        return
    distributed = pytest.importorskip('dask.distributed')
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
    ) as cluster:
        yield (*DASK, f'--dask_client_address={cluster.scheduler_address}')


class _Killer(threading.Thread):
    """Kills the process that is stuck in an archive, once; its next reader is not."""

    def __init__(self, data_dir: pathlib.Path, number: int, served: fault_server.Served):
        super().__init__(daemon=True)
        self._pattern = f'segment_anything/incomplete.shards_*/sa_{number:06d}.0.*.tmp-*'
        self._data_dir = data_dir
        self._served = served
        self.killed: int | None = None

    def run(self):
        while self.killed is None:
            for path in self._data_dir.glob(self._pattern):
                self._kill(str(path))
            time.sleep(0.05)

    def _kill(self, path: str):
        for process in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.Error):
                if any(file.path == path for file in process.open_files()):
                    self._served.stalls = 0
                    process.kill()
                    self.killed = process.pid
                    return


@pytest.mark.parametrize('engine', ['multi', 'portable', 'dask'])
def test_worker_killed_in_the_middle_of_an_archive(engine, stuck_dir, tmp_path, clean):
    folder, served = stuck_dir
    killer = _Killer(tmp_path, SLOW, served)
    with _flags(engine) as flags:
        killer.start()
        built = build(folder, tmp_path, download_config=_config(flags))
    assert killer.killed is not None
    _check(built, clean)


def test_worker_that_dies_every_time_ends_the_build(slow_dir, tmp_path, clean, monkeypatch):
    monkeypatch.setattr(runner, 'run', _raise_worker_lost)
    with pytest.raises(runner.WorkerLostError, match='return code 137'):
        build(slow_dir, tmp_path)
    monkeypatch.undo()
    _check(build(slow_dir, tmp_path), clean)


def _raise_worker_lost(pipeline):
    raise runner.WorkerLostError('Worker subprocess exited with return code 137')


def test_same_archive_to_two_workers_at_once(manual_dir, tmp_path, clean, monkeypatch):
    run = transform.run
    monkeypatch.setattr(
        transform,
        'run',
        lambda sources, *args: run([s for s in sources for _ in range(2)], *args),
    )
    built = build(manual_dir, tmp_path, download_config=_config(MULTI_PROCESSING))
    _check(built, clean)


def test_slow_worker_only_takes_longer(slow_dir, tmp_path, clean):
    _check(build(slow_dir, tmp_path, download_config=_config(MULTI_PROCESSING)), clean)


def test_elements_that_worker_processes_lose(manual_dir, tmp_path, clean, monkeypatch):
    """As Beam's `multi_processing` mode was once seen to do."""
    runs, run = [], transform.run

    def lossy(sources, *args):
        runs.append([source.number for source in sources])
        run(sources if len(runs) > 1 else sources[::2], *args)

    monkeypatch.setattr(transform, 'run', lossy)
    built = build(manual_dir, tmp_path, download_config=_config(MULTI_PROCESSING))
    assert runs == [[0, 1, 2, 3, 4, 5], [1, 3, 5]]
    _check(built, clean)


def _sidecars(data_dir) -> list[pathlib.Path]:
    return list(data_dir.glob('segment_anything/incomplete.shards_1.0.0/sa_??????.json'))


@pytest.mark.parametrize(
    'flags', [(), MULTI_PROCESSING, PORTABLE], ids=['one', 'multi', 'portable']
)
@pytest.mark.parametrize('signal_', [signal.SIGKILL, signal.SIGINT], ids=['killed', 'interrupted'])
def test_driver_that_is_stopped(stuck_dir, tmp_path, clean, signal_, flags):
    """Its workers stop too, in the middle of an archive that has no end."""
    folder, served = stuck_dir
    driver = subprocess.Popen(
        [sys.executable, '-c', _DRIVER, str(folder), str(tmp_path), *flags],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while not _in_progress(tmp_path, SLOW):
        assert driver.poll() is None
        time.sleep(0.01)
    workers = psutil.Process(driver.pid).children(recursive=True)
    driver.send_signal(signal_)
    assert driver.wait(300) != 0
    _, alive = psutil.wait_procs(workers, timeout=300)
    assert not alive, 'workers outlive their driver'
    reused = len(_sidecars(tmp_path))
    assert reused < ARCHIVES

    served.stalls = 0
    built = build(folder, tmp_path)
    _check(built, clean, reused)


def _in_progress(data_dir: pathlib.Path, number: int) -> bool:
    return any(data_dir.glob(f'segment_anything/incomplete.shards_*/sa_{number:06d}.0.*.tmp-*'))


def test_one_corrupt_archive_of_fifty(tmp_path):
    manual, data = tmp_path / 'manual', tmp_path / 'data'
    samples.write_archives(manual, archives=50, images=2)
    clean = digests(build(manual, tmp_path / 'clean').data_path)
    path = manual / 'sa_000031.tar'
    good = path.read_bytes()
    path.write_bytes(good[: len(good) // 2] + b'\0' * 64 + good[len(good) // 2 + 64 :])
    with pytest.raises(faults.DataError, match='1 of 50 archives') as caught:
        build(manual, data, download_config=_config(MULTI_PROCESSING))
    assert {fault.archive for fault in caught.value.faults} == {'sa_000031'}
    assert len(_sidecars(data)) == 49
    path.write_bytes(good)
    _check(build(manual, data), clean, 49)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of a few hundred kilobytes, and a function that makes it larger."""
    folder = tmp_path / 'small'
    folder.mkdir()

    def mount(*options):
        command = ['mount', '-t', 'tmpfs', '-o', ','.join(options), 'tmpfs', str(folder)]
        return subprocess.run(command, capture_output=True)

    try:
        mounted = mount('size=300k').returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip('only the superuser can mount a small disk')
    yield folder, lambda: mount('remount', 'size=100m').check_returncode()
    subprocess.run(['umount', str(folder)], check=True)


def test_full_disk(manual_dir, small_disk, clean):
    folder, enlarge = small_disk
    with pytest.raises((faults.DataError, OSError), match=r'No space left|could not be finished'):
        build(manual_dir, folder, download_config=_config(MULTI_PROCESSING))
    assert not list(folder.rglob('*.tmp-*'))
    finished = len(_sidecars(folder))
    assert finished < ARCHIVES
    enlarge()
    built = build(manual_dir, folder)
    _check(built, clean, finished)


def test_disk_that_is_full_at_the_very_last_file(manual_dir, tmp_path, clean, monkeypatch):
    def full(*_):
        raise OSError(28, 'No space left on device')

    with monkeypatch.context() as patch:
        patch.setattr(place.Staging, 'write_sidecar', full)
        with pytest.raises(faults.DataError, match='6 of 6 archives') as caught:
            build(manual_dir, tmp_path)
    assert {fault.reason for fault in caught.value.faults} == {'unfinished'}
    assert 'on_error' not in str(caught.value)  # nothing is wrong with the records
    _check(build(manual_dir, tmp_path), clean)
