"""Streams of examples: the values and the order of prepared data, from any source and place."""

import collections
import gc
import json
import pathlib
import random
import threading
import time

import building
import fault_server
import numpy as np
import pytest
import samples
import tensorflow as tf
import tensorflow_datasets as tfds

import segment_anything_tfds as sa1b
from segment_anything_tfds.source.archive import locations, pair_stream
from segment_anything_tfds.streaming.parts import raw_bytes

IMAGES = 21  # more than a block of 16, so that archives take turns
UNDECODED = {'image': {'content': tfds.decode.SkipDecoding()}}
IDS = tfds.decode.PartialDecoding({'image': {'image_id'}})


@pytest.fixture(scope='module')
def archives(tmp_path_factory):
    """Three archives: gzip, plain, and extracted."""
    folder = tmp_path_factory.mktemp('archives')
    for number in range(3):
        files = samples.members(1 + number * 1000, IMAGES, masks=2)
        path = folder / f'sa_{number:06d}.tar'
        samples.write_archive(path, files, gzip=number == 0)
    extracted = folder / 'sa_000002'
    extracted.mkdir()
    source = locations.Source(2, 'file', str(path))
    with pair_stream.open_archive(source, on_fault=print) as reader:
        for pair in reader:
            (extracted / pair.image_name).write_bytes(pair.image)
            (extracted / pair.record_name).write_bytes(pair.record)
    path.unlink()
    return folder


@pytest.fixture(scope='module')
def prepared(archives, tmp_path_factory):
    return building.build(archives, tmp_path_factory.mktemp('prepared'))


@pytest.fixture
def nowhere(tmp_path):
    """A folder without prepared data."""
    return tmp_path / 'nothing'


def stream(archives, nowhere, **options):
    return sa1b.stream(manual_dir=archives, data_dir=nowhere, **options)


def ids(dataset) -> list[int]:
    return [int(n) for n in dataset.map(lambda e: e['image']['image_id']).as_numpy_iterator()]


def assert_equal_examples(found, expected):
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        tf.nest.assert_same_structure(one, other)
        for a, b in zip(tf.nest.flatten(one), tf.nest.flatten(other), strict=True):
            assert np.asarray(a).dtype == np.asarray(b).dtype
            np.testing.assert_array_equal(a, b)


def test_examples_are_those_of_prepared_data_in_their_order(archives, nowhere, prepared):
    options = tfds.ReadConfig(try_autocache=False)
    expected = prepared.as_dataset(split='train', read_config=options, shuffle_files=False)
    found = stream(archives, nowhere)
    assert found.element_spec == expected.element_spec
    assert_equal_examples(list(tfds.as_numpy(found)), list(tfds.as_numpy(expected)))


def test_decoders_are_those_of_tfds(archives, nowhere, prepared):
    for decoders in (
        UNDECODED,
        tfds.decode.PartialDecoding({'image': {'file_name', 'content'}}, decoders=UNDECODED),
    ):
        options = tfds.ReadConfig(try_autocache=False)
        expected = prepared.as_dataset('train', decoders=decoders, read_config=options)
        found = stream(archives, nowhere, decoders=decoders)
        assert found.element_spec == expected.element_spec
        assert_equal_examples(list(tfds.as_numpy(found)), list(tfds.as_numpy(expected)))


def test_streams_from_links_with_cuts(archives, nowhere, prepared, tmp_path):
    manual = tmp_path / 'manual'
    manual.mkdir()
    with fault_server.FaultServer() as server:
        lines = []
        for number in range(2):
            body = (archives / f'sa_{number:06d}.tar').read_bytes()
            url = server.serve(f'sa_{number:06d}.tar', body, cuts=[1000, 70_000])
            lines.append(f'sa_{number:06d}.tar\t{url}\n')
        (manual / 'segment_anything_links.txt').write_text(''.join(lines))
        found = list(tfds.as_numpy(stream(manual, nowhere, decoders=UNDECODED)))
    expected = building.read(prepared, 'train[:2shard]')
    by_id = {int(e['image']['image_id']): e for e in expected}
    assert_equal_examples(found, [by_id[int(e['image']['image_id'])] for e in found])
    assert len(found) == 2 * IMAGES


