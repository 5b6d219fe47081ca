"""The NumPy twins of `rle`: boxes, pairs, geometry, membership and nesting."""

import json

import hypothesis
import hypothesis.strategies as st
import nested
import numpy as np
import pytest
import reference
from pycocotools import mask as coco
from test_coco_rle import drawn_masks, encode

from segment_anything_tfds.source.record import coco_rle


@pytest.fixture(scope='module')
def real(shared_data):
    """Real masks, and their size."""
    record = json.loads((shared_data / 'sav_000001_auto.json').read_text())
    rles = [rle for frame in record['masklet'] for rle in frame]
    return [rle['counts'].encode() for rle in rles], rles[0]['size']


def as_coco(counts, size):
    return [{'size': [int(side) for side in size], 'counts': text} for text in counts]


@hypothesis.given(drawn_masks())
def test_boxes_equal_pycocotools(masks):
    counts, size = encode(masks), masks.shape[1:]
    boxes = coco_rle.bbox(counts, size, convention='coco')
    assert boxes.shape == (len(masks), 4) and boxes.dtype == np.int64
    theirs = coco.toBbox(as_coco(counts, size)) if counts else np.zeros((0, 4))
    np.testing.assert_array_equal(boxes, theirs)
    last = coco_rle.bbox(counts, size, convention='xyxy_inclusive')
    for mask, box, sa1b in zip(
        masks, last, coco_rle.bbox(counts, size, convention='sa1b'), strict=True
    ):
        y, x = np.nonzero(mask) if mask.any() else ([0], [0])
        assert box.tolist() == [min(x), min(y), max(x), max(y)]
        assert sa1b.tolist() == [min(x), min(y), max(x) - min(x), max(y) - min(y)]
    assert coco_rle.is_empty(counts, size).tolist() == [not mask.any() for mask in masks]


@st.composite
def two_lots(draw):
    masks = draw(drawn_masks())
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    other = (rng.random((draw(st.integers(0, 4)), *masks.shape[1:])) < rng.random()).astype('u1')
    return masks, other


@hypothesis.given(two_lots())
def test_iou_equals_pycocotools(lots):
    (a, b), size = map(encode, lots), lots[0].shape[1:]
    crowd = [n % 2 for n in range(len(b))]
    for flags, options in (([0] * len(b), {}), (crowd, {'crowd': crowd})):
        found = coco_rle.iou(a, b, size, **options)
        assert found.shape == (len(a), len(b)) and found.dtype == np.float64
        if a and b:
            theirs = np.nan_to_num(coco.iou(as_coco(a, size), as_coco(b, size), flags))
            np.testing.assert_array_equal(found, theirs)
    common = coco_rle.intersection_area(a, b, size)
    drawn = [[(one & two).sum() for two in lots[1]] for one in lots[0]]
    np.testing.assert_array_equal(common, np.reshape(drawn, common.shape))


def test_iou_of_real_masks(real, monkeypatch):
    from segment_anything_tfds.source.record.rle import overlap

    counts, size = real
    rles = as_coco(counts[:200], size)
    expected = np.nan_to_num(coco.iou(rles, rles, [0] * 200))
    np.testing.assert_array_equal(coco_rle.iou(counts[:200], counts[:200], size), expected)
    monkeypatch.setattr(overlap, '_PORTION', 100)
    few = coco_rle.iou(list(counts[:20]), counts[:20], size)
    np.testing.assert_array_equal(few, expected[:20, :20])


@hypothesis.given(st.integers(0, 2**32), st.floats(0, 1), st.none() | st.integers(1, 4))
def test_nms_is_greedy(seed, threshold, max_masks):
    masks = nested.boxes_in_boxes(seed, 8, (9, 9))
    counts, size = encode(masks), masks.shape[1:]
    scores = np.random.default_rng(seed).integers(0, 3, len(masks)) / 2
    overlaps = np.nan_to_num(coco.iou(as_coco(counts, size), as_coco(counts, size), [0] * 8))
    kept = []
    for index in sorted(range(8), key=lambda i: -scores[i]):
        if all(np.float32(overlaps[index, k]) <= np.float32(threshold) for k in kept):
            kept.append(index)
    found = coco_rle.nms(counts, scores, size, threshold, max_masks=max_masks)
    assert found.tolist() == kept[:max_masks]


