"""`stream(..., keep=...)`: the data set that is left is that of a build, whatever stopped it."""

import gc
import shutil
import signal
import subprocess
import sys
import threading
import time

import building
import pytest
import samples
import tensorflow_datasets as tfds

import segment_anything_tfds as sa1b
from segment_anything_tfds.source.faults import DataError
from segment_anything_tfds.streaming import passes, planning

IMAGES = 21
IDS = tfds.decode.PartialDecoding({'image': {'image_id'}})


@pytest.fixture(scope='module')
def archives(tmp_path_factory):
    folder = tmp_path_factory.mktemp('archives')
    samples.write_archives(folder, 3, IMAGES)
    return folder


@pytest.fixture(scope='module')
def expected(archives, tmp_path_factory):
    """Digests of the shards that a build makes."""
    built = building.build(archives, tmp_path_factory.mktemp('prepared'))
    return building.digests(built.data_path)


def ids(dataset) -> list[int]:
    return [int(example['image']['image_id']) for example in dataset]


def folder_of(keep, config=''):
    return keep / 'segment_anything' / config / '1.0.0'


def test_the_data_set_is_prepared_after_the_first_pass(archives, expected, tmp_path, capsys):
    manual, keep = tmp_path / 'manual', tmp_path / 'data'
    shutil.copytree(archives, manual)
    dataset = sa1b.stream(manual_dir=manual, keep=keep, seed=3, decoders=IDS)
    first = ids(dataset)
    assert sorted(first) == sorted(n + 1000 * k for k in range(3) for n in range(1, IMAGES + 1))
    assert building.digests(folder_of(keep)) == expected
    assert not list(keep.rglob('incomplete*'))
    assert not capsys.readouterr().out
    assert len(list(building.builder(keep).as_dataset(split='train'))) == 3 * IMAGES
    shutil.rmtree(manual)  # later passes do without
    assert sorted(ids(dataset)) == sorted(first)
    again = sa1b.stream('0-2', data_dir=keep, decoders=IDS)
    assert sorted(ids(again)) == sorted(first)


def test_a_stop_keeps_whole_archives(archives, expected, tmp_path):
    dataset = sa1b.stream(manual_dir=archives, keep=tmp_path, interleave=1, decoders=IDS)
    iterator = iter(dataset)
    for _ in range(IMAGES + 5):
        next(iterator)
    del iterator
    gc.collect()
    staging = tmp_path / 'segment_anything' / 'incomplete.shards_1.0.0'
    _wait_for_writers()
    assert (staging / 'sa_000000.json').exists()
    built = building.build(archives, tmp_path)
    assert building.archives(built, 'reused') >= 1
    assert building.digests(built.data_path) == expected


def _wait_for_writers() -> None:
    deadline = time.monotonic() + 20
    while _writers() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not _writers()


def _writers() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name in ('sa1b-stream', 'sa1b-keep')]


def test_a_host_keeps_its_own_archives_and_a_build_takes_them(archives, expected, tmp_path):
    for host in range(2):
        ids(sa1b.stream(manual_dir=archives, keep=tmp_path, shard=(host, 2), decoders=IDS))
    assert building.digests(folder_of(tmp_path, '0+2')).keys() and folder_of(tmp_path, '1').exists()
    built = building.build(archives, tmp_path)
    assert building.archives(built, 'built') == 0
    assert building.digests(built.data_path) == expected


def test_faults_are_those_of_a_build(archives, tmp_path):
    manual = tmp_path / 'manual'
    manual.mkdir()
    files = samples.members(1, 5)
    files['./sa_2.json'] = b'{'
    samples.write_archive(manual / 'sa_000000.tar', files)
    with pytest.raises(Exception, match='json_invalid'):
        ids(sa1b.stream(manual_dir=manual, keep=tmp_path / 'a', decoders=IDS))
    assert not folder_of(tmp_path / 'a').exists()
    report = tmp_path / 'faults.jsonl'
    options = {'on_error': 'skip', 'faults': report, 'decoders': IDS}
    assert len(ids(sa1b.stream(manual_dir=manual, keep=tmp_path / 'a', **options))) == 4
    built = building.build(manual, tmp_path / 'b', on_error='skip')
    kept = folder_of(tmp_path / 'a')
    assert building.digests(kept) == building.digests(built.data_path)
    assert report.read_text() == (built.data_path / 'faults.jsonl').read_text()
    assert report.read_text() == (kept / 'faults.jsonl').read_text()
    with pytest.raises(DataError, match='json_invalid'):
        building.build(manual, tmp_path / 'c')


def test_one_process_at_a_time_keeps(archives, tmp_path):
    from segment_anything_tfds.prepare.staging import driver

    staging = tmp_path / 'segment_anything' / 'incomplete.shards_1.0.0'
    dataset = sa1b.stream(manual_dir=archives, keep=tmp_path, decoders=IDS)
    running = pytest.raises(Exception, match='Another build of this data set is running')
    with driver.hold(str(staging)), running:
        ids(dataset)


def test_what_another_process_prepared_meanwhile_is_not_kept_again(archives, expected, tmp_path):
    plans = [planning.make(None, manual_dir=archives, keep=tmp_path, interleave=1) for _ in '12']
    first, second = (passes.Pass(plan, list(plan.parts)) for plan in plans)
    begun = [next(first)]
    _wait_for_writers()
    whole = list(second)
    assert building.digests(folder_of(tmp_path)) == expected
    assert begun + list(first) == whole
    _wait_for_writers()
    assert not list(tmp_path.rglob('incomplete*'))


@pytest.mark.slow
def test_kills_in_between_leave_the_same_data_set(archives, expected, tmp_path):
    code = """
import sys
import tensorflow_datasets as tfds
import segment_anything_tfds as sa1b
manual, keep = sys.argv[1:]
decoders = tfds.decode.PartialDecoding({'image': {'image_id'}})
for example in sa1b.stream(manual_dir=manual, keep=keep, decoders=decoders, interleave=2):
    print(int(example['image']['image_id']), flush=True)
"""
    for examples in (1, 20, 45, 60, None):
        command = [sys.executable, '-c', code, str(archives), str(tmp_path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            for _ in range(examples or 3 * IMAGES):
                assert process.stdout.readline().strip().isdecimal()
            if examples is not None:
                process.send_signal(signal.SIGKILL)
        assert (process.returncode == 0) == (examples is None)
    assert building.digests(folder_of(tmp_path)) == expected
    assert not list(tmp_path.rglob('incomplete*'))
