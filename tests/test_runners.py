"""The same build on every Beam runner that can be had on one machine, in worker processes."""

import os
import sys

import pytest
import samples
import tensorflow_datasets as tfds
from apache_beam.options import pipeline_options
from building import REPO, build, digests, run_python

from segment_anything_tfds.prepare import runner, shard

ARCHIVES, IMAGES = 5, 8
PORTABLE = (
    '--runner=PortableRunner',
    '--job_endpoint=embed',
    '--environment_type=beam:env:harness_subprocess_python:v1',
    f'--environment_config={sys.executable} -m apache_beam.runners.worker.sdk_worker_main',
)
MULTI_PROCESSING = ('--direct_running_mode=multi_processing', '--direct_num_workers=2')
DASK = ('--runner=apache_beam.runners.dask.dask_runner.DaskRunner',)


@pytest.fixture(scope='module')
def manual_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp('manual')
    samples.write_archives(folder, archives=ARCHIVES, images=IMAGES)
    return folder


@pytest.fixture(scope='module')
def clean(manual_dir, tmp_path_factory):
    """The result of a build in this process."""
    return digests(build(manual_dir, tmp_path_factory.mktemp('clean')).data_path)


@pytest.fixture
def nothing_in_this_process(monkeypatch):
    """Leaves the work to new processes, which import the package themselves."""

    def refuse(*_):
        raise AssertionError('an archive was built in the process of the driver')

    monkeypatch.setattr(shard, 'build_archive', refuse)
    paths = [str(REPO), os.environ.get('PYTHONPATH', '')]
    monkeypatch.setenv('PYTHONPATH', os.pathsep.join(filter(None, paths)))


def _build(manual_dir, data_dir, flags, **kwargs):
    options = pipeline_options.PipelineOptions(flags=list(flags))
    return build(manual_dir, data_dir, download_config={'beam_options': options}, **kwargs)


def _check(built, clean):
    assert digests(built.data_path) == clean
    assert built.info.splits['train'].shard_lengths == [IMAGES] * ARCHIVES
    assert built.info.metadata['archives_built'] == ARCHIVES
    assert [path.name for path in built.data_path.parent.iterdir()] == ['1.0.0']


@pytest.mark.parametrize('flags', [PORTABLE, MULTI_PROCESSING], ids=['portable', 'multi'])
@pytest.mark.usefixtures('nothing_in_this_process')
def test_worker_processes_of_beam(manual_dir, tmp_path, clean, flags):
    _check(_build(manual_dir, tmp_path, flags), clean)


@pytest.mark.usefixtures('nothing_in_this_process')
def test_worker_processes_of_dask(manual_dir, tmp_path, clean):
    distributed = pytest.importorskip('dask.distributed')
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
    ) as cluster:
        flags = (*DASK, f'--dask_client_address={cluster.scheduler_address}')
        _check(_build(manual_dir, tmp_path, flags), clean)


def test_a_process_of_the_portable_runner_is_what_builds(manual_dir, tmp_path, monkeypatch):
    """The check above can fail: in this process the work is refused."""
    monkeypatch.setattr(shard, 'build_archive', lambda *_: pytest.fail('in the driver'))
    with pytest.raises(BaseException, match='in the driver'):
        build(manual_dir, tmp_path)


def test_runner_named_by_the_options(monkeypatch):
    named = pipeline_options.PipelineOptions(flags=list(PORTABLE))
    assert type(runner.pipeline(None, named).runner).__name__ == 'PortableRunner'
    monkeypatch.setattr(sys, 'argv', ['program', '--runner=PortableRunner'])
    assert type(runner.pipeline().runner).__name__ == 'FnApiRunner'
    assert type(runner.pipeline('DirectRunner', named).runner).__name__ == 'FnApiRunner'


def test_the_command_line_of_tfds(manual_dir, tmp_path, clean, monkeypatch):
    """`tfds build` as the documentation gives it, with worker processes."""
    code = 'from tensorflow_datasets.scripts.cli import main; main.launch_cli()'
    monkeypatch.setenv('TF_CPP_MIN_LOG_LEVEL', '2')
    done = run_python(
        code,
        'build',
        'segment_anything',
        '--imports=segment_anything_tfds',
        f'--manual_dir={manual_dir}',
        f'--data_dir={tmp_path}',
        '--beam_pipeline_options=' + ','.join(flag[2:] for flag in MULTI_PROCESSING),
    )
    assert done.returncode == 0
    built = tfds.builder('segment_anything', data_dir=str(tmp_path))
    _check(built, clean)
