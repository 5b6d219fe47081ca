"""Annotation on Beam: the same archives on every runner, and the job that Dataflow would get."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time

import psutil
import pytest
import samples
from apache_beam.options import pipeline_options
from apache_beam.portability.api import beam_runner_api_pb2
from building import REPO
from test_annotate_archives import SETTINGS, _digests
from test_dataflow import FLAGS
from test_runners import DASK, MULTI_PROCESSING, PORTABLE

from segment_anything_tfds import annotate, training
from segment_anything_tfds.annotate.archives import (
    annotation_beam,
    annotation_run,
    archive_task,
    picture_file,
    picture_lists,
)
from segment_anything_tfds.prepare import runner
from segment_anything_tfds.prepare.staging import place

pytest.importorskip('keras_hub')
# Beam's threads end with errors when a worker is killed.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings('ignore::pytest.PytestUnhandledThreadExceptionWarning'),
]

ARCHIVE_SIZE, ARCHIVES = 4, 3
CHOSEN = annotate.settings.get('default', **SETTINGS)


@pytest.fixture(autouse=True)
def package_for_workers(monkeypatch):
    paths = [str(REPO), os.environ.get('PYTHONPATH', '')]
    monkeypatch.setenv('PYTHONPATH', os.pathsep.join(filter(None, paths)))


@pytest.fixture(scope='module')
def photographs(tmp_path_factory):
    folder = tmp_path_factory.mktemp('photographs')
    for index in range(ARCHIVES * ARCHIVE_SIZE):
        (folder / f'{index:02d}.jpg').write_bytes(samples.jpeg(index))
    return folder


@pytest.fixture(scope='module')
def model_file(tmp_path_factory):
    path = tmp_path_factory.mktemp('model') / 'sam.keras'
    segmenter = training.small_sam(64, hidden_size=16, num_layers=1)
    training.PromptableSegmenter(segmenter).save(path)
    return path


def _write(photographs, model_file, out, **options):
    options = {'settings': CHOSEN, 'archive_size': ARCHIVE_SIZE, 'progress': None, **options}
    return annotate.write_archives(photographs, model_file, out, **options)


@pytest.fixture(scope='module')
def clean(photographs, model_file, tmp_path_factory):
    """What this process makes, without Beam."""
    out = tmp_path_factory.mktemp('clean')
    _write(photographs, model_file, out)
    return _digests(out)


def _options(flags):
    return pipeline_options.PipelineOptions(flags=list(flags))


def test_beam_in_this_process(photographs, model_file, tmp_path, clean):
    summary = _write(photographs, model_file, tmp_path, beam_runner='DirectRunner')
    assert len(summary.archives) == ARCHIVES and _digests(tmp_path) == clean


@pytest.fixture
def nothing_in_this_process(monkeypatch):
    """Leaves the work to new processes, which import the package themselves."""

    def refuse(*_):
        raise AssertionError('an archive was made in the process of the driver')

    monkeypatch.setattr(archive_task, 'annotate_archive', refuse)


@pytest.mark.slow
@pytest.mark.parametrize('flags', [PORTABLE, MULTI_PROCESSING], ids=['portable', 'multi'])
@pytest.mark.usefixtures('nothing_in_this_process')
def test_worker_processes_of_beam(photographs, model_file, tmp_path, clean, flags):
    _write(photographs, model_file, tmp_path, beam_options=_options(flags))
    assert _digests(tmp_path) == clean


@pytest.mark.slow
@pytest.mark.usefixtures('nothing_in_this_process')
def test_worker_processes_of_dask(photographs, model_file, tmp_path, clean):
    distributed = pytest.importorskip('dask.distributed')
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
    ) as cluster:
        flags = (*DASK, f'--dask_client_address={cluster.scheduler_address}')
        _write(photographs, model_file, tmp_path, beam_options=_options(flags))
    assert _digests(tmp_path) == clean


_DRIVER = """
import sys
from apache_beam.options import pipeline_options
import test_annotate_runners as runners
flags = pipeline_options.PipelineOptions(flags=sys.argv[4:])
runners._write(*sys.argv[1:4], beam_options=flags)
"""


def _start(photographs, model_file, out, flags):
    environment = {**os.environ, 'PYTHONPATH': f'{REPO}:{REPO / "tests"}'}
    given = [sys.executable, '-c', _DRIVER, str(photographs), str(model_file), str(out), *flags]
    return subprocess.Popen(given, env=environment, stderr=subprocess.PIPE)


def _wait_for(pattern, folder, process, seconds=900):
    deadline = time.monotonic() + seconds
    while not list(folder.glob(pattern)):
        assert process.poll() is None and time.monotonic() < deadline, process.stderr.read()[-2000:]
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.parametrize('whom', ['driver', 'worker'])
def test_kill_and_give_again(photographs, model_file, tmp_path, clean, whom):
    """After a kill -9 of either, the same call makes what is missing, and the same bytes."""
    process = _start(photographs, model_file, tmp_path, MULTI_PROCESSING)
    drain = threading.Thread(target=process.stderr.read, daemon=True)
    _wait_for('*.tar', tmp_path, process)
    drain.start()
    children = psutil.Process(process.pid).children(recursive=True)
    workers = [c for c in children if 'sdk_worker_main' in ' '.join(c.cmdline())]
    if whom == 'driver':
        process.send_signal(signal.SIGKILL)
    else:
        workers[0].send_signal(signal.SIGKILL)
    process.wait(timeout=300)
    for child in children:
        with contextlib.suppress(psutil.Error):
            child.wait(timeout=60)
    _write(photographs, model_file, tmp_path)
    assert _digests(tmp_path) == clean


# --- Dataflow ------------------------------------------------------------------------------------

GPU = 'type:nvidia-l4;count:1;install-nvidia-driver'


def _translate(units):
    pytest.importorskip('apache_beam.runners.dataflow.internal.apiclient', exc_type=ImportError)
    plan = archive_task.Plan(
        staging=place.Staging(f'gs://a-bucket/archives/{annotation_run.STAGING}', 'piece'),
        out='gs://a-bucket/archives',
        model='gs://a-bucket/sam.pth',
        model_identity='sha256 0',
        settings=annotate.settings.get('sa1b'),
        limits=picture_file.Limits(),
        on_error='skip',
    )
    flags = [*FLAGS, f'--resource_hint=accelerator={GPU}', '--number_of_worker_harness_threads=1']
    pipeline = runner.pipeline(None, _options(flags))
    _ = pipeline | annotation_beam.AnnotateArchives(units, plan)
    result = pipeline.run()
    return result.job, pipeline.runner.proto_pipeline


def _units(count):
    return [picture_lists.Unit(n, 1 + n * 500, 500, None, f'files {n:032x}') for n in range(count)]


def test_the_job_of_dataflow():
    """As many steps for any number of archives, small elements, and a GPU for each worker."""
    protos = {count: _translate(_units(count))[1] for count in (1, 10, 1000)}
    names = {
        count: {step.unique_name for step in proto.components.transforms.values()}
        for count, proto in protos.items()
    }
    assert names[1] == names[10] == names[1000] and len(names[1]) < 20
    grouped = [n for n in names[1] if n.endswith('GroupByKey')]
    assert grouped == ['AnnotateArchives/DealOut/ReshufflePerKey/GroupByKey']
    size = {count: proto.ByteSize() for count, proto in protos.items()}
    assert (size[1000] - size[10]) / 990 < 1000 and size[1000] < 1 << 20
    hints = [
        environment.resource_hints['beam:resources:accelerator:v1']
        for environment in protos[1].components.environments.values()
        if environment.resource_hints
    ]
    assert hints and set(hints) == {GPU.encode()}
    payloads = [
        beam_runner_api_pb2.ParDoPayload.FromString(step.spec.payload)
        for step in protos[1].components.transforms.values()
        if step.spec.urn == 'beam:transform:pardo:v1'
    ]
    assert len(payloads) >= 2
