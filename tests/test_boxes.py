"""Boxes: every pair of formats, against plain NumPy and pycocotools."""

import doctest
import functools
import itertools
import json
import pathlib

import harness
import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
import tensorflow as tf
from meta_reference import meta  # noqa: F401  (a fixture)
from pycocotools import mask as coco_mask

from segment_anything_tfds.ops import box_nms, boxes

SIZE = np.array([60, 90])
PIXELS = [f for f in boxes.FORMATS if 'rel' not in f]


def reference(xyxy, box_format, size=SIZE):
    """[N, 4] exclusive corners to `box_format`, one number at a time."""
    rows = []
    for x0, y0, x1, y1 in np.asarray(xyxy, np.float64):
        height, width = size
        rows.append(
            {
                'xywh': [x0, y0, x1 - x0, y1 - y0],
                'xyxy': [x0, y0, x1, y1],
                'rel_yxyx': [y0 / height, x0 / width, y1 / height, x1 / width],
                'sa1b': [x0, y0, x1 - x0 - 1, y1 - y0 - 1],
                'sa1b_rel_yxyx': [
                    y0 / height,
                    x0 / width,
                    (y1 - 1) / height,
                    (x1 - 1) / width,
                ],
                'xyxy_inclusive': [x0, y0, x1 - 1, y1 - 1],
            }[box_format]
        )
    return np.reshape(rows, [-1, 4])


def random_xyxy(count, seed=0):
    rng = np.random.default_rng(seed)
    low = rng.integers(0, SIZE[::-1] - 1, [count, 2])
    return np.concatenate([low, rng.integers(low + 1, SIZE[::-1] + 1)], axis=1)


@pytest.mark.parametrize('a,b', itertools.product(boxes.FORMATS, boxes.FORMATS))
@pytest.mark.parametrize('count', [0, 7])
def test_convert_between_all_formats(a, b, count):
    xyxy = random_xyxy(count)
    got = boxes.convert(reference(xyxy, a), a, b, image_size=SIZE)
    assert got.dtype == tf.float64
    np.testing.assert_allclose(got, reference(xyxy, b), atol=1e-9)


def test_convert_sizes_of_their_own_and_unsigned():
    xyxy = np.stack([random_xyxy(3), random_xyxy(3, 1)]).astype(np.float32)
    sizes = np.array([[60, 90], [120, 100]], np.uint64)
    got = boxes.convert(xyxy, 'xyxy', 'rel_yxyx', image_size=sizes[:, np.newaxis])
    assert got.dtype == tf.float32
    for one, size, expected in zip(got, sizes, xyxy, strict=True):
        np.testing.assert_allclose(one, reference(expected, 'rel_yxyx', size), atol=1e-6)


def test_fractions_come_back_in_float32():
    pixels = np.array([[1234, 5, 3999, 2999]], np.float32)
    there = boxes.convert(pixels, 'sa1b', 'sa1b_rel_yxyx', image_size=[3001, 5333])
    back = boxes.convert(there, 'sa1b_rel_yxyx', 'sa1b', image_size=[3001, 5333])
    np.testing.assert_allclose(back, pixels, atol=1e-3)


def test_convert_makes_coco_boxes_of_real_annotations(shared_data):
    found = json.loads((shared_data / 'real_annotations.json').read_text())
    annotations = list(_annotations(found))
    assert len(annotations) == 7
    given = np.array([a['bbox'] for a in annotations])
    expected = coco_mask.toBbox([a['segmentation'] for a in annotations])
    np.testing.assert_array_equal(boxes.convert(given, 'sa1b', 'xywh'), expected)


def _annotations(found):
    if isinstance(found, dict) and 'segmentation' in found:
        yield found
    elif isinstance(found, (dict, list)):
        for part in found.values() if isinstance(found, dict) else found:
            yield from _annotations(part)


@pytest.mark.parametrize('box_format', boxes.FORMATS)
def test_clip(box_format):
    given = np.array([[-5.0, 2, 30, 8], [80, 50, 200, 100], [100, 70, 120, 80], [3, 4, 5, 6]])
    expected = np.array([[0, 2, 30, 8], [80, 50, 90, 60], [90, 60, 90, 60], [3, 4, 5, 6]])
    got = boxes.clip(reference(given, box_format), SIZE, box_format=box_format)
    np.testing.assert_allclose(got, reference(expected, box_format), atol=1e-9)