@hypothesis.given(drawn_masks(), st.integers(0, 2**32))
def test_flip_and_crop_equal_drawn_ones(masks, seed):
    counts, (height, width) = encode(masks), masks.shape[1:]
    flipped = coco_rle.flip(counts, (height, width))
    assert flipped == encode(masks[:, :, ::-1])
    assert coco_rle.flip(counts, (height, width), axis='vertical') == encode(masks[:, ::-1])
    rng = np.random.default_rng(seed)
    x, y = rng.integers(0, width), rng.integers(0, height)
    w, h = rng.integers(1, width - x + 1), rng.integers(1, height - y + 1)
    cropped = coco_rle.crop(counts, (height, width), (x, y, w, h))
    assert cropped == encode(masks[:, y : y + h, x : x + w])


@hypothesis.given(drawn_masks(), st.integers(0, 2**32))
def test_normalize_gives_what_pycocotools_writes(masks, seed):
    """Runs are cut in two around runs of length 0, as other encoders write them."""
    rng, size = np.random.default_rng(seed), masks.shape[1:]
    cut = []
    for string in encode(masks):
        lengths = []
        for run in coco_rle.run_lengths([string])[0].tolist():
            first = int(rng.integers(0, run + 1))
            lengths += [first, 0, run - first] if rng.random() < 0.5 else [run]
        cut += coco_rle.encode_runs([lengths])
    assert coco_rle.normalize(cut, size) == encode(masks)


def test_contains_equals_drawing(real):
    """12,000 clicks, of which some lie outside the image; not one mask is drawn to answer."""
    counts, size = real[0][:60], real[1]
    rng = np.random.default_rng(0)
    points = rng.uniform(-30, [size[1] + 30, size[0] + 30], (12_000, 2))
    points[:4000] = np.round(points[:4000])
    found = coco_rle.contains(counts, size, points)
    masks = np.pad(coco_rle.decode(counts, size), [(0, 0), (40, 40), (40, 40)])
    x, y = np.floor(points + 0.5).astype(int).T + 40
    np.testing.assert_array_equal(found, masks[:, y, x].T == 1, strict=True)
    assert found.any() and found.sum(axis=1).max() > 1


@hypothesis.given(drawn_masks())
def test_contains_every_pixel(masks):
    height, width = masks.shape[1:]
    y, x = np.mgrid[-1 : height + 1, -1 : width + 1].reshape(2, -1)
    found = coco_rle.contains(encode(masks), (height, width), np.stack([x, y], 1))
    padded = np.pad(masks, [(0, 0), (1, 1), (1, 1)])
    np.testing.assert_array_equal(found, padded.reshape(len(masks), len(x)).T == 1)


def test_contains_no_points_and_none_that_are():
    assert coco_rle.contains(['22'], (2, 2), np.zeros((0, 2))).shape == (0, 1)
    assert coco_rle.contains([], (2, 2), [[0, 0]]).shape == (1, 0)
    odd = [[np.nan, 1], [1, np.inf], [-np.inf, 0], [1.49, 1.49], [1.5, 0], [1, -0.5], [1, -0.51]]
    found = coco_rle.contains(['22'], (2, 2), odd)[:, 0].tolist()
    assert found == [False, False, False, True, False, True, False]


def test_hierarchy_equals_the_reference_on_random_masks():
    for seed in range(1000):
        masks = nested.boxes_in_boxes(seed, 8, (16, 20))
        options = {'containment': (0.9, 0.6, 1)[seed % 3], 'max_ratio': (0.9, 1, 0.5)[seed % 3]}
        tree = coco_rle.hierarchy(coco_rle.encode(masks), masks.shape[1:], **options)
        parents, depth = reference.hierarchy(masks, **options)
        assert (tree.parents.tolist(), tree.depth.tolist()) == (parents, depth)


