"""Several targets of a click: which masks a recipe gives, and which output learns which."""

import dataclasses

import keras
import numpy as np
import pytest
import scipy.optimize
import tensorflow as tf
from pycocotools import mask as coco_mask

from segment_anything_tfds import training
from segment_anything_tfds.ops import transforms
from segment_anything_tfds.source.record import coco_rle
from segment_anything_tfds.training import losses

CLICKS = training.recipes.get(
    'sam',
    image_size=128,
    mask_size=64,
    num_masks=20,
    max_area_fraction=1.0,
    point_probability=1.0,
    box_probability=0.0,
    corrections=0,
    refine=False,
)


@pytest.fixture(scope='module')
def examples(prepared_dummy):
    """The first examples of the dummy data with masks; JPEGs as bytes."""
    dataset = prepared_dummy.as_dataset(split='train', decoders=training.Recipe().decoders)
    return [e for e in dataset if len(e['annotations']['area'])][:6]


def _drawn(example):
    """All masks by pycocotools [N, H, W], and as a recipe without jitter draws them [N, 64, 64]."""
    counts = example['annotations']['segmentation']['counts'].numpy()
    size = [int(example['image']['height']), int(example['image']['width'])]
    full = coco_mask.decode([{'size': size, 'counts': text} for text in counts])
    geometry = transforms.fit(size, [128, 128])
    small = transforms.draw_masks(counts, size, geometry, (64, 64)).numpy()
    return np.moveaxis(full, 2, 0), small, 1 / geometry.scale.numpy()[::-1]


def _prompts(recipe, example, number, call=None):
    """The valid prompts: targets [n, T, 64, 64], and the pixels of the image they click on [n]."""
    inputs, masks, valid = (call or recipe)(example, tf.constant([3, number]))
    assert masks.shape[1:] == (4 if recipe.targets == 'levels' else recipe.num_targets, 64, 64)
    used = np.flatnonzero(valid)
    clicks = inputs['point_coords'].numpy()[used, 0]
    return inputs, masks.numpy()[used], clicks, used


def test_all_masks_of_the_click_are_those_of_semantic_sam(examples):
    """As its loop over all masks of the image: those whose pixel is set."""
    recipe = dataclasses.replace(CLICKS, targets='click', num_targets=12)
    several = 0
    for number, example in enumerate(examples):
        full, small, scale = _drawn(example)
        _, masks, clicks, used = _prompts(recipe, example, number)
        x, y = np.round((clicks + 0.5) * scale - 0.5).astype(int).T
        own = dataclasses.replace(recipe, targets='prompted')(example, tf.constant([3, number]))
        np.testing.assert_array_equal(masks[:, 0], own[1].numpy()[used])
        for prompt in range(len(used)):
            wanted = [small[n] for n in range(len(full)) if full[n, y[prompt], x[prompt]]]
            wanted = sorted(mask.tobytes() for mask in wanted if mask.any())
            assert len(wanted) <= 12
            found = sorted(mask.tobytes() for mask in masks[prompt] if mask.any())
            assert found == wanted
            several += len(wanted) > 2
    assert several > 20


def test_levels_are_those_of_the_hierarchy(examples):
    recipe = dataclasses.replace(CLICKS, targets='levels')
    graph = tf.function(recipe, autograph=False)
    filled = np.zeros(4, int)
    for number, example in enumerate(examples):
        full, small, scale = _drawn(example)
        counts = example['annotations']['segmentation']['counts'].numpy()
        levels = coco_rle.hierarchy(counts.tolist(), full.shape[1:]).levels
        area = full.sum((1, 2))
        call = graph if number < 1 else recipe
        inputs, masks, clicks, used = _prompts(recipe, example, number, call)
        x, y = np.round((clicks + 0.5) * scale - 0.5).astype(int).T
        for prompt, targets in enumerate(masks):
            holds = full[:, y[prompt], x[prompt]] == 1
            own = holds & (area == inputs['area'].numpy()[used[prompt]])
            own &= (small == targets[0]).all((1, 2))
            for place, level in enumerate(coco_rle.LEVELS, start=1):
                of_level = np.flatnonzero(holds & (levels == level))
                if not len(of_level):
                    assert not targets[place].any()
                    continue
                preferred = [n for n in of_level if own[n]] or [of_level[area[of_level].argmax()]]
                assert any((small[n] == targets[place]).all() for n in preferred)
                filled[place] += 1
    assert (filled[1:] > 10).all(), filled