def test_equal_seeds_give_equal_orders_and_each_pass_another(archives, nowhere):
    def passes(seed):
        found = ids(stream(archives, nowhere, decoders=IDS, seed=seed).repeat(2))
        return found[: 3 * IMAGES], found[3 * IMAGES :]

    first, second = passes(5)
    assert passes(5) == (first, second)
    everything = sorted(n + 1000 * k for k in range(3) for n in range(1, IMAGES + 1))
    assert sorted(first) == sorted(second) == everything
    assert len({tuple(first), tuple(second), tuple(passes(6)[0])}) == 3
    archive_order = [number // 1000 for number in first]
    assert archive_order != sorted(archive_order)


@pytest.mark.parametrize('seed', [None, 3])
def test_restored_at_any_place_the_rest_is_equal(archives, nowhere, tmp_path, seed):
    dataset = stream(archives, nowhere, decoders=IDS, seed=seed, interleave=2).repeat(2)
    dataset = dataset.map(lambda example: example['image']['image_id']).batch(2).prefetch(1)
    expected = [batch.numpy().tolist() for batch in dataset]
    assert len(expected) == 3 * IMAGES
    rng = random.Random(0)
    for place in sorted(rng.sample(range(len(expected)), 20)):
        iterator = iter(dataset)
        for _ in range(place):
            next(iterator)
        path = tf.train.Checkpoint(iterator=iterator).write(str(tmp_path / f'at_{place}'))
        restored = iter(dataset)
        tf.train.Checkpoint(iterator=restored).read(path).assert_consumed()
        assert [batch.numpy().tolist() for batch in restored] == expected[place:], place


def test_a_position_in_other_archives_is_refused(archives, nowhere, tmp_path):
    iterator = iter(stream(archives, nowhere))
    next(iterator)
    path = tf.train.Checkpoint(iterator=iterator).write(str(tmp_path / 'place'))
    other = iter(sa1b.stream('1', manual_dir=archives, data_dir=nowhere))
    with pytest.raises(tf.errors.OpError, match=r'saved position in the archives 1; got one in 0'):
        tf.train.Checkpoint(iterator=other).read(path)
        list(other)


def test_restored_in_another_process(archives, nowhere, tmp_path):
    iterator = iter(stream(archives, nowhere, seed=1, shuffle_buffer=8))
    for _ in range(30):
        next(iterator)
    tf.train.Checkpoint(iterator=iterator).write(str(tmp_path / 'place'))
    code = """
import sys
import tensorflow as tf
import segment_anything_tfds as sa1b
archives, nowhere, path = sys.argv[1:]
iterator = iter(sa1b.stream(manual_dir=archives, data_dir=nowhere, seed=1, shuffle_buffer=8))
tf.train.Checkpoint(iterator=iterator).read(path)
print([int(example['image']['image_id']) for example in iterator])
"""
    done = building.run_python(code, archives, nowhere, tmp_path / 'place')
    expected = [int(example['image']['image_id']) for example in iterator]
    assert json.loads(done.stdout) == expected and len(expected) == 3 * IMAGES - 30


@pytest.mark.parametrize('hosts', [1, 2, 3])
def test_hosts_share_the_archives(archives, nowhere, hosts):
    found = [
        ids(stream(archives, nowhere, decoders=IDS, seed=0, shard=(host, hosts)))
        for host in range(hosts)
    ]
    counts = collections.Counter(number for host in found for number in host)
    assert len(counts) == 3 * IMAGES and set(counts.values()) == {1}
    of_archives = [{number // 1000 for number in host} for host in found]
    assert sum(map(len, of_archives)) == 3


def test_the_service_deals_out_archives(archives, nowhere):
    service = tf.data.experimental.service
    dispatcher = service.DispatchServer()
    workers = [
        service.WorkerServer(
            service.WorkerConfig(dispatcher_address=dispatcher.target.split('://')[1])
        )
        for _ in range(2)
    ]
    dataset = stream(archives, nowhere, decoders=IDS, seed=0, interleave=1)
    dataset = dataset.map(lambda example: example['image']['image_id'])
    dataset = dataset.apply(
        service.distribute(
            processing_mode=service.ShardingPolicy.DYNAMIC, service=dispatcher.target
        )
    )
    counts = collections.Counter(int(number) for number in dataset)
    assert len(workers) == 2
    assert len(counts) == 3 * IMAGES and set(counts.values()) == {1}


def _threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith('sa1b-')]


@pytest.mark.parametrize('count', [20, pytest.param(200, marks=pytest.mark.slow)])
def test_iterators_leave_nothing_behind(archives, nowhere, count):
    dataset = stream(archives, nowhere, decoders=IDS, seed=0, shuffle_buffer=4)
    next(iter(dataset))
    before = set(_open_files())
    for _ in range(count):
        next(iter(dataset))
    gc.collect()
    assert_nothing_left(before)


def test_an_iterator_that_waits_can_be_dropped(archives, nowhere, tmp_path, monkeypatch):
    monkeypatch.setattr(raw_bytes, 'PIECE', 1000)  # so that what is there is given
    body = (archives / 'sa_000001.tar').read_bytes()
    with fault_server.FaultServer() as server:
        url = server.serve('sa_000001.tar', body, stalls=1000)
        (tmp_path / 'segment_anything_links.txt').write_text(f'sa_000001.tar\t{url}\n')
        iterator = iter(stream(tmp_path, nowhere, decoders=IDS))
        next(iterator)
        del iterator
        gc.collect()
        assert_nothing_left(set())


def assert_nothing_left(before: set[str]) -> None:
    """Threads and files of streams are gone, or go soon."""
    deadline = time.monotonic() + 20
    while (set(_threads()) - {'sa1b-ctrl-c'} or set(_open_files()) - before) and (
        time.monotonic() < deadline
    ):
        time.sleep(0.05)
    assert set(_threads()) <= {'sa1b-ctrl-c'}
    assert set(_open_files()) <= before


def test_a_link_that_expires_is_renewed(archives, nowhere, tmp_path):
    body = (archives / 'sa_000001.tar').read_bytes()
    links = tmp_path / 'segment_anything_links.txt'
    with fault_server.FaultServer() as server:
        refused = fault_server.Served(body, statuses=[(403, {}, fault_server.PAGE)] * 1000)
        url = server.serve('sa_000001.tar', body, cuts=[len(body) // 2], after=1, changed=refused)
        links.write_text(f'sa_000001.tar\t{url}\n')
        iterator = iter(stream(tmp_path, nowhere, decoders=IDS, link_wait=60))
        found = [next(iterator)]
        while len(refused.statuses) == 1000:  # until the old link was refused
            time.sleep(0.02)
        links.write_text(f'sa_000001.tar\t{server.serve("renewed.tar", body)}\n')
        found += list(iterator)
    numbers = [int(example['image']['image_id']) for example in found]
    assert sorted(numbers) == list(range(1001, 1001 + IMAGES))
    assert server.sent('renewed.tar') < len(body)


def test_a_link_that_stays_refused_ends_the_stream(archives, nowhere, tmp_path):
    body = (archives / 'sa_000001.tar').read_bytes()
    with fault_server.FaultServer() as server:
        refused = fault_server.Served(body, statuses=[(403, {}, fault_server.PAGE)] * 1000)
        url = server.serve('sa_000001.tar', body, cuts=[len(body) // 2], after=1, changed=refused)
        (tmp_path / 'segment_anything_links.txt').write_text(f'sa_000001.tar\t{url}\n')
        with pytest.raises(tf.errors.OpError, match='examples of sa_000001 were read before') as e:
            list(stream(tmp_path, nowhere, decoders=IDS, link_wait=0.1))
    assert fault_server.SECRET not in str(e.value)


def test_ctrl_c_ends_a_stream_that_waits(archives, nowhere, tmp_path):
    code = """
import os, signal, sys, threading
import segment_anything_tfds as sa1b
signal.signal(signal.SIGINT, signal.default_int_handler)  # it may be ignored in the background
iterator = iter(sa1b.stream(manual_dir=sys.argv[1], data_dir=sys.argv[2]))
threading.Timer(2, os.kill, (os.getpid(), signal.SIGINT)).start()
list(iterator)
"""
    body = (archives / 'sa_000001.tar').read_bytes()
    with fault_server.FaultServer() as server:
        url = server.serve('sa_000001.tar', body, stalls=1000)
        (tmp_path / 'segment_anything_links.txt').write_text(f'sa_000001.tar\t{url}\n')
        done = building.run_python(code, tmp_path, nowhere, check=False)
    assert done.returncode and 'KeyboardInterrupt' in done.stderr  # TensorFlow may wrap it


def test_prepared_parts_come_from_their_shards(archives, prepared, tmp_path):
    data_dir, manual = tmp_path / 'prepared', tmp_path / 'manual'
    building.build(archives, data_dir, '1', file_format='array_record')
    building.build(archives, data_dir, '2', shards_per_archive=2)
    manual.mkdir()
    (manual / 'sa_000000.tar').symlink_to(archives / 'sa_000000.tar')
    found = sa1b.stream('0-2', manual_dir=manual, data_dir=data_dir, decoders=UNDECODED)
    expected = stream(archives, tmp_path / 'nothing', decoders=UNDECODED)
    assert_equal_examples(list(tfds.as_numpy(found)), list(tfds.as_numpy(expected)))
    with pytest.raises(ValueError, match='none of 0'):
        sa1b.stream('0-2', data_dir=data_dir)


@pytest.mark.parametrize('number', [0, 1])
def test_an_archive_that_is_cut_is_told_as_such(archives, nowhere, tmp_path, number):
    """Not as one that lacks the records whose images were read."""
    whole = (archives / f'sa_{number:06d}.tar').read_bytes()
    for length in (len(whole) // 2, len(whole) // 2 // 512 * 512):
        (tmp_path / 'sa_000000.tar').write_bytes(whole[:length])
        with pytest.raises(tf.errors.InvalidArgumentError, match=r'\[archive_truncated\]'):
            ids(stream(tmp_path, nowhere, decoders=IDS))


@pytest.mark.parametrize('file_format', ['tfrecord', 'array_record'])
def test_shards_that_go_or_are_damaged_are_told(archives, tmp_path, file_format):
    built = building.build(archives, tmp_path, '0', file_format=file_format)
    dataset = sa1b.stream('0', manual_dir=archives, data_dir=tmp_path, decoders=IDS)
    (shard,) = built.data_path.glob('*-train.*')
    whole = shard.read_bytes()
    flipped = bytearray(whole)
    flipped[5_000] ^= 1
    cuts = [whole[: len(whole) // 2]]
    if file_format == 'tfrecord':  # also after the first of its records
        cuts.append(whole[: 16 + int.from_bytes(whole[:8], 'little')])
    for damaged in (flipped, *cuts):
        shard.write_bytes(damaged)
        told = r'expected the shard .* damaged.* examples of sa_000000 were read before'
        with pytest.raises(tf.errors.OpError, match=told):
            ids(dataset)
    shard.unlink()
    told = r'expected the shard .* got no file.* 0 examples of sa_000000 were read before'
    with pytest.raises(tf.errors.OpError, match=told):
        ids(dataset)


def test_a_place_holds_also_once_its_archive_is_prepared(archives, nowhere, tmp_path):
    def rest(data_dir):
        iterator = iter(stream(archives, data_dir, decoders=IDS, seed=4, shuffle_buffer=8))
        checkpoint = tf.train.Checkpoint(iterator=iterator)
        if data_dir == nowhere:
            for _ in range(20):
                next(iterator)
            checkpoint.write(str(tmp_path / 'place'))
        else:
            checkpoint.read(str(tmp_path / 'place'))
        return [int(example['image']['image_id']) for example in iterator]

    expected = rest(nowhere)
    building.build(archives, tmp_path / 'prepared', '0+2')
    assert rest(tmp_path / 'prepared') == expected


def _open_files() -> list[str]:
    found = []
    for entry in pathlib.Path('/proc/self/fd').iterdir():
        try:
            target = str(entry.readlink())
        except OSError:
            continue
        if 'sa_00' in target:
            found.append(target)
    return found
