"""IoU, NMS, set operations and geometry against pycocotools and plain NumPy."""

import harness
import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
import reference
import rle_cases
import tensorflow as tf
from pycocotools import mask as coco_mask

from segment_anything_tfds.ops import rle
from segment_anything_tfds.ops.rle import pairs

settings = hypothesis.settings(deadline=None, max_examples=150)
two_stacks = rle_cases.mask_stacks(max_masks=8)


def halves(masks):
    """Splits a stack into two of perhaps different length."""
    cut = (len(masks) + 1) // 3
    return masks[:cut], masks[cut:]


def reference_common(a, b):
    return np.einsum('nhw,mhw->nm', a.astype(np.int64), b.astype(np.int64))


@rle_cases.compiled('s', 's', 'z')
def compare(a, b, size):
    crowd = tf.range(tf.size(b)) % 2 == 0
    return (
        rle.intersection_area(a, b, size),
        rle.iou(a, b, size),
        rle.iou(a, b, size, crowd=crowd),
        rle.iou(a, a, size),
    )


@hypothesis.given(two_stacks)
@settings
def test_pairs_equal_the_drawn_masks_and_pycocotools(masks):
    a, b = halves(masks)
    (counts_a, size), (counts_b, _) = rle_cases.as_tensors(a), rle_cases.as_tensors(b)
    common, iou, crowd_iou, own = compare(counts_a, counts_b, size)
    np.testing.assert_array_equal(common, reference_common(a, b))
    coco_a, coco_b = rle_cases.coco(counts_a, size), rle_cases.coco(counts_b, size)
    if len(a) and len(b):
        plain = coco_mask.iou(coco_a, coco_b, [0] * len(b)).astype(np.float32)
        np.testing.assert_array_equal(iou, plain)
        crowd = [i % 2 == 0 for i in range(len(b))]
        with_crowd = coco_mask.iou(coco_a, coco_b, crowd).astype(np.float32)
        np.testing.assert_array_equal(crowd_iou, with_crowd)
    if len(a):
        np.testing.assert_array_equal(
            own, coco_mask.iou(coco_a, coco_a, [0] * len(a)).astype(np.float32)
        )


def test_iou_equals_pycocotools_on_real_masks(shared_data):
    for size, counts in rle_cases.real(shared_data).items():
        counts = counts[:150]
        judged = rle_cases.coco(counts, size)
        expected = coco_mask.iou(judged, judged, [0] * len(judged)).astype(np.float32)
        np.testing.assert_array_equal(rle.iou(counts, list(counts), size), expected)
        np.testing.assert_array_equal(rle.iou(counts, counts, size), expected)


@pytest.mark.parametrize('portion', [1, 7, 100])
def test_portions_give_the_same(monkeypatch, portion):
    masks = rle_cases.blobs(12, (50, 70))
    counts, size = rle_cases.as_tensors(masks)
    monkeypatch.setattr(pairs, 'PORTION', portion)
    np.testing.assert_array_equal(
        rle.intersection_area(counts[:5], counts[5:], size), reference_common(masks[:5], masks[5:])
    )


def test_areas_past_int32_together():
    height, width = 40000, 50000
    full = [reference.write_runs([0, height * width])]
    assert rle.iou(full, list(full), [height, width]).numpy() == [[1]]
    assert rle.intersection_area(full, full, [height, width]).numpy() == [[height * width]]


def reference_nms(masks, scores, threshold):
    common = reference_common(masks, masks)
    area = np.diagonal(common)
    union = area[:, None] + area - common
    iou = (common / np.maximum(union, 1)).astype(np.float32)
    kept = []
    for i in np.argsort(-scores, kind='stable'):
        if all(iou[i, j] <= np.float32(threshold) for j in kept):
            kept.append(int(i))
    return kept


@hypothesis.given(
    rle_cases.mask_stacks(max_masks=8),
    st.integers(0, 1000),
    st.sampled_from([0, 0.0, 0.3, 0.5, 0.7, 1.0, 1]),
)
@hypothesis.settings(deadline=None, max_examples=60)
def test_nms_keeps_what_the_greedy_loop_keeps(masks, seed, threshold):
    counts, size = rle_cases.as_tensors(masks)
    scores = np.random.default_rng(seed).integers(0, 4, len(masks)).astype(np.float32)
    expected = reference_nms(masks, scores, threshold)
    counts = tf.constant(counts, tf.string)
    assert rle.nms(counts, scores, size, threshold).numpy().tolist() == expected
    limited = rle.nms(counts, scores, size, threshold, max_masks=2)
    assert limited.numpy().tolist() == expected[:2]