def test_other_prompts_ask_for_their_own_mask(examples):
    recipe = dataclasses.replace(
        CLICKS, targets='click', point_probability=0.4, box_probability=0.3, num_points=(1, 2)
    )
    seen = set()
    for number, example in enumerate(examples):
        inputs, masks, _, used = _prompts(recipe, example, number)
        clicks = (inputs['point_labels'].numpy()[used] >= 0).sum(1)
        boxed = inputs['has_box'].numpy()[used] > 0
        for targets, one, box in zip(masks, clicks, boxed, strict=True):
            assert targets[0].any()
            if one != 1 or box:
                assert not targets[1:].any()
            seen.add((int(one), bool(box), bool(targets[1:].any())))
    assert {(1, False, True), (0, True, False), (1, True, False), (2, False, False)} <= seen


@pytest.mark.parametrize('targets', ['click', 'levels'])
def test_jittered_images_and_batches(examples, targets):
    """Masks are cropped with their image: all targets of a click have the click in them."""
    recipe = dataclasses.replace(
        CLICKS, targets=targets, scale_range=(0.5, 2.0), flip_probability=0.5, mask_size=128
    )
    hits = []
    for number, example in enumerate(examples):
        inputs, masks, valid = recipe(example, tf.constant([5, number]))
        at = np.clip(np.round(inputs['point_coords'].numpy()[:, 0]).astype(int), 0, 127)
        for k in np.flatnonzero(valid):
            around = masks.numpy()[k][:, max(at[k, 1] - 1, 0) : at[k, 1] + 2]
            around = around[:, :, max(at[k, 0] - 1, 0) : at[k, 0] + 2]
            hits += around.any((1, 2))[masks.numpy()[k].any((1, 2))].tolist()
    assert len(hits) > 60 and np.mean(hits) > 0.97
    empty = {
        **examples[0],
        'annotations': tf.nest.map_structure(lambda column: column[:0], examples[0]['annotations']),
    }
    assert not recipe(empty, tf.constant([1, 2]))[1].numpy().any()


def _sample(num_targets, seed=0, num_outputs=4):
    rng = np.random.default_rng(seed)
    truth = (rng.random((2, 5, num_targets, 6, 7)) > 0.5).astype(np.float32)
    truth[0, 1, 1:], truth[1, 2, 0] = 0, 0
    candidates = np.ones((2, 5, num_outputs), np.float32)
    candidates[..., 0], candidates[0, 3] = 0, 0
    candidates[0, 3, 0], truth[0, 3, 1:] = 1, 0
    outputs = {
        'masks': rng.normal(0, 2, (2, 5, num_outputs, 6, 7)).astype(np.float32),
        'iou_pred': rng.random((2, 5, num_outputs)).astype(np.float32),
        'candidates': candidates,
    }
    return truth, outputs


def _pair_losses(truth, outputs):
    """20 x focal + dice + the IoU's squared error of each pair: [T, M] mask losses, errors."""
    truth, logits = truth[:, None].astype(np.float64), outputs['masks'][None].astype(np.float64)
    p = 1 / (1 + np.exp(-logits))
    right = np.where(truth == 1, p, 1 - p)
    weight = np.where(truth == 1, 0.25, 0.75)
    focal = (-weight * (1 - right) ** 2 * np.log(right)).mean((-2, -1))
    dice = 1 - (2 * (p * truth).sum((-2, -1)) + 1) / (p.sum((-2, -1)) + truth.sum((-2, -1)) + 1)
    a, b = truth > 0.5, logits > 0
    iou = (a & b).sum((-2, -1)) / np.maximum((a | b).sum((-2, -1)), 1)
    return 20 * focal + dice, (outputs['iou_pred'] - iou) ** 2


