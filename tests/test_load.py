"""`sa1b.load`: batches that fit takes, archives held out by name, images alone, streams."""

import warnings

import keras
import numpy as np
import pytest
import samples
import small_models
import tensorflow as tf
import tensorflow_datasets as tfds

import segment_anything_tfds as sa1b
from segment_anything_tfds import training

SIDE, GRID = 32, 8


@pytest.fixture(scope='module')
def places(tmp_path_factory):
    """Archives 0 to 3 with 4 images each, and a folder for what is prepared."""
    folder = tmp_path_factory.mktemp('load')
    samples.write_archives(folder / 'archives', 4)
    return {'manual_dir': folder / 'archives', 'data_dir': folder / 'data'}


@pytest.fixture(scope='module')
def prepared(places):
    sa1b.load('0-3', **places)
    return {'data_dir': places['data_dir']}


@pytest.fixture(scope='module')
def recipe():
    return training.recipes.get('sam', image_size=SIDE, mask_size=GRID, num_masks=2)


def _ids(examples):
    return [int(example['image']['image_id']) for example in examples]


def _archives(examples):
    return {number // 1000 for number in _ids(examples)}


def test_examples_are_those_of_tfds(places, prepared):
    found = list(tfds.as_numpy(sa1b.load('0-3', **prepared)))
    builder = tfds.builder('segment_anything/0-3', data_dir=str(places['data_dir']))
    expected = list(tfds.as_numpy(builder.as_dataset(split='train')))
    tf.nest.map_structure(np.testing.assert_array_equal, found, expected)
    assert len(found) == 16


def test_a_part_of_what_is_prepared_needs_no_archives(prepared):
    assert _archives(sa1b.load([1, 2], **prepared)) == {1, 2}


def test_whole_archives_are_held_out(prepared):
    options = {**prepared, 'hold_out': ['sa_000001', 'sa_000003.tar']}
    assert _archives(sa1b.load('0-3', **options)) == {0, 2}
    assert _archives(sa1b.load('0-3', split='validation', **options)) == {1, 3}
    assert _archives(sa1b.load('0-3', split='all', **options)) == {0, 1, 2, 3}
    assert _archives(sa1b.load('0-3', split='train[1shard:]', **options)) == {2}
    assert len(_ids(sa1b.load('0-3', split='train[:50%]', **prepared))) == 8


def test_a_stream_holds_out_the_same(places):
    options = {'manual_dir': places['manual_dir'], 'hold_out': [1, 3]}
    assert _archives(sa1b.load('0-3', stream=True, **options)) == {0, 2}
    assert _archives(sa1b.load('0-3', stream=True, split='validation', **options)) == {1, 3}
    for names in (['sa_000001', 'sa_000003.tar'], 'sa_000001.tar+sa_000003.tar'):
        options['hold_out'] = names
        assert _archives(sa1b.stream('0-3', split='validation', **options)) == {1, 3}


def test_passes_differ_and_runs_do_not(prepared, recipe):
    options = {**prepared, 'recipe': recipe, 'seed': 3}
    batches = sa1b.load('0-3', **options)
    first, second = ([x['image_id'].numpy() for x, _, _ in batches] for _ in range(2))
    again = [
        x['image_id'].numpy() for x, _, _ in sa1b.load('0-3', recipe=recipe, seed=3, **prepared)
    ]
    np.testing.assert_array_equal(first, again)
    assert sorted(np.concatenate(first)) == sorted(np.concatenate(second))
    assert (np.concatenate(first) != np.concatenate(second)).any()


def test_a_run_goes_on_with_the_order_it_would_have_had(prepared):
    options = {**prepared, 'shuffle': True, 'seed': 2}
    whole = sa1b.load('0-3', **options)
    _, second = _ids(whole), _ids(whole)
    iter(whole)  # nothing is read from it, so it is no pass
    third = _ids(whole)
    assert _ids(sa1b.load('0-3', initial_epoch=1, **options)) == second != third
    assert _ids(sa1b.load('0-3', initial_epoch=2, **options)) == third
    assert whole.cardinality() == 16


def test_fit_has_nothing_to_warn_of(prepared, recipe):
    pytest.importorskip('keras_hub')
    model = training.PromptableSegmenter(small_models.as_new(SIDE))
    model.compile(keras.optimizers.AdamW(1e-3), loss=recipe.loss, run_eagerly=True)
    options = {**prepared, 'recipe': recipe, 'hold_out': '2-3', 'batch_size': 8}
    train, validation = (
        sa1b.load('0-3', split=split, **options) for split in ('train', 'validation')
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        history = model.fit(train, validation_data=validation, verbose=0).history
    assert not [str(warning.message) for warning in caught]
    assert np.isfinite(history['val_loss'][0])
    (ids,) = [inputs['image_id'].numpy().tolist() for inputs, _, _ in validation]
    assert ids == _ids(sa1b.load('0-3', split='validation', hold_out='2-3', **prepared))


def test_images_alone(prepared, recipe):
    for example in sa1b.load('0-3', images_only=True, **prepared).take(2):
        assert set(example) == {'image'}
        assert example['image']['content'].shape == (samples.HEIGHT, samples.WIDTH, 3)
    options = {**prepared, 'recipe': recipe, 'shuffle': False}
    batches = list(sa1b.load('0-3', images_only=True, **options))
    whole = list(sa1b.load('0-3', **options))
    assert len(batches) == len(whole) == 4
    for alone, (inputs, _, _) in zip(batches, whole, strict=True):
        assert set(alone) == {'image', 'content_size', 'image_id'}
        for name, value in alone.items():
            np.testing.assert_array_equal(value, inputs[name])


def test_images_alone_are_jittered(prepared):
    recipe = training.recipes.get('sam_jitter', image_size=SIDE, mask_size=GRID)
    batches = sa1b.load('0-3', recipe=recipe, images_only=True, shuffle=False, **prepared)
    first, second = ([x['image'].numpy() for x in batches] for _ in range(2))
    assert (np.concatenate(first) != np.concatenate(second)).any()


def test_what_is_wrong_is_said(places, prepared, recipe, tmp_path):
    with pytest.raises(ValueError, match=r'`sa1b\.load`: expected `hold_out` among .* 0-3; got 7'):
        sa1b.load('0-3', hold_out='7', **prepared)
    with pytest.raises(ValueError, match=r'`sa1b\.load`: expected `split` to be one of'):
        sa1b.load('0-3', hold_out='1', split='test', **prepared)
    with pytest.raises(ValueError, match=r"expected `recipe` to be a training.Recipe; got 'sam'"):
        sa1b.load('0-3', recipe='sam', **prepared)
    with pytest.raises(ValueError, match=r'expected `decoders` without a `recipe`'):
        sa1b.load('0-3', recipe=recipe, decoders=recipe.decoders, **prepared)
    with pytest.raises(ValueError, match=r'expected .*`manual_dir`'):
        sa1b.load('7', manual_dir=tmp_path, data_dir=tmp_path / 'data')