def test_nms_keeps_infinite_scores_in_their_order():
    scores = [-np.inf, 0.0, np.inf, -np.inf]
    kept = rle.nms(['52203', '0`0', '`0', '52203'], scores, [4, 4], 0.5)
    assert kept.numpy().tolist() == [2, 1, 0]


def test_nms_in_a_graph_refuses_scores_that_are_no_numbers():
    call = tf.function(lambda scores: rle.nms(STRINGS, scores, [4, 4], 0.5))
    with pytest.raises(tf.errors.InvalidArgumentError, match='got NaN at index 1'):
        call(tf.constant([0.5, np.nan]))


@rle_cases.compiled('s', 's', 'z')
def combine(a, b, size):
    return (
        rle.union(a, b, size),
        rle.intersection(a, b, size),
        rle.difference(a, b, size),
        rle.flip(a, size),
        rle.flip(a, size, axis='vertical'),
    )


@hypothesis.given(two_stacks)
@settings
def test_set_operations_and_flips_give_the_bytes_of_encode(masks):
    half = len(masks) // 2
    a, b = masks[:half], masks[half : 2 * half]
    (counts_a, size), (counts_b, _) = rle_cases.as_tensors(a), rle_cases.as_tensors(b)
    expected = [a | b, a & b, a & ~b & 1, a[:, :, ::-1], a[:, ::-1]]
    for got, drawn in zip(combine(counts_a, counts_b, size), expected, strict=True):
        assert got.numpy().tolist() == rle_cases.encode(drawn)


def test_one_mask_against_many():
    masks = rle_cases.blobs(5, (30, 40))
    counts, size = rle_cases.as_tensors(masks)
    assert rle.union(counts[:1], counts, size).numpy().tolist() == rle_cases.encode(
        masks[:1] | masks
    )
    assert rle.difference(counts, counts[:1], size).numpy().tolist() == rle_cases.encode(
        masks & ~masks[:1] & 1
    )
    assert rle.union(counts[:1], tf.constant([], tf.string), size).shape == [0]


crop_numbers = rle_cases.compiled('s', 'z', 'i')(rle.crop)
pad_numbers = rle_cases.compiled('s', 'z', 'i')(
    lambda c, s, p: rle.pad(c, s, tf.reshape(p, [2, 2]))
)


@hypothesis.given(rle_cases.mask_stacks(), st.data())
@settings
def test_crop_and_pad_give_the_bytes_of_encode(masks, data):
    counts, size = rle_cases.as_tensors(masks)
    height, width = masks.shape[1:]
    x, y = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    w, h = data.draw(st.integers(1, width - x)), data.draw(st.integers(1, height - y))
    got = crop_numbers(counts, size, [x, y, w, h]).numpy().tolist()
    assert got == rle_cases.encode(masks[:, y : y + h, x : x + w])
    paddings = data.draw(st.lists(st.integers(0, 5), min_size=4, max_size=4))
    got = pad_numbers(counts, size, paddings).numpy().tolist()
    around = [(0, 0), tuple(paddings[:2]), tuple(paddings[2:])]
    assert got == rle_cases.encode(np.pad(masks, around))


def test_geometry_goes_back_and_forth_on_real_masks(shared_data):
    for size, counts in rle_cases.real(shared_data).items():
        height, width = size
        for axis in ('horizontal', 'vertical'):
            twice = rle.flip(rle.flip(counts, size, axis=axis), size, axis=axis)
            assert twice.numpy().tolist() == counts
        padded = rle.pad(counts, size, [[3, 4], [5, 6]])
        back = rle.crop(padded, [height + 7, width + 11], [5, 3, width, height])
        assert back.numpy().tolist() == counts
        assert rle.union(counts, counts, size).numpy().tolist() == counts


CALLS = {
    'intersection_area': lambda c, s: rle.intersection_area(c, tf.reverse(c, [0]), s),
    'iou': lambda c, s: rle.iou(c, tf.reverse(c, [0]), s),
    'nms': lambda c, s: rle.nms(c, tf.range(tf.size(c)) / 9, s, 0.5),
    'union': lambda c, s: rle.union(c, tf.reverse(c, [0]), s),
    'intersection': lambda c, s: rle.intersection(c, tf.reverse(c, [0]), s),
    'difference': lambda c, s: rle.difference(c, tf.reverse(c, [0]), s),
    'flip': rle.flip,
    'crop': lambda c, s: rle.crop(c, s, [2, 3, 9, 8]),
    'pad': lambda c, s: rle.pad(c, s, [[1, 2], [3, 4]]),
}


