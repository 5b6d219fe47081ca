"""Connected parts, holes and islands from runs, against OpenCV on drawn masks."""

import json

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
from test_coco_rle import drawn_masks, encode

from segment_anything_tfds.source.record import coco_rle

cv2 = pytest.importorskip('cv2', reason='opencv-python-headless is not installed')


def cleaned(mask, holes, islands, keep_largest=True):
    """What Meta's `remove_small_regions` does with a drawn mask, and whether it found any."""
    found = False
    for threshold, region in ((holes, 0), (islands, 1)):
        num, labels, stats, _ = cv2.connectedComponentsWithStats((mask == region).astype('u1'), 8)
        sizes = stats[1:, cv2.CC_STAT_AREA]
        small = np.flatnonzero(sizes < threshold) + 1
        found |= small.size > 0
        if region == 0:
            mask = mask | np.isin(labels, small)
        elif small.size:
            kept = np.setdiff1d(np.arange(1, num), small)
            if not kept.size and keep_largest:
                kept = [np.argmax(sizes) + 1]
            mask = np.isin(labels, kept)
        mask = mask.astype(np.uint8)
    return mask, found


def check(masks, counts, holes, islands, **options):
    result = coco_rle.remove_small_regions(counts, masks.shape[1:], holes, islands, **options)
    expected = [cleaned(mask, holes, islands, **options) for mask in masks]
    assert result.changed.dtype == bool
    assert result.changed.tolist() == [found for _, found in expected]
    for text, given, (mask, found) in zip(result.counts, counts, expected, strict=True):
        assert text == (encode([mask])[0] if found else given)


@hypothesis.settings(max_examples=200)
@hypothesis.given(drawn_masks(), st.integers(0, 9), st.integers(0, 9), st.booleans())
def test_small_regions_equal_opencv(masks, holes, islands, keep_largest):
    """Most of these small noise masks have parts of equal area, of which one must be kept."""
    check(masks, encode(masks), holes, islands, keep_largest=keep_largest)


def test_small_regions_of_smooth_masks():
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(12, 90, 120)).astype(np.float32)
    masks = np.array([(cv2.GaussianBlur(n, (0, 0), 2) > 0.02).astype(np.uint8) for n in noise])
    for holes, islands in ((100, 100), (30, 0), (0, 60), (1e9, 5), (5, 1e9)):
        check(masks, encode(masks), holes, islands)


@pytest.mark.parametrize('size', [(1, 1), (1, 40), (40, 1), (2, 3)])
def test_thin_images(size):
    masks = (np.random.default_rng(1).random((20, *size)) < 0.6).astype(np.uint8)
    check(masks, encode(masks), 3, 3)
    check(masks, encode(masks), 3, 3, keep_largest=False)


def test_whole_columns_and_long_spirals():
    masks = np.zeros((3, 61, 61), np.uint8)
    masks[0, :, 2:50] = 1
    masks[0, 0, 51:] = 1  # connected through a corner of nothing: a part of its own
    for turn in range(0, 30, 2):  # a spiral: one part with many turns, one background
        masks[1, turn, turn : 61 - turn] = masks[1, turn : 61 - turn, 60 - turn] = 1
        masks[1, 60 - turn, turn : 61 - turn] = masks[1, turn + 2 : 61 - turn, turn] = 1
        masks[1, turn + 2, turn + 1] = 1
    masks[2, ::2, ::2] = 1  # dots
    check(masks, encode(masks), 10, 10)
    check(masks, encode(masks), 10_000, 10_000)


def test_real_masks(shared_data):
    record = json.loads((shared_data / 'sav_000001_auto.json').read_text())
    rles = [rle for frame in record['masklet'] for rle in frame][::8]
    counts, size = [rle['counts'].encode() for rle in rles], rles[0]['size']
    check(coco_rle.decode(counts, size), counts, 100, 100)


@hypothesis.given(drawn_masks(), st.sampled_from([4, 8]))
def test_components_equal_opencv(masks, connectivity):
    parts = coco_rle.connected_components(encode(masks), masks.shape[1:], connectivity=connectivity)
    drawn = coco_rle.decode(parts.counts, masks.shape[1:])
    assert parts.counts == encode(drawn)
    assert parts.areas.tolist() == drawn.sum(axis=(1, 2)).tolist()
    for n, mask in enumerate(masks):
        num, labels = cv2.connectedComponents(mask, connectivity=connectivity)
        mine = drawn[parts.masks == n]
        assert len(mine) == num - 1
        theirs = {(labels == k).tobytes() for k in range(1, num)}
        assert {(part == 1).tobytes() for part in mine} == theirs
        firsts = [int(np.argmax(part.T.ravel())) for part in mine]
        assert firsts == sorted(firsts)


def test_no_masks():
    parts = coco_rle.connected_components([], (3, 4))
    assert (parts.counts, parts.masks.tolist(), parts.areas.tolist()) == ([], [], [])
    result = coco_rle.remove_small_regions([], (3, 4))
    assert (result.counts, result.changed.tolist()) == ([], [])


def test_strings_of_masks_that_do_not_change_stay():
    """Runs with zeros among them are valid; only masks that change are written anew."""
    counts = coco_rle.encode_runs([[150, 100, 0, 100, 50], [0, 1, 399]])
    result = coco_rle.remove_small_regions(counts, (20, 20), 10, 10)
    assert result.counts[0] == counts[0] and result.changed.tolist() == [False, True]


def test_arguments_are_checked():
    with pytest.raises(ValueError, match=r'expected `connectivity` 4 or 8; got 6'):
        coco_rle.connected_components(['22'], (2, 2), connectivity=6)
    for name, value in (('holes', -1), ('islands', float('nan')), ('holes', '3')):
        with pytest.raises(ValueError, match=rf'expected `{name}` to be a number .*; got'):
            coco_rle.remove_small_regions(['22'], (2, 2), **{name: value})