def test_area_counts_the_last_pixel():
    xyxy = random_xyxy(9)
    expected = (xyxy[:, 2] - xyxy[:, 0]) * (xyxy[:, 3] - xyxy[:, 1])
    for box_format in PIXELS:
        got = boxes.area(reference(xyxy, box_format), box_format=box_format)
        np.testing.assert_array_equal(got, expected)
    assert boxes.area([[5, 5, 3, 9]]).numpy() == [0]


@hypothesis.given(st.integers(0, 9), st.integers(0, 9), st.integers(0, 1000))
@hypothesis.settings(deadline=None, max_examples=50)
def test_iou_equals_pycocotools(n, m, seed):
    a, b = random_xyxy(n, seed), random_xyxy(m, seed + 1)
    got = boxes.iou(a.astype(np.float64), b.astype(np.float64))
    assert got.shape == (n, m)
    if n and m:
        expected = coco_mask.iou(reference(a, 'xywh'), reference(b, 'xywh'), [False] * m)
        np.testing.assert_allclose(got, expected, rtol=1e-12)


def test_iou_in_a_batch():
    a = np.stack([random_xyxy(3, i) for i in range(2)]).astype(np.float32)
    b = np.stack([random_xyxy(4, 9 + i) for i in range(2)]).astype(np.float32)
    got = boxes.iou(a, b)
    for i in range(2):
        np.testing.assert_array_equal(got[i], boxes.iou(a[i], b[i]))


def test_iou_of_boxes_without_area_is_zero():
    assert boxes.iou([[3, 3, 3, 3]], [[3, 3, 3, 3]]).numpy() == [[0]]


def test_jitter_normal_has_the_spread_of_the_paper():
    given = np.tile(np.float32([[400, 400, 500, 450]]), [20000, 1])
    moved = boxes.jitter(given, [1000, 1000], seed=[1, 2]) - given
    np.testing.assert_allclose(np.mean(moved, 0), 0, atol=0.3)
    np.testing.assert_allclose(np.std(moved, 0), [9.6, 5, 9.6, 5], rtol=0.03)
    assert np.max(np.abs(moved)) == pytest.approx(20)


def test_jitter_uniform_has_the_spread_of_sam2():
    given = np.tile(np.float32([[300, 300, 700, 350]]), [5000, 1])
    moved = boxes.jitter(given, [1000, 1000], seed=[1, 2], distribution='uniform') - given
    assert np.all(np.abs(moved) <= np.float32([20, 5, 20, 5]) + 1e-3)
    assert np.all(np.max(np.abs(moved), 0) > np.float32([19.5, 4.8, 19.5, 4.8]))


@pytest.mark.parametrize('box_format', boxes.FORMATS)
def test_jitter_stays_in_the_image_and_in_order(box_format):
    given = reference(random_xyxy(200), box_format)
    moved = boxes.jitter(given, SIZE, seed=[3, 4], box_format=box_format, scale=2, max_pixels=500)
    x0, y0, x1, y1 = boxes.convert(moved, box_format, 'xyxy', image_size=SIZE).numpy().T
    tiny = 1e-9
    assert np.all((x0 >= -tiny) & (x0 <= x1 + tiny) & (x1 <= SIZE[1] + tiny))
    assert np.all((y0 >= -tiny) & (y0 <= y1 + tiny) & (y1 <= SIZE[0] + tiny))


def test_jitter_follows_its_seed():
    given = random_xyxy(5)
    one, same, other = (boxes.jitter(given, SIZE, seed=s) for s in ([1, 2], [1, 2], [1, 3]))
    np.testing.assert_array_equal(one, same)
    assert np.any(one != other)
    assert boxes.jitter(given[:0], SIZE, seed=[1, 2]).shape == (0, 4)


CALLS = {
    'convert': lambda b, s: boxes.convert(b, 'sa1b_rel_yxyx', 'xywh', image_size=s),
    'clip': lambda b, s: boxes.clip(b, s),
    'jitter': lambda b, s: boxes.jitter(b, s, seed=[5, 6]),
    'area': lambda b, s: boxes.area(b),
    'iou': lambda b, s: boxes.iou(b, b),
}


@pytest.mark.parametrize('name', CALLS)
@pytest.mark.parametrize('count', [0, 5])
def test_every_mode(name, count):
    arguments = [random_xyxy(count).astype(np.float32), SIZE.astype(np.uint64)]
    harness.check(CALLS[name], arguments, dtype=tf.float32)


