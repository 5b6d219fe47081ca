"""What a build survives: a kill, lost elements, two workers on one archive, a full disk."""

import concurrent.futures
import dataclasses
import importlib.util
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time
import types

import fault_server
import pytest
import samples
from building import REPO, archives, build, digests, run_python

from segment_anything_tfds.prepare import build as build_lib
from segment_anything_tfds.prepare import failures, runner
from segment_anything_tfds.prepare.shards import reporter, shard, spread, transform
from segment_anything_tfds.prepare.staging import driver, place
from segment_anything_tfds.source import checksums, faults
from segment_anything_tfds.source.archive import pair_stream
from segment_anything_tfds.source.remote import fetch

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
    assert archives(built, 'reused') == finished
    assert archives(built, 'built') == 6 - finished
    assert digests(built.data_path) == clean
    assert [path.name for path in built.data_path.parent.iterdir()] == ['1.0.0']


def _plan(folder: pathlib.Path, **kwargs) -> shard.Plan:
    staging = place.Staging(str(folder / 'staging'), 'tfrecord')
    place.create(staging.folder)
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


def _pipelines(monkeypatch) -> list[list[int]]:
    """The archives of each pipeline that is run from now on."""
    run, calls = transform.run, []

    def counted(sources, *args):
        calls.append([source.number for source in sources])
        run(sources, *args)

    monkeypatch.setattr(transform, 'run', counted)
    return calls


