"""What a build survives: a kill, lost elements, two workers on one archive, a full disk."""

import concurrent.futures
import contextlib
import dataclasses
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import fault_server
import pytest
import samples
from building import REPO, build, digests, run_python

from segment_anything_tfds.prepare import progress, runner
from segment_anything_tfds.prepare.shards import shard, spread, transform
from segment_anything_tfds.prepare.staging import driver, place
from segment_anything_tfds.source import checksums, faults
from segment_anything_tfds.source.archive import pair_stream

_BUILD = """
import sys
import tensorflow_datasets as tfds
import segment_anything_tfds
config = tfds.download.DownloadConfig(manual_dir=sys.argv[1])
tfds.builder('segment_anything', data_dir=sys.argv[2]).download_and_prepare(download_config=config)
"""


@pytest.fixture(scope='module')
def manual_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp('manual')
    samples.write_archives(folder, archives=6, images=300, masks=2)
    return folder


@pytest.fixture(scope='module')
def clean(manual_dir, tmp_path_factory):
    """The result of an uninterrupted build."""
    return digests(build(manual_dir, tmp_path_factory.mktemp('clean')).data_path)


def _start_build(manual_dir, data_dir) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, '-c', _BUILD, str(manual_dir), str(data_dir)],
        env=dict(os.environ, PYTHONPATH=str(REPO)),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _sidecars(data_dir) -> list[pathlib.Path]:
    return list(data_dir.glob('segment_anything/incomplete.shards_1.0.0/sa_??????.json'))


def test_goes_on_after_a_kill(manual_dir, tmp_path, clean):
    folder = tmp_path / 'stuck'
    folder.mkdir()
    for path in manual_dir.iterdir():
        (folder / path.name).hardlink_to(path)
    with fault_server.behind_link(folder / 'sa_000003.tar') as served:
        served.stalls = sys.maxsize
        process = _start_build(folder, tmp_path)
        while not list(tmp_path.rglob('sa_000003.0.tfrecord.tmp-*')):
            assert process.poll() is None
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()
        finished = len(_sidecars(tmp_path))
        assert finished < 6
        assert not (tmp_path / 'segment_anything' / '1.0.0').exists()
        served.stalls = 0
        built = build(folder, tmp_path)
    assert built.info.metadata['archives_reused'] == finished
    assert built.info.metadata['archives_built'] == 6 - finished
    assert digests(built.data_path) == clean
    assert [path.name for path in built.data_path.parent.iterdir()] == ['1.0.0']


def _plan(folder: pathlib.Path, **kwargs) -> shard.Plan:
    staging = place.Staging(str(folder / 'staging'), 'tfrecord')
    staging.create()
    choices = {'on_error': 'fail', 'decode_images': False, 'shards_per_archive': 1}
    return shard.Plan(
        staging=staging,
        file_format='tfrecord',
        max_examples=None,
        checksums=checksums.Checksums(),
        **choices | kwargs,
    )


def test_two_workers_on_one_archive_do_no_harm(manual_dir, tmp_path):
    source = pair_stream.locate(manual_dir, None, [3])[0]
    plan = _plan(tmp_path)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        counts = list(pool.map(lambda _: shard.build_archive(source, plan), range(2)))
    assert counts[0] == counts[1]
    assert plan.staging.finished('sa_000003').shard_examples == (300,)
    names = {path.name for path in pathlib.Path(plan.staging.folder).iterdir()}
    assert names == {'sa_000003.0.tfrecord', 'sa_000003.json'}


def test_elements_that_the_runner_loses_are_done_again(manual_dir, tmp_path, clean, monkeypatch):
    calls = []
    run = transform.run

    def lossy(sources, *args):
        calls.append([source.number for source in sources])
        run([source for source in sources if len(calls) > 1 or source.number != 4], *args)

    monkeypatch.setattr(transform, 'run', lossy)
    assert digests(build(manual_dir, tmp_path).data_path) == clean
    assert calls == [[0, 1, 2, 3, 4, 5], [4]]


def test_elements_that_stay_lost_are_an_error(manual_dir, tmp_path, monkeypatch):
    run = transform.run
    monkeypatch.setattr(
        transform, 'run', lambda sources, *args: run([s for s in sources if s.number != 4], *args)
    )
    with pytest.raises(faults.DataError, match=r'1 of 6 archives.*\n.*sa_000004: no worker'):
        build(manual_dir, tmp_path)
    assert len(_sidecars(tmp_path)) == 5


