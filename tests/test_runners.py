"""The same build on every Beam runner that can be had on one machine, in worker processes."""

import ast
import os
import sys
import textwrap

import fault_server
import pytest
import samples
import tensorflow_datasets as tfds
from apache_beam.options import pipeline_options
from building import REPO, archives, build, digests, run_python

from segment_anything_tfds.prepare import runner
from segment_anything_tfds.prepare.shards import shard

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
    assert archives(built, 'built') == ARCHIVES
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


def test_in_a_notebook(manual_dir, tmp_path, clean):
    pytest.importorskip('IPython')
    code = """
        import sys
        import building
        get_ipython()
        built = building.build(sys.argv[1], sys.argv[2])
        interactive = ('apache_beam.runners.interactive', 'apache_beam.dataframe')
        print([name for name in sys.modules if name.startswith(interactive)])
        print(building.digests(built.data_path))
    """
    cell = tmp_path / 'cell.ipy'
    cell.write_text(textwrap.dedent(code))
    start = "import sys, IPython; sys.exit(IPython.start_ipython(['--no-banner', *sys.argv[1:]]))"
    done = run_python(start, cell, manual_dir, tmp_path / 'built')
    *_, loaded, found = done.stdout.splitlines()
    assert loaded == '[]'
    assert ast.literal_eval(found) == clean


def test_without_workers_this_process_builds(manual_dir, tmp_path, monkeypatch):
    """So the tests above would fail if it did."""
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


_VERBOSE = """
import logging
import sys
import segment_anything_tfds
import tensorflow_datasets as tfds
from apache_beam.options import pipeline_options

logging.basicConfig(level=logging.DEBUG)
options = pipeline_options.PipelineOptions(flags=sys.argv[3:])
config = tfds.download.DownloadConfig(manual_dir=sys.argv[1], beam_options=options)
tfds.builder('segment_anything', data_dir=sys.argv[2]).download_and_prepare(download_config=config)
"""


@pytest.mark.parametrize(
    'flags',
    [PORTABLE, pytest.param(MULTI_PROCESSING, marks=pytest.mark.slow)],
    ids=['portable', 'multi'],
)
def test_signed_links_are_shown_nowhere(manual_dir, tmp_path, flags):
    """Neither in the logs of driver and workers, at their most talkative, nor in any file."""
    talkative = ('--default_sdk_harness_log_level=DEBUG',)
    manual, data = tmp_path / 'manual', tmp_path / 'data'
    manual.mkdir()
    with fault_server.FaultServer() as server:
        rows = []
        for path in sorted(manual_dir.iterdir()):
            rows.append(f'{path.name}\t{server.serve(path.name, path.read_bytes())}')
        server.objects['sa_000003.tar'].statuses = [(403, {}, b'Signature has expired')] * 50
        (manual / 'segment_anything_links.txt').write_text('\n'.join(rows))
        done = run_python(_VERBOSE, manual, data, *flags, *talkative, check=False)
    assert 'sa_000003' in done.stderr and '403' in done.stderr
    staged = [path for path in data.rglob('*') if path.is_file()]
    assert any(path.name == 'sa_000000.json' for path in staged)
    assert any(path.name == 'sa_000003.failed.jsonl' for path in staged)
    for text in (
        done.stdout,
        done.stderr,
        *(path.read_bytes().decode('latin-1') for path in staged),
    ):
        assert fault_server.SECRET not in text