@pytest.mark.parametrize('on_error', ['fail', 'skip'])
@pytest.mark.parametrize('record', [b'{', None], ids=['bad_record', 'good_record'])
def test_archive_whose_connection_breaks_is_tried_again(record, on_error, tmp_path, monkeypatch):
    """Whatever else is wrong with it."""
    files = samples.members(1, 40)
    files = files if record is None else files | {'./sa_1.json': record}
    samples.write_archive(tmp_path / 'sa_000000.tar', files, gzip=False)
    calls = _pipelines(monkeypatch)
    monkeypatch.setattr(fetch.Patience, 'delay', lambda *_: 0.0)
    with fault_server.behind_link(tmp_path / 'sa_000000.tar') as served:
        served.cuts = [len(served.body) // 2] + [0] * 9
        if record is not None and on_error == 'fail':
            with pytest.raises(faults.DataError, match='json_invalid'):
                build(tmp_path, tmp_path / 'data', on_error=on_error)
        else:
            built = build(tmp_path, tmp_path / 'data', on_error=on_error)
            assert built.info.splits['train'].num_examples == (40 if record is None else 39)
    assert calls == [[0], [0]]


def test_archive_with_faults_alone_is_not_tried_again(tmp_path, monkeypatch):
    samples.write_archive(tmp_path / 'sa_000000.tar', samples.members(1, 3) | {'./sa_1.json': b'{'})
    calls = _pipelines(monkeypatch)
    with pytest.raises(faults.DataError, match='json_invalid'):
        build(tmp_path, tmp_path / 'data')
    assert calls == [[0]]


def test_advice_fits_the_place(tmp_path, monkeypatch):
    samples.write_archive(tmp_path / 'sa_000007.tar', samples.members(1, 3) | {'./sa_1.json': b'{'})
    with pytest.raises(faults.DataError) as caught:
        build(tmp_path, tmp_path / 'python', '7')
    assert "Pass `builder_kwargs={'on_error': 'skip'}`" in str(caught.value)
    assert importlib.util.find_spec(failures.TFDS_COMMAND) is not None
    with monkeypatch.context() as patch, pytest.raises(faults.DataError) as caught:
        patch.setitem(sys.modules, failures.TFDS_COMMAND, types.ModuleType('build'))
        build(tmp_path, tmp_path / 'command', '7')
    assert 'Build `segment_anything/7/on_error=skip` to leave out records' in str(caught.value)
    assert 'builder_kwargs' not in str(caught.value)
    # Where it is chosen already, only the connection can be at fault, and nothing is advised.
    (tmp_path / 'sa_000007.tar').unlink()
    (tmp_path / 'segment_anything_links.txt').write_text('sa_000007.tar\thttp://127.0.0.1:9/7')
    monkeypatch.setattr(fetch.Patience, 'delay', lambda *_: 0.0)
    with pytest.raises(faults.DataError, match='unfinished') as caught:
        build(tmp_path, tmp_path / 'skip', '7', on_error='skip')
    assert 'on_error' not in str(caught.value)


def test_cause_comes_before_its_consequences(tmp_path):
    """An archive that is cut lacks many images, which are counted and not listed."""
    samples.write_archive(tmp_path / 'sa_000000.tar', samples.members(1, 2) | {'./sa_1.json': b'{'})
    path = tmp_path / 'sa_000001.tar'
    records = {f'./sa_{n}.json': b'' for n in range(100, 160)}
    samples.write_archive(path, samples.members(1001, 40) | records, gzip=False)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(faults.DataError) as caught:
        build(tmp_path, tmp_path / 'data')
    lines = str(caught.value).splitlines()
    assert lines[0].startswith('2 of 2 archives could not be finished')
    assert 'sa_000001' in lines[1] and '[archive_truncated], and so ' in lines[1]
    assert re.search(r'and so \d+ \w+_missing, \d+ \w+_missing$', lines[1])
    assert 'sa_000000 / sa_1.json' in lines[2] and '[json_invalid]' in lines[2]
    assert len(lines) == 4 and 'Pass' in lines[3]
    assert [fault.reason for fault in caught.value.faults] == ['archive_truncated', 'json_invalid']


_KILLED = """
import os, pathlib, signal, sys
import segment_anything_tfds
import tensorflow_datasets as tfds
from tensorflow_datasets.core import dataset_info
from segment_anything_tfds.prepare import publish, session
from segment_anything_tfds.prepare.staging import place

def build(data_dir):
    config = tfds.download.DownloadConfig(manual_dir=sys.argv[1])
    builder = tfds.builder('segment_anything', data_dir=data_dir)
    builder.download_and_prepare(download_config=config)
    return builder

for where, name in [
    (publish, 'publish'), (publish, 'write_reports'), (publish, 'check'),
    (dataset_info.DatasetInfo, 'write_to_directory'), (publish, 'put_in_place'), (place, 'clear'),
]:
    for after in (False, True):
        data_dir = pathlib.Path(sys.argv[2], f'{name}{after}')
        if os.fork() == 0:
            original = getattr(where, name)

            def kill(*args, **kwargs):
                if after:
                    original(*args, **kwargs)
                os.kill(os.getpid(), signal.SIGKILL)

            setattr(where, name, kill)
            build(data_dir)
        assert os.wait()[1] == signal.SIGKILL, name
        built = build(data_dir)
        left = sorted(path.name for path in (data_dir / 'segment_anything').iterdir())
        print(name, after, left, built.info.splits['train'].num_examples)
"""


def test_killed_anywhere_between_shards_and_data_set(tmp_path):
    """The next build finds all of it, and nothing is left beside the data set."""
    samples.write_archives(tmp_path / 'archives', archives=2)
    clean = digests(build(tmp_path / 'archives', tmp_path / 'clean').data_path)
    done = run_python(_KILLED, tmp_path / 'archives', tmp_path)
    lines = [line for line in done.stdout.splitlines() if not line.startswith('Dataset ')]
    assert len(lines) == 12
    assert all(line.endswith("['1.0.0'] 8") for line in lines), lines
    for folder in tmp_path.glob('*/segment_anything/1.0.0'):
        assert digests(folder) == clean


def test_shard_with_a_flipped_byte_is_built_again(manual_dir, tmp_path, clean, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(build_lib.publish, 'publish', _full)
        with pytest.raises(OSError, match='No space'):
            build(manual_dir, tmp_path)
    shard_path = tmp_path / 'segment_anything/incomplete.shards_1.0.0/sa_000003.0.tfrecord'
    data = bytearray(shard_path.read_bytes())
    data[len(data) // 2] ^= 1
    shard_path.write_bytes(data)
    calls = _pipelines(monkeypatch)
    assert digests(build(manual_dir, tmp_path).data_path) == clean
    assert calls == [[3]]


def test_shard_that_does_not_arrive_keeps_the_staging_place(manual_dir, tmp_path, monkeypatch):
    write = build_lib.publish.write_reports

    def lossy(finished, folder):
        write(finished, folder)
        next(folder.glob('*00002-of-*')).unlink()

    text = r'6 shards .* 1 of them missing or cut, such as .*00002-'
    with monkeypatch.context() as patch, pytest.raises(OSError, match=text):
        patch.setattr(build_lib.publish, 'write_reports', lossy)
        build(manual_dir, tmp_path)
    assert len(_sidecars(tmp_path)) == 6
    assert not (tmp_path / 'segment_anything' / '1.0.0').exists()


def _full(*_):
    raise OSError(28, 'No space left on device')


def test_shards_survive_a_failure_after_the_pipeline(manual_dir, tmp_path, clean, monkeypatch):
    from tensorflow_datasets.core import dataset_info

    with monkeypatch.context() as patch:
        patch.setattr(dataset_info.DatasetInfo, 'write_to_directory', _full)
        with pytest.raises(OSError, match='No space'):
            build(manual_dir, tmp_path)
    built = build(manual_dir, tmp_path)
    assert archives(built, 'reused') == 6
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
    assert archives(built, 'reused') == 1
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
    with driver.hold(staging.folder) as runs:
        runs.start()
        names = {path.name for path in (tmp_path / 'staging').iterdir()}
        assert names == {'driver.json', 'driver.lock', 'sa_000000.0.tfrecord'}


def test_worker_stops_when_its_run_is_over(manual_dir, tmp_path, monkeypatch):
    monkeypatch.setattr(reporter, '_LOCAL_SECONDS', 0.0)
    sources = pair_stream.locate(manual_dir, None, [0, 1])
    plan = _plan(tmp_path)
    check, seen = shard.annotations.check, []

    def check_until_run_is_over(*args, **kwargs):
        seen.append(1)
        if len(seen) == 10:
            runs.start()
        return check(*args, **kwargs)

    monkeypatch.setattr(shard.annotations, 'check', check_until_run_is_over)
    with driver.hold(plan.staging.folder) as runs:
        plan = dataclasses.replace(plan, run=runs.start())
        for source in sources:
            assert shard.build_archive(source, plan) == {'archives_stopped': 1}
        assert len(seen) == 10
        names = {path.name for path in (tmp_path / 'staging').iterdir()}
        assert names <= {'driver.json', 'driver.lock', 'sa_000000.progress.json'}


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
