"""Recipes on the dummy data: shapes, filters, prompts, determinism."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from segment_anything_tfds import training
from segment_anything_tfds.ops import rle

SMALL = {'image_size': 128, 'mask_size': 64, 'num_masks': 6}


@pytest.fixture(scope='module')
def dataset(prepared_dummy):
    """The dummy data, prepared for real; JPEGs as bytes."""
    examples = prepared_dummy.as_dataset(split='train', decoders=training.Recipe().decoders).cache()
    assert len(list(examples)) == 15  # a cache that is filled cannot be cut short by a short pass
    return examples


def _all_on(name='sam', **changes):
    fields = {
        'num_points': (1, 3),
        'num_background_points': (0, 2),
        'stored_point_probability': 0.3,
        'mask_input_probability': 0.5,
        'flip_probability': 0.5,
        'point_probability': 0.4,
        'box_probability': 0.4,
    }
    return training.recipes.get(name, **{**SMALL, **fields, **changes})


def _equal(a, b):
    tf.nest.map_structure(np.testing.assert_array_equal, a, b)


def _differ(a, b):
    pairs = zip(tf.nest.flatten(a), tf.nest.flatten(b), strict=True)
    return any((np.asarray(x) != np.asarray(y)).any() for x, y in pairs)


def test_static_shapes_and_dtypes(dataset):
    recipe = _all_on()
    inputs, masks, valid = recipe.batches(dataset, 4, seed=1, drop_remainder=True).element_spec
    expected = {
        'image': ((4, 128, 128, 3), tf.uint8),
        'point_coords': ((4, 6, 5, 2), tf.float32),
        'point_labels': ((4, 6, 5), tf.int32),
        'boxes_xyxy': ((4, 6, 4), tf.float32),
        'has_box': ((4, 6), tf.float32),
        'mask_input': ((4, 6, 32, 32), tf.float32),
        'has_mask_input': ((4, 6), tf.float32),
        'area': ((4, 6), tf.int32),
        'image_id': ((4,), tf.int64),
        'content_size': ((4, 2), tf.int32),
    }
    assert {key: (tuple(spec.shape), spec.dtype) for key, spec in inputs.items()} == expected
    assert (tuple(masks.shape), masks.dtype) == ((4, 6, 64, 64), tf.uint8)
    assert (tuple(valid.shape), valid.dtype) == ((4, 6), tf.float32)


@pytest.fixture(scope='module')
def jitter(dataset):
    """A recipe with all that recipes can do, and its graph, which takes long to trace."""
    recipe = dataclasses.replace(_all_on('sam_jitter'), nms_threshold=0.7)
    signature = dataset.element_spec, tf.TensorSpec([2], tf.int64)
    return recipe, tf.function(recipe, input_signature=signature, autograph=False)


def test_nothing_in_python_at_run_time(jitter):
    graph = jitter[1].get_concrete_function().graph.as_graph_def()
    kinds = {node.op for node in graph.node}
    kinds |= {node.op for function in graph.library.function for node in function.node_def}
    assert not kinds & {'PyFunc', 'EagerPyFunc', 'PyFuncStateless'}


def test_same_in_every_way_of_running(dataset, jitter):
    recipe, graph = jitter
    seed = tf.constant([7, 9], tf.int64)
    example = next(iter(dataset))
    _equal(recipe(example, seed), graph(example, seed))
    first = list(recipe.batches(dataset, 5, seed=3))
    other = graph(example, tf.constant([4, 4], tf.int64))
    assert _differ(tf.nest.map_structure(lambda x: x[0], first[0]), other)
    seeds = tf.data.Dataset.random(3, rerandomize_each_iteration=True)
    seeds = seeds.batch(2, drop_remainder=True)
    rows = [
        tf.nest.map_structure(lambda x, row=row: x[row], batch)
        for batch in first
        for row in range(len(batch[2]))
    ]
    pairs = zip(dataset, seeds, strict=False)  # there are always more seeds
    for left, pair in zip(rows, pairs, strict=True):
        _equal(left, graph(*pair))


def test_each_pass_draws_anew(dataset):
    recipe = training.recipes.get('sam', **SMALL)
    batches = recipe.batches(dataset.take(2), 2, seed=3)
    assert _differ(next(iter(batches)), next(iter(batches)))


def test_an_image_without_masks_is_invalid_throughout(dataset):
    recipe = _all_on()
    empty = [e for e in dataset if not len(e['annotations']['area'])]
    assert empty
    inputs, masks, valid = recipe(empty[0], tf.constant([0, 0]))
    assert not valid.numpy().any() and not masks.numpy().any()
    assert (inputs['point_labels'].numpy() == -1).all() and not inputs['has_box'].numpy().any()


@pytest.mark.parametrize('name', ['sam', 'sam_jitter', 'sam2_image', 'edge_sam'])
def test_prompts_fit_their_masks(dataset, name):
    recipe = _all_on(name, mask_size=128, num_masks=20, box_jitter=0.0, mask_input_probability=0.0)
    hits, kinds = [], set()
    for number, example in enumerate(dataset.take(8)):
        inputs, masks, valid = recipe(example, tf.constant([5, number]))
        inputs = {key: np.asarray(value) for key, value in inputs.items()}
        masks, valid = masks.numpy(), valid.numpy()
        for k in np.flatnonzero(valid):
            used = inputs['point_labels'][k] >= 0
            kinds.add((bool(used.any()), bool(inputs['has_box'][k])))
            at = np.clip(np.round(inputs['point_coords'][k][used]).astype(int), 0, 127)
            if masks[k].sum() > 60:
                for (x, y), label in zip(at, inputs['point_labels'][k][used], strict=True):
                    around = masks[k][max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2]
                    hits.append(label in around)
            if inputs['has_box'][k]:
                x0, y0, x1, y1 = inputs['boxes_xyxy'][k]
                rows, columns = np.nonzero(masks[k])
                assert x0 - 1 <= columns.min() and columns.max() <= x1 + 1
                assert y0 - 1 <= rows.min() and rows.max() <= y1 + 1
    assert kinds == {(True, False), (False, True), (True, True)}
    assert len(hits) > 50 and np.mean(hits) > 0.97, 'the rest is thinner than a pixel here'


def test_masks_are_those_of_the_dataset(dataset):
    recipe = training.recipes.get('sam2_image', **SMALL, max_area_fraction=1.0, flip_probability=0)
    for example in dataset.take(4):
        annotations = example['annotations']
        size = [example['image']['height'], example['image']['width']]
        drawn = rle.decode_resized(
            annotations['segmentation']['counts'], tf.cast(size, tf.int32), [64, 64]
        ).numpy()
        inputs, masks, valid = recipe(example, tf.constant([1, 2]))
        for mask, area in zip(masks.numpy(), inputs['area'].numpy(), strict=True):
            same = annotations['area'].numpy() == area
            assert not mask.any() or (drawn[same] == mask).all((1, 2)).any()
        assert (valid.numpy() == masks.numpy().any((1, 2))).all()


@pytest.mark.parametrize(
    'change, keeps',
    [
        ({'min_area': 3000}, lambda a, f: a >= 3000),
        ({'max_area': 3000}, lambda a, f: a <= 3000),
        ({'max_area_fraction': 0.05}, lambda a, f: f <= 0.05),
        ({'min_area_fraction': 0.05}, lambda a, f: f >= 0.05),
        ({'min_predicted_iou': 0.95}, None),
        ({'min_stability_score': 0.97}, None),
    ],
)
def test_filters(dataset, change, keeps):
    recipe = training.recipes.get('sam', **{**SMALL, 'num_masks': 64, 'max_area_fraction': 1.0})
    filtered = dataclasses.replace(recipe, **change)
    total = 0
    for example in dataset.take(5):
        pixels = int(example['image']['height'] * example['image']['width'])
        areas = example['annotations']['area'].numpy().astype(int)
        if keeps is None:
            (name, least), *_ = change.items()
            expected = areas[example['annotations'][name[4:]].numpy() >= least]
        else:
            expected = areas[keeps(areas, areas / pixels)]
        inputs, _, _ = filtered(example, tf.constant([1, 2]))
        got = inputs['area'].numpy()
        assert sorted(got[got > 0]) == sorted(expected)
        total += len(expected)
    assert total


def test_masks_without_scores_pass_all_limits_and_come_first(dataset):
    """-1 says that people have made a mask: it is taken, and wins over a copy with a score."""
    (example,) = dataset.take(1)
    annotations = dict(example['annotations'])
    count = len(annotations['area'])
    twice = tf.range(2 * count) % count
    annotations = tf.nest.map_structure(lambda column: tf.gather(column, twice), annotations)
    by_people = tf.range(2 * count) >= count
    for name in ('predicted_iou', 'stability_score'):
        scores = annotations[name]
        annotations[name] = tf.where(by_people, -tf.ones_like(scores), 0.9 * tf.ones_like(scores))
    annotations['area'] = tf.cast(tf.where(by_people, 3, 2), annotations['area'].dtype)
    changes = {'num_masks': 2 * count, 'max_area_fraction': 1.0}

    def taken(**more):
        recipe = training.recipes.get('sam', **{**SMALL, **changes, **more})
        inputs, _, _ = recipe({**example, 'annotations': annotations}, tf.constant([1, 2]))
        areas = inputs['area'].numpy()
        return np.sum(areas == 3), np.sum(areas == 2)

    assert taken() == (count, count)
    assert taken(min_predicted_iou=0.95) == (count, 0)
    assert taken(min_stability_score=0.95) == (count, 0)
    people, machine = taken(nms_threshold=0.7)
    assert people > 0 and machine == 0


def test_suppression_leaves_no_overlap(dataset):
    recipe = training.recipes.get('sam2_image', **{**SMALL, 'num_masks': 64}, nms_threshold=0.3)
    plain = dataclasses.replace(recipe, nms_threshold=None)
    dropped = 0
    for example in dataset.take(5):
        _, masks, valid = recipe(example, tf.constant([1, 2]))
        dropped += float(tf.reduce_sum(plain(example, tf.constant([1, 2]))[2] - valid))
        flat = masks.numpy()[valid.numpy() > 0].reshape(int(valid.numpy().sum()), -1).astype(int)
        common = flat @ flat.T
        union = flat.sum(1)[:, None] + flat.sum(1) - common
        large = np.minimum.outer(flat.sum(1), flat.sum(1)) > 40
        assert ((common / np.maximum(union, 1) - np.eye(len(flat)))[large] < 0.4).all()
    assert dropped > 0


def test_decoded_images_are_taken_too(dataset):
    recipe = training.recipes.get('sam', **SMALL)
    example = next(iter(dataset))
    image = {**example['image'], 'content': tf.io.decode_jpeg(example['image']['content'])}
    got = recipe({**example, 'image': image}, tf.constant([1, 2]))
    expected = recipe(example, tf.constant([1, 2]))
    _equal(got[1:], expected[1:])
    difference = np.abs(got[0]['image'].numpy() / 1.0 - expected[0]['image'].numpy())
    assert difference.mean() < 6


@pytest.mark.parametrize(
    'change, match',
    [
        ({'image_size': 0}, r'expected `image_size` an int >= 1; got 0'),
        ({'resize': 'short'}, r"expected `resize` 'longest' or 'square'; got 'short'"),
        ({'weights': 'age'}, r"expected `weights` one of .*got 'age'"),
        ({'scale_range': (2, 1)}, r'expected `scale_range` .*got \(2, 1\)'),
        ({'scale_range': (1, 2), 'resize': 'square'}, r"expected `resize` 'longest' with"),
        ({'flip_probability': 2}, r'expected `flip_probability` from 0 to 1; got 2'),
        ({'point_probability': 0.8}, r'expected `box_probability` \+ `point_prob.*got 0.5'),
        ({'box_jitter': -1}, r'expected `box_jitter` >= 0; got -1'),
        ({'num_points': (0, 0)}, r'expected `num_points` .*got \(0, 0\)'),
        ({'corrections': -1}, r'expected `corrections` an int >= 0; got -1'),
        ({'refine': 1}, r'expected `refine` True or False; got 1'),
        ({'min_area': 9, 'max_area': 8}, r'`max_area` None, or not below `min_area`, 9; got 8'),
        ({'min_area_fraction': 0.5, 'max_area_fraction': 0.4}, r'not below .*, 0.5; got 0.4'),
        ({'nms_threshold': 7}, r'expected `nms_threshold` from 0 to 1, or None; got 7'),
        (
            {'image_size': 63, 'mask_input_probability': 0.5},
            r'`image_size` a multiple of 32',
        ),
        ({'box_jitter_distribution': 'x'}, r"`box_jitter_distribution` 'normal' or.*got 'x'"),
    ],
)
def test_wrong_fields_are_refused(change, match):
    with pytest.raises(ValueError, match=match):
        training.Recipe(**change)


def test_fields_may_be_scalars_of_numpy():
    fields = {
        'image_size': np.int64(64),
        'scale_range': np.array([0.5, 2.0]),
        'flip_probability': np.float32(0.5),
        'num_points': [np.int32(1), np.int64(3)],
        'max_area': np.uint8(9),
        'refine': np.True_,
    }
    recipe = training.Recipe(**fields)
    expected = training.Recipe(
        image_size=64,
        scale_range=(0.5, 2.0),
        flip_probability=0.5,
        num_points=(1, 3),
        max_area=9,
        refine=True,
    )
    assert repr(recipe) == repr(expected) and hash(recipe) == hash(expected)


def test_rounds_of_the_published_recipes():
    """SAM: 8 clicks, and 2 rounds without; SAM 2: 7 and none; EdgeSAM: 2 decodings in all."""
    rounds = {n: training.recipes.get(n) for n in training.recipes.NAMES}
    rounds = {name: (recipe.corrections, recipe.refine) for name, recipe in rounds.items()}
    assert rounds['sam'] == rounds['sam_jitter'] == (8, True)
    assert rounds['sam2_image'] == (7, False) and rounds['edge_sam'] == (1, False)
    assert rounds['efficientvit_sam'] == (0, False)


def test_unknown_recipe_is_refused():
    with pytest.raises(ValueError, match=r"recipes.get: expected `name` .*got 'sam3'"):
        training.recipes.get('sam3')