def test_pipeline_that_breaks_once_is_run_again(manual_dir, tmp_path, clean, monkeypatch):
    run, calls = transform.run, []

    def breaking(sources, *args):
        calls.append(len(sources))
        if len(calls) == 1:
            run(sources[:2], *args)
            raise RuntimeError('worker lost')
        run(sources, *args)

    monkeypatch.setattr(transform, 'run', breaking)
    assert digests(build(manual_dir, tmp_path).data_path) == clean
    assert calls == [6, 4]


def test_shards_survive_a_failure_after_the_pipeline(manual_dir, tmp_path, clean, monkeypatch):
    from tensorflow_datasets.core import dataset_info

    def full(*_):
        raise OSError(28, 'No space left on device')

    with monkeypatch.context() as patch:
        patch.setattr(dataset_info.DatasetInfo, 'write_to_directory', full)
        with pytest.raises(OSError, match='No space'):
            build(manual_dir, tmp_path)
    built = build(manual_dir, tmp_path)
    assert built.info.metadata['archives_reused'] == 6
    assert digests(built.data_path) == clean


def test_interrupt_stops_the_build(manual_dir, tmp_path, clean, monkeypatch):
    check = shard.annotations.check
    seen = []

    def interrupted(*args, **kwargs):
        seen.append(1)
        if len(seen) == 450:  # in the middle of the second archive
            raise KeyboardInterrupt
        return check(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(shard.annotations, 'check', interrupted)
        with pytest.raises(KeyboardInterrupt):
            build(manual_dir, tmp_path)
    assert len(seen) == 450
    built = build(manual_dir, tmp_path)
    assert built.info.metadata['archives_reused'] == 1
    assert digests(built.data_path) == clean


def test_second_build_at_the_same_time_is_refused(manual_dir, tmp_path, clean, monkeypatch):
    run, errors = transform.run, []

    def run_with_company(*args):
        with pytest.raises(
            RuntimeError, match='Another build of this data set is running'
        ) as error:
            build(manual_dir, tmp_path)
        errors.append(error)
        run(*args)

    monkeypatch.setattr(transform, 'run', run_with_company)
    assert digests(build(manual_dir, tmp_path).data_path) == clean
    assert len(errors) == 1


@pytest.mark.parametrize('text', ['[]', '{}', '{"archive": "sa_000000", "new_field": 1}'])
def test_sidecar_of_another_version_is_no_sidecar(manual_dir, tmp_path, text):
    plan = _plan(tmp_path)
    plan.staging.path('sa_000000', 'json').write_text(text)
    assert plan.staging.finished('sa_000000') is None


def test_full_disk(manual_dir, tmp_path, clean):
    limited = 'import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))\n'
    limited += 'import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n'
    done = run_python(limited + _BUILD, manual_dir, tmp_path, check=False)
    assert done.returncode != 0
    assert '6 of 6 archives could not be finished' in done.stderr
    assert not (tmp_path / 'segment_anything' / '1.0.0').exists()
    left = [path.name for path in (tmp_path / 'segment_anything').rglob('*tmp-*')]
    assert not left
    assert digests(build(manual_dir, tmp_path).data_path) == clean


def test_a_run_clears_what_the_one_before_left_half_written(tmp_path):
    staging = _plan(tmp_path).staging
    for name in ('sa_000000.0.tfrecord.tmp-1', 'sa_000000.0.tfrecord'):
        (tmp_path / 'staging' / name).write_bytes(b'half')
    with driver.hold(staging, tmp_path / 'unfinished') as runs:
        runs.start()
        names = {path.name for path in (tmp_path / 'staging').iterdir()}
        assert names == {'driver.json', 'sa_000000.0.tfrecord'}


def test_worker_stops_when_its_run_is_over(manual_dir, tmp_path, monkeypatch):
    monkeypatch.setattr(progress, '_LOCAL_SECONDS', 0.0)
    sources = pair_stream.locate(manual_dir, None, [0, 1])
    plan = _plan(tmp_path)
    check, seen = shard.annotations.check, []

    def check_until_run_is_over(*args, **kwargs):
        seen.append(1)
        if len(seen) == 10:
            runs.start()
        return check(*args, **kwargs)

    monkeypatch.setattr(shard.annotations, 'check', check_until_run_is_over)
    with driver.hold(plan.staging, tmp_path / 'unfinished') as runs:
        plan = dataclasses.replace(plan, run=runs.start())
        for source in sources:
            assert shard.build_archive(source, plan) == {'archives_stopped': 1}
        assert len(seen) == 10
        names = {path.name for path in (tmp_path / 'staging').iterdir()}
        assert names <= {'driver.json', 'sa_000000.progress.json'}


@pytest.mark.parametrize('well', [True, False])
def test_note_of_the_driver_after_its_end(well, tmp_path):
    staging = _plan(tmp_path).staging
    with contextlib.suppress(InterruptedError), driver.hold(staging, tmp_path) as runs:
        run = runs.start()
        assert driver.is_held(staging.folder)
        assert not driver.is_over(staging, run) and driver.is_over(staging, 'another')
        if not well:
            raise InterruptedError
    assert not driver.is_held(staging.folder)
    assert driver.is_over(staging, run) != well  # workers may be left only where it was stopped


def test_driver_on_another_machine_takes_over(tmp_path):
    staging = _plan(tmp_path).staging
    note = tmp_path / 'staging' / 'driver.json'
    with (
        pytest.raises(RuntimeError, match='Another process has taken over the build'),
        driver.hold(staging, tmp_path / 'unfinished') as runs,
    ):
        runs.start()
        theirs = json.dumps({'host': 'another', 'pid': 1, 'folder': '/', 'run': 'theirs'})
        note.write_text(theirs)
        runs.start()
    assert note.read_text() == theirs


def test_error_that_only_speaks_of_an_interrupt_is_none():
    assert not runner.is_interrupt(RuntimeError('KeyboardInterrupt'))
    try:
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            raise RuntimeError('stopped')  # noqa: B904
    except RuntimeError as error:
        assert runner.is_interrupt(error)


@pytest.mark.parametrize('damage', ['truncated', 'absent', 'sidecar'])
def test_damaged_staging_is_not_taken_for_whole(manual_dir, tmp_path, clean, damage):
    plan = _plan(tmp_path)
    source = pair_stream.locate(manual_dir, None, [0])[0]
    shard.build_archive(source, plan)
    path = plan.staging.shard('sa_000000', 0)
    assert plan.staging.finished('sa_000000') is not None
    if damage == 'truncated':
        path.write_bytes(path.read_bytes()[:-1])
    elif damage == 'absent':
        path.unlink()
    else:
        sidecar = plan.staging.path('sa_000000', 'json')
        sidecar.write_text(sidecar.read_text()[:-5])
    assert plan.staging.finished('sa_000000') is None


def test_changed_choices_are_not_mixed(manual_dir, tmp_path):
    plan = _plan(tmp_path)
    assert plan.fingerprint != _plan(tmp_path, shards_per_archive=2).fingerprint
    assert plan.fingerprint != _plan(tmp_path, decode_images=True).fingerprint
    assert plan.fingerprint == _plan(tmp_path, on_error='skip').fingerprint


def _write_until_full(path, examples):
    for count, _ in enumerate(examples):
        if count == 2:
            raise OSError(28, 'No space left on device')


def test_writer_that_fails_stops_the_rest(tmp_path, monkeypatch):
    monkeypatch.setattr(spread.tfrecord, 'write', _write_until_full)
    for shards in (1, 3):
        with pytest.raises(OSError, match='No space'):
            spread.write('tfrecord', [tmp_path / str(i) for i in range(shards)], [[b'x']] * 1000)


def test_error_of_the_examples_reaches_the_caller(tmp_path):
    def examples():
        yield [b'x']
        raise RuntimeError('broken')

    for shards in (1, 3):
        with pytest.raises(RuntimeError, match='broken'):
            spread.write('tfrecord', [tmp_path / str(i) for i in range(shards)], examples())


def test_counters_of_beam_say_what_was_done(tmp_path):
    files = samples.members(1, 3) | {'./sa_2.json': b'{'}
    samples.write_archive(tmp_path / 'sa_000000.tar', files)
    pipeline = runner.pipeline()
    sources = pair_stream.locate(tmp_path, None)
    _ = pipeline | transform.BuildShards(sources, _plan(tmp_path, on_error='skip'))
    counters = pipeline.run().metrics().query()['counters']
    assert {
        counter.key.metric.name: counter.committed
        for counter in counters
        if counter.key.metric.namespace == 'segment_anything'
    } == {
        'archives_built': 1,
        'examples': 2,
        'bytes_read': (tmp_path / 'sa_000000.tar').stat().st_size,
        'skipped/json_invalid': 1,
    }


def test_sidecar_says_what_was_done(manual_dir, tmp_path):
    plan = _plan(tmp_path, shards_per_archive=2)
    source = pair_stream.locate(manual_dir, None, [1])[0]
    counts = shard.build_archive(source, plan)
    sidecar = json.loads(plan.staging.path('sa_000001', 'json').read_text())
    assert counts['examples'] == 300 and counts['archives_built'] == 1
    assert sidecar['shard_examples'] == [150, 150]
    assert sidecar['bytes_read'] == (manual_dir / 'sa_000001.tar').stat().st_size
    assert sidecar['faults'] == {}
