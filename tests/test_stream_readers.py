"""Streams for PyTorch and Grain: many readers, each archive read by one, places that are saved."""

import collections
import json
import pickle

import building
import numpy as np
import pytest
import samples
import tensorflow_datasets as tfds
from absl import flags as absl_flags

import segment_anything_tfds as sa1b
from segment_anything_tfds.streaming import numpy_examples, passes, planning

IMAGES = 9
EVERYTHING = sorted(n + 1000 * k for k in range(4) for n in range(1, IMAGES + 1))


@pytest.fixture(scope='module')
def archives(tmp_path_factory):
    folder = tmp_path_factory.mktemp('archives')
    samples.write_archives(folder, 4, IMAGES)
    return folder


@pytest.fixture
def options(archives, tmp_path):
    return {'manual_dir': archives, 'data_dir': tmp_path / 'nothing'}


def image_id(example) -> int:
    return int(example['image']['image_id'])


def test_values_are_those_of_a_data_source(archives, options, tmp_path):
    built = building.build(archives, tmp_path / 'data', '1', file_format='array_record')
    images = {'image': {'content': tfds.decode.SkipDecoding()}}
    expected = list(built.as_data_source('train', decoders=images))
    plan = planning.make('1', **options)
    found = [numpy_examples.parse(record) for record in passes.Pass(plan, [1])]
    assert len(found) == len(expected) == IMAGES
    for one, other in zip(found, expected, strict=True):
        assert one['image'].keys() == other['image'].keys()
        for name, value in one['image'].items():
            assert value == other['image'][name] and type(value) is type(other['image'][name])
        segmentation = one['annotations'].pop('segmentation')
        for name, value in segmentation.items():
            np.testing.assert_array_equal(value, other['annotations']['segmentation'][name])
        for name, value in one['annotations'].items():
            np.testing.assert_array_equal(value, np.asarray(other['annotations'][name]))


def test_a_pass_goes_on_from_any_place(options):
    plan = planning.make(None, seed=7, interleave=3, shuffle_buffer=8, **options)
    numbers = list(plan.parts)
    whole = list(passes.Pass(plan, numbers, 1))
    assert sorted(image_id(numpy_examples.parse(record)) for record in whole) == EVERYTHING
    assert whole != list(passes.Pass(plan, numbers, 2))
    for place in (0, 1, 13, 27, 30, len(whole)):
        begun = passes.Pass(plan, numbers, 1)
        assert [next(begun) for _ in range(place)] == whole[:place]
        state = begun.state()
        begun.close()
        rest = passes.Pass(plan, numbers, 1)
        rest.restore(state)
        assert rest.state() == state
        assert list(rest) == whole[place:]


@pytest.mark.parametrize('workers', [0, 1, 2, 3])
def test_workers_of_pytorch_share_the_archives(options, workers):
    torch_data = pytest.importorskip('torch.utils.data')
    dataset = sa1b.TorchStream(seed=0, transform=image_id, **options)
    loader = torch_data.DataLoader(dataset, batch_size=None, num_workers=workers)
    first = [int(number) for number in loader]
    assert sorted(first) == EVERYTHING
    dataset.set_epoch(1)
    second = [int(number) for number in loader]
    assert sorted(second) == EVERYTHING and second != first
    dataset.set_epoch(0)
    assert [int(number) for number in loader] == first


def test_a_place_of_pytorch_is_saved(options):
    pytest.importorskip('torch')
    dataset = sa1b.TorchStream(seed=0, transform=image_id, **options)
    whole = list(dataset)
    dataset.set_epoch(0)
    iterator = iter(dataset)
    begun = [next(iterator) for _ in range(10)]
    state = json.loads(json.dumps(dataset.state_dict()))
    restored = pickle.loads(pickle.dumps(sa1b.TorchStream(seed=0, transform=image_id, **options)))
    restored.load_state_dict(state)
    assert begun + list(restored) == whole
    with pytest.raises(ValueError, match=r'expected options of a stream for PyTorch; got keep'):
        sa1b.TorchStream(keep='somewhere', **options)


def test_workers_of_grain_share_the_archives(options):
    pytest.importorskip('grain')
    counts = collections.Counter()
    for worker in range(3):
        dataset = sa1b.GrainStream(seed=0, **options)
        dataset.set_slice(slice(worker, None, 3))
        counts.update(map(image_id, dataset))
    assert sorted(counts) == EVERYTHING and set(counts.values()) == {1}


def test_a_place_of_grain_is_saved(options):
    pytest.importorskip('grain')
    dataset = sa1b.GrainStream(seed=0, num_passes=2, **options).map(image_id)
    whole = list(dataset)
    assert sorted(whole) == sorted(EVERYTHING * 2)
    assert whole[: len(EVERYTHING)] != whole[len(EVERYTHING) :]
    for place in (0, 17, len(EVERYTHING), 50):
        iterator = iter(dataset)
        assert [next(iterator) for _ in range(place)] == whole[:place]
        restored = iter(dataset)
        restored.set_state(json.loads(json.dumps(iterator.get_state())))
        assert list(restored) == whole[place:]


@pytest.mark.slow
def test_grain_reads_in_processes(options):
    grain = pytest.importorskip('grain')
    absl_flags.FLAGS.mark_as_parsed()  # as `absl.app.run` does: Grain's processes ask for some
    dataset = sa1b.GrainStream(seed=0, **options).map(image_id)
    dataset = dataset.mp_prefetch(grain.MultiprocessingOptions(num_workers=2))
    assert sorted(dataset) == EVERYTHING