@pytest.mark.parametrize('name', CALLS)
@pytest.mark.parametrize('num_masks', [6, 0])
def test_every_mode(name, num_masks):
    dtype = {'intersection_area': tf.int32, 'iou': tf.float32, 'nms': tf.int32}.get(name, tf.string)
    shape = [None, None] if name in ('intersection_area', 'iou') else [None]
    arguments = rle_cases.as_tensors(rle_cases.blobs(num_masks, (20, 30)))
    harness.check(CALLS[name], arguments, dtype=dtype, shape=shape)


@pytest.mark.parametrize('name', CALLS)
def test_no_masks_and_no_sizes(name):
    if name in ('nms', 'flip', 'crop', 'pad'):
        got = CALLS[name](tf.constant([], tf.string), tf.zeros([0, 2], tf.int64))
        assert got.shape == [0]


@pytest.mark.parametrize('name', CALLS)
def test_faults_in_strings_name_the_function(name):
    with pytest.raises(tf.errors.InvalidArgumentError, match=rf'rle\.{name}: expected .* got .*99'):
        CALLS[name](tf.constant(['S3']), tf.constant([20, 30]))


STRINGS = ['52203', '`0']


@pytest.mark.parametrize(
    'call,message',
    [
        (
            lambda: rle.nms(STRINGS, [0.5, 0.5], [4, 4], 1.5),
            r'rle\.nms: expected `threshold` to be a number from 0 to 1; got 1\.5',
        ),
        (
            lambda: rle.nms(STRINGS, [0.5, 0.5], [4, 4], 0.5, max_masks=0),
            r'rle\.nms: expected `max_masks` to be an int ≥ 1; got 0',
        ),
        (
            lambda: rle.nms(STRINGS, [[0.5, 0.5]], [4, 4], 0.5),
            r'rle\.nms: expected `scores` to be floats of shape \[N\]; got float32 \(1, 2\)',
        ),
        (
            lambda: rle.iou(STRINGS, STRINGS, [4, 4], crowd=[1, 0]),
            r'rle\.iou: expected `crowd` of dtype bool; got int32',
        ),
        (
            lambda: rle.flip(STRINGS, [4, 4], axis='x'),
            r"rle\.flip: expected `axis` to be one of 'horizontal', 'vertical'; got 'x'",
        ),
        (
            lambda: rle.flip(STRINGS, [4, 4], axis=np.array(['vertical', 'x'])),
            r"rle\.flip: expected `axis` to be one of .*; got array\(\['vertical', 'x'\]",
        ),
        (
            lambda: rle.crop(STRINGS, [4, 4], [0, 0, 1]),
            r'rle\.crop: expected `crop_box` of shape \[4\]; got \(3,\)',
        ),
        (
            lambda: rle.crop(STRINGS, [4, 4], [0.0, 0.0, 1.0, 1.0]),
            r'rle\.crop: expected `crop_box` of integers; got float32',
        ),
        (
            lambda: rle.pad(STRINGS, [4, 4], [1, 2]),
            r'rle\.pad: expected `paddings` of shape \[2, 2\]; got \(2,\)',
        ),
        (
            lambda: rle.pad(STRINGS, [4, 4], [[0.5, 0], [0, 0]]),
            r'rle\.pad: expected `paddings` of integers; got float32',
        ),
    ],
)
def test_static_faults(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(
    'call,message',
    [
        (
            lambda: rle.nms(STRINGS, [0.5], [4, 4], 0.5),
            r'rle\.nms: expected `scores` of shape \[2\], one a mask; got 1 of them',
        ),
        (
            lambda: rle.nms(STRINGS, [0.5, np.nan], [4, 4], 0.5),
            r'rle\.nms: expected `scores` that are numbers; got NaN at index 1\. Leave such',
        ),
        (
            lambda: rle.iou(STRINGS, STRINGS, [4, 4], crowd=[True]),
            r'rle\.iou: expected `crowd` of shape \[2\], one a mask of `b`; got 1 of them',
        ),
        (
            lambda: rle.union(STRINGS, [*STRINGS, '`0'], [4, 4]),
            r'rle\.union: expected `a` and `b` of as many masks, or one; got 2 and 3',
        ),
        *[
            (
                lambda box=box: rle.crop(STRINGS, [4, 4], box),
                r'rle\.crop: expected `crop_box` .* inside the 4 × 4 image; got \[.*\]',
            )
            for box in ([1, 1, 4, 1], [-1, 0, 2, 2], [0, 0, 0, 1], [0, 0, 2**62, 1])
        ],
        *[
            (
                lambda amount=amount: rle.pad(STRINGS, [4, 4], [[0, amount], [0, 2**20]]),
                r'(?s)rle\.pad: expected `paddings` ≥ 0 with at most 2147483647 .*around 4 × 4',
            )
            for amount in (-1, 2**12, 2**62)
        ],
    ],
)
def test_faults_in_values(call, message):
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        call()