@pytest.mark.parametrize(
    'call,message',
    [
        (
            lambda: boxes.convert([[0, 0, 1, 1]], 'coco', 'xyxy'),
            r"boxes\.convert: expected `from_format` to be one of 'xywh'.*got 'coco'",
        ),
        (
            lambda: boxes.convert([[0, 0, 1, 1]], 'xywh', 'yxyx'),
            r"boxes\.convert: expected `to_format` to be one of .*got 'yxyx'",
        ),
        (
            lambda: boxes.convert([[0, 0, 1]], 'xywh', 'xyxy'),
            r'boxes\.convert: expected `boxes` of shape \[\.\.\., 4\]; got \(1, 3\)',
        ),
        (
            lambda: boxes.area(1.0),
            r'boxes\.area: expected `boxes` of shape \[\.\.\., 4\]; got \(\)',
        ),
        (
            lambda: boxes.convert([[0, 0, 1, 1]], 'rel_yxyx', 'xyxy'),
            r"expected `image_size` for 'rel_yxyx' to 'xyxy'; got None",
        ),
        (
            lambda: boxes.clip([[0, 0, 1, 1]], [2, 3, 4]),
            r'boxes\.clip: expected `size` to be integers \[height, width\].*got int32 \(3,\)',
        ),
        (
            lambda: boxes.clip([[0, 0, 1, 1]], [2.5, 3.5]),
            r'boxes\.clip: expected `size` to be integers.*got float32 \(2,\)',
        ),
        (
            lambda: boxes.iou([[0, 0, 1, 1]], [[0, 0, 1, 1]], box_format='rel_yxyx'),
            r"boxes\.iou: expected `box_format` to be one of .*got 'rel_yxyx'",
        ),
        (
            lambda: boxes.jitter([[0, 0, 1, 1]], [2, 3], seed=[1, 2, 3]),
            r'boxes\.jitter: expected `seed` to be integers of shape \[2\]; got int32 \(3,\)',
        ),
        (
            lambda: boxes.jitter([[0, 0, 1, 1]], [2, 3], seed=[1, 2], scale=-1),
            r'boxes\.jitter: expected `scale` to be a number ≥ 0; got -1',
        ),
        (
            lambda: boxes.jitter([[0, 0, 1, 1]], [2, 3], seed=[1, 2], max_pixels=float('nan')),
            r'boxes\.jitter: expected `max_pixels` to be a number ≥ 0; got nan',
        ),
        (
            lambda: boxes.jitter([[0, 0, 1, 1]], [2, 3], seed=[1, 2], distribution='beta'),
            r"boxes\.jitter: expected `distribution` to be one of 'normal', 'uniform'; got 'beta'",
        ),
    ],
)
def test_static_faults(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize('size', [[0, 5], [5, -1], [2**40, 5]])
def test_faults_in_values(size):
    message = rf'boxes\.clip: expected `size` ≥ 1; got \[{size[0]} {size[1]}\]'
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        tf.function(boxes.clip)(tf.constant([[0.0, 0, 1, 1]]), tf.constant(size, tf.int64))


NMS_CASES = json.loads((pathlib.Path(__file__).parent / 'torchvision_nms.json').read_text())[
    'cases'
]


def nms_case(seed, n, side, levels, integer):
    """Boxes and scores from numbers that NumPy promises to draw alike for ever."""
    rng = np.random.RandomState(seed)
    low, extent = rng.uniform(0, side, (n, 2)), rng.uniform(0, side / 2, (n, 2))
    corners = np.concatenate([low, low + extent], 1)
    scores = rng.randint(0, levels, n) / levels
    return np.float32(np.floor(corners) if integer else corners), np.float32(scores)


@pytest.mark.parametrize('case', NMS_CASES, ids=lambda case: f'seed{case["seed"]}')
def test_nms_equals_torchvision(case):
    """Scores repeat, and integer corners give IoUs that are as large as the threshold."""
    names = ('seed', 'boxes', 'side', 'levels', 'integer')
    corners, scores = nms_case(*(case[name] for name in names))
    kept = boxes.nms(corners, scores, case['threshold'])
    assert kept.dtype == tf.int32
    assert kept.numpy().tolist() == case['kept']
    some = boxes.nms(corners, scores, case['threshold'], max_boxes=3)
    assert some.numpy().tolist() == case['kept'][:3]


_TORCHVISION = """
import torchvision
for name in ('float32', 'float64'):
    corners, scores = (torch.tensor(data[key].astype(name)) for key in ('boxes', 'scores'))
    out[name] = torchvision.ops.nms(corners, scores, float(data['threshold'])).numpy()
"""


@pytest.mark.parametrize('levels', [7, 10**9])
def test_nms_in_double_precision_equals_torchvision(meta, levels):  # noqa: F811
    """Scores and IoUs differ by less than float32 tells apart; some are equal."""
    rng = np.random.default_rng(levels)
    low = rng.integers(0, 60, (400, 2)) + rng.integers(0, 2, (400, 2)) * 1e-9
    corners = np.concatenate([low, low + rng.integers(0, 20, (400, 2))], 1)
    scores = 0.5 + rng.integers(0, levels, 400) * 1e-10
    given = {'boxes': corners, 'scores': scores, 'threshold': np.array(0.5)}
    expected = meta.run(_TORCHVISION, **given)
    assert set(expected['float32']) != set(expected['float64'])
    for dtype, kept in expected.items():
        found = boxes.nms(corners.astype(dtype), scores.astype(dtype), 0.5)
        np.testing.assert_array_equal(found, kept)
    assert boxes.nms(corners, scores, 0.5, max_boxes=3).numpy().tolist() == kept[:3].tolist()
    harness.check(
        functools.partial(boxes.nms, threshold=0.5),
        [corners[:20], scores[:20]],
        dtype=tf.int32,
        shape=[None],
    )


def test_nms_in_every_mode():
    corners, scores = nms_case(3, 30, 12, 4, True)
    suppress = functools.partial(boxes.nms, threshold=0.5)
    harness.check(suppress, [corners, scores], dtype=tf.int32, shape=[None])


def test_nms_of_odd_boxes_and_scores():
    """As torchvision 0.14 does: boxes without area, or turned over, overlap nothing."""
    corners = np.float32([[0, 0, 4, 4], [4, 4, 0, 0], [2, 2, 2, 9], [0, 0, 4, 4], [4, 0, 0, 4]])
    scores = np.float32([-np.inf, 0.5, np.inf, -np.inf, 0.1])
    assert boxes.nms(corners, scores, 0.0).numpy().tolist() == [2, 1, 4, 0]
    assert boxes.nms(np.zeros((0, 4)), np.zeros(0, np.float32), 0.5).shape == (0,)
    xywh = [[0.0, 0, 10, 10], [5.0, 0, 10, 10]]
    assert boxes.nms(xywh, [1.0, 0.5], 0.3, box_format='xywh').numpy().tolist() == [0]
    assert boxes.nms(xywh, [1.0, 0.5], 0.4, box_format='xywh').numpy().tolist() == [0, 1]


def test_nms_checks_its_arguments():
    with pytest.raises(ValueError, match=r'boxes.nms: expected `threshold` .* 0 to 1; got 1.5'):
        boxes.nms(np.zeros((2, 4)), [0.5, 0.5], 1.5)
    with pytest.raises(ValueError, match=r'expected `max_boxes` to be an int ≥ 1; got 0'):
        boxes.nms(np.zeros((2, 4)), [0.5, 0.5], 0.5, max_boxes=0)
    with pytest.raises(ValueError, match=r'expected `boxes` of shape \[N, 4\]; got \(1, 2, 4\)'):
        boxes.nms(np.zeros((1, 2, 4)), [0.5, 0.5], 0.5)
    fault = tf.errors.InvalidArgumentError
    with pytest.raises(fault, match=r'`scores` of shape \[2\], one a box; got 3'):
        boxes.nms(np.zeros((2, 4)), [0.5, 0.5, 0.5], 0.5)
    with pytest.raises(fault, match=r'`scores` that are numbers; got NaN at index 1'):
        boxes.nms(np.zeros((2, 4)), [0.5, np.nan], 0.5)
    with pytest.raises(fault, match=r'`boxes` of numbers; got NaN at index 0'):
        boxes.nms([[np.nan, 0, 1, 1]], [0.5], 0.5)


def test_examples_in_the_documentation():
    found = doctest.testmod(boxes, extraglobs={'boxes': boxes})
    nms = doctest.testmod(box_nms, extraglobs={'boxes': boxes})
    assert (nms.attempted, nms.failed) == (2, 0)
    assert found.attempted >= 5 and found.failed == 0