def test_hierarchy_of_real_masks(real):
    counts, size = real
    for start in range(0, len(counts), 121):
        masks = coco_rle.decode(counts[start : start + 121], size)[:, ::3, ::3]
        tree = coco_rle.hierarchy(coco_rle.encode(masks), masks.shape[1:])
        assert (tree.parents.dtype, tree.depth.dtype) == (np.int32, np.int32)
        assert (tree.parents.tolist(), tree.depth.tolist()) == reference.hierarchy(masks)


@pytest.mark.slow
def test_all_real_masks_in_full_size(shared_data):
    """Containment of all pairs is pycocotools', bit for bit, and so is the tree that it gives."""
    import rle_cases  # which imports TensorFlow

    depths = []
    for size, counts in rle_cases.real(shared_data).items():
        rles = as_coco(counts, size)
        share = coco.iou(rles, rles, [1] * len(rles))
        found = coco_rle.iou(counts, counts, size, crowd=[True] * len(counts))
        np.testing.assert_array_equal(found, np.nan_to_num(share))
        tree = coco_rle.hierarchy(counts, size)
        areas = [int(coco.area(rle)) for rle in rles]  # of a list above 255 it cannot
        parents, depth = reference.tree(areas, lambda a, b, share=share: share[a, b])
        assert (tree.parents.tolist(), tree.depth.tolist()) == (parents, depth)
        depths += depth
    assert len(depths) > 1000 and max(depths) >= 2


@pytest.mark.parametrize('seed', [50, 53])
def test_planted_parts_are_found_after_a_move(seed):
    masks, parents, bears = nested.planted(seed)
    assert bears.sum() >= 12
    for jitter in range(3):
        moved = nested.jittered(masks, jitter)
        tree = coco_rle.hierarchy(coco_rle.encode(moved), masks.shape[1:])
        assert tree.parents[bears].tolist() == np.array(parents)[bears].tolist()


def test_levels_and_sizes():
    masks = np.zeros((6, 10, 10), np.uint8)
    masks[0, :, :] = 1
    masks[1, :5, :8] = 1
    masks[2, :2, :7] = 1
    masks[3, 7:, :3] = 1
    masks[5, :5, :8] = 1  # the same as mask 1: the first of equal ones is the parent
    tree = coco_rle.hierarchy(coco_rle.encode(masks), (10, 10))
    assert tree.parents.tolist() == [-1, 0, 1, 0, -1, 0]
    assert tree.depth.tolist() == [0, 1, 2, 1, 0, 1]
    assert tree.levels.tolist() == ['whole', 'part', 'subpart', 'part', 'whole', 'part']
    np.testing.assert_allclose(tree.relative_size, [1, 0.4, 0.14, 0.09, 1, 0.4])
    np.testing.assert_allclose(tree.granularity, [1, 0.4, 0.1, 0.1, 1, 0.4])
    none = coco_rle.hierarchy([], (10, 10))
    assert [len(part) for part in none] == [0] * 5


@hypothesis.given(st.integers(0, 2**32), st.integers(0, 8))
def test_leaf_map_has_the_smallest_on_top(seed, num):
    masks = nested.boxes_in_boxes(seed, 8, (9, 11))[:num]
    order = sorted(range(num), key=lambda n: (masks[n].sum(), n), reverse=True)
    expected = np.full((9, 11), -1, np.int32)
    for n in order:
        expected[masks[n] == 1] = n
    found = coco_rle.leaf_map(coco_rle.encode(masks), (9, 11))
    np.testing.assert_array_equal(found, expected, strict=True)