@pytest.mark.parametrize('num_targets', [1, 2, 3, 4])
def test_assignments_are_those_of_scipy(num_targets):
    """`linear_sum_assignment`, as Semantic-SAM's matcher has it, over targets that are there."""
    truth, outputs = _sample(num_targets)
    got = losses.SegmentAnythingLoss(targets='click', reduction=None)(truth, outputs)
    for place in np.ndindex(2, 5):
        each = {name: value[place] for name, value in outputs.items()}
        mask_loss, error = _pair_losses(truth[place], each)
        rows = np.flatnonzero(truth[place].any((-2, -1)))
        columns = np.flatnonzero(each['candidates'])
        pairs = scipy.optimize.linear_sum_assignment(mask_loss[np.ix_(rows, columns)])
        row, column = rows[pairs[0]], columns[pairs[1]]
        expected = (mask_loss + error)[row, column].mean() if len(row) else 0
        np.testing.assert_allclose(got[place], expected, rtol=1e-4)


def test_levels_are_learnt_by_their_outputs():
    truth, outputs = _sample(4)
    got = losses.SegmentAnythingLoss(targets='levels', reduction=None)(truth, outputs)
    for place in np.ndindex(2, 5):
        each = {name: value[place] for name, value in outputs.items()}
        total = np.diagonal(sum(_pair_losses(truth[place], each)))
        learns = truth[place].any((-2, -1)) & (each['candidates'] > 0)
        expected = total[learns].mean() if learns.any() else 0
        np.testing.assert_allclose(got[place], expected, rtol=1e-4)


def test_outputs_without_a_target_learn_nothing():
    truth, outputs = _sample(2)
    logits = tf.Variable(outputs['masks'])
    loss = losses.SegmentAnythingLoss(targets='click')
    with tf.GradientTape() as tape:
        total = loss(truth, {**outputs, 'masks': logits})
    learns = np.abs(tape.gradient(total, logits).numpy()).sum((-2, -1)) > 0
    expected = np.minimum(truth.any((-2, -1)).sum(-1), outputs['candidates'].sum(-1))
    np.testing.assert_array_equal(learns.sum(-1), expected)
    assert not learns[outputs['candidates'] == 0].any()


def test_larger_masks_are_assigned_after_enlarging():
    truth, outputs = _sample(3)
    large = np.repeat(np.repeat(truth, 2, -2), 2, -1)
    loss = losses.SegmentAnythingLoss(targets='click', reduction=None)
    wide = keras.ops.image.resize(
        outputs['masks'].reshape(-1, 6, 7, 1), (12, 14), interpolation='bilinear'
    )
    wide = keras.ops.reshape(wide, (2, 5, 4, 12, 14))
    expected = loss(large, {**outputs, 'masks': wide})
    np.testing.assert_allclose(loss(large, outputs), expected, rtol=1e-5)


@pytest.mark.parametrize('choose', ['predicted', 'best'])
def test_metrics_judge_the_prompted_mask(choose):
    truth, outputs = _sample(3)
    several, own = (training.MeanMaskIoU(choose) for _ in range(2))
    several.update_state(truth, outputs)
    own.update_state(truth[:, :, 0], outputs)
    assert 0 < float(own.result()) == float(several.result())


def test_what_does_not_fit_is_refused():
    truth, outputs = _sample(4, num_outputs=3)
    with pytest.raises(ValueError, match=r'at most as many targets as outputs, 3; got 4'):
        losses.SegmentAnythingLoss(targets='click')(truth, outputs)
    with pytest.raises(ValueError, match=r'expected `y_true` of 3 masks, one an output; got 4'):
        losses.SegmentAnythingLoss(targets='levels')(truth, outputs)
    with pytest.raises(ValueError, match=r"`targets` 'prompted' or 'click' or.*got 'all'"):
        losses.SegmentAnythingLoss(targets='all')
    with pytest.raises(ValueError, match=r"expected no `supervise_all_ious` .*got `targets` 'cli"):
        losses.SegmentAnythingLoss(targets='click', supervise_all_ious=True)
    with pytest.raises(ValueError, match=r"`targets` 'prompted' with `corrections`.*got 'click'"):
        training.recipes.get('sam', targets='click')
    with pytest.raises(ValueError, match=r'`num_targets` an int >= 1; got 0'):
        dataclasses.replace(CLICKS, num_targets=0)
    loss = dataclasses.replace(CLICKS, targets='levels').loss
    assert loss.targets == 'levels' and loss.get_config()['targets'] == 'levels'