CALLS = {
    'area': (),
    'bbox': {'convention': 'coco'},
    'connected_components': (),
    'contains': ([[1, 1]],),
    'crop': ((0, 0, 1, 2),),
    'decode': (),
    'decode_resized': ((4, 4),),
    'flip': (),
    'hierarchy': (),
    'is_empty': (),
    'leaf_map': (),
    'normalize': (),
    'remove_small_regions': (),
    'run_lengths': (),
    'to_row_runs': (),
}


@pytest.mark.parametrize('name', sorted(CALLS))
def test_a_segmentation_stands_for_counts_and_size(name):
    function, more = getattr(coco_rle, name), CALLS[name]
    args, options = ((), more) if isinstance(more, dict) else (more, {})
    size = np.array([[2, 3], [2, 3]])
    segmentation = {'counts': ['42', '33'], 'size': size}
    together = function(segmentation, *args, **options)
    assert repr(together) == repr(function(['42', '33'], size, *args, **options))
    one = function({'counts': '42', 'size': [2, 3]}, *args, **options)
    assert repr(one) == repr(function(['42'], [2, 3], *args, **options))


def test_segmentations_of_pairs():
    a, b = {'counts': ['42'], 'size': [2, 3]}, {'counts': ['33', '6'], 'size': [2, 3]}
    assert coco_rle.iou(a, b).shape == coco_rle.intersection_area(a, b).shape == (1, 2)
    assert coco_rle.iou(a, b, crowd=[1, 0]).tolist() == [[1, 0]]
    assert coco_rle.iou(a=a, b=b).tolist() == coco_rle.iou(a, b=b).tolist()
    assert (coco_rle.decode(counts=a) == coco_rle.decode(['42'], (2, 3))).all()
    assert coco_rle.nms(b, [0.5, 0.1], 0.5).tolist() == [0, 1]
    with pytest.raises(
        ValueError, match=r'`coco_rle.iou`: .* one size; got \[\[2, 3\], \[3, 2\]\]'
    ):
        coco_rle.iou(a, {'counts': ['33'], 'size': [3, 2]})


def test_arguments_are_checked():
    for call, message in (
        (lambda: coco_rle.bbox(['22'], (2, 2), convention='xyxy'), r"`convention` .*; got 'xyxy'"),
        (lambda: coco_rle.flip(['22'], (2, 2), axis='x'), r"`axis` to be one of .*; got 'x'"),
        (lambda: coco_rle.crop(['22'], (2, 2), (1, 0, 2, 2)), r'`crop_box` .* got \[1, 0, 2, 2\]'),
        (lambda: coco_rle.crop(['22'], (2, 2), (0, 0, 0, 2)), r'`crop_box` .* inside the image'),
        (lambda: coco_rle.crop(['22'], (2, 2), (0.5, 0, 1, 2)), r'`crop_box` .* inside the image'),
        (lambda: coco_rle.iou(['22'], ['22'], (2, 2), crowd=[1, 0]), r'`crowd` .*; got \(2,\)'),
        (lambda: coco_rle.iou(['22'], ['22'], (2, 3)), r'runs that sum to 6'),
        (lambda: coco_rle.nms(['22'], [np.nan], (2, 2), 0.5), r'`scores` of 1 numbers'),
        (lambda: coco_rle.nms(['22'], [], (2, 2), 0.5), r'`scores` of 1 numbers'),
        (lambda: coco_rle.nms(['22'], [1], (2, 2), 1.5), r'`threshold` .*; got 1.5'),
        (lambda: coco_rle.nms(['22'], [1], (2, 2), 0.5, max_masks=0), r'`max_masks` .*; got 0'),
        (lambda: coco_rle.contains(['22'], (2, 2), [1, 1]), r'`points` of shape .* \(2,\)'),
        (lambda: coco_rle.hierarchy(['22'], (2, 2), containment=0), r'`containment` .*; got 0'),
        (lambda: coco_rle.hierarchy(['22'], (2, 2), max_ratio=1.1), r'`max_ratio` .*; got 1.1'),
    ):
        with pytest.raises(ValueError, match=r'`coco_rle\.\w+`: expected .*' + message):
            call()
