"""Row-major runs of crops, against drawn masks."""

import json

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
from pycocotools import mask as coco
from test_coco_rle import drawn_masks, encode

from segment_anything_tfds.source.record import coco_rle


def draw(crop, size):
    """Draws a `RowRuns` pixel by pixel, as CVAT does."""
    pixels = np.repeat(np.arange(len(crop.runs)) % 2, crop.runs)
    mask = np.zeros(size, np.uint8)
    corner = slice(crop.top, crop.top + crop.height), slice(crop.left, crop.left + crop.width)
    mask[corner] = pixels.reshape(crop.height, crop.width)
    return mask


def runs_of(pixels):
    """Run lengths of a drawn crop, row-major, zeros first; one pixel after another."""
    runs, last = [0], 0
    for pixel in pixels.ravel().tolist():
        if pixel != last:
            runs.append(0)
            last = pixel
        runs[-1] += 1
    return runs


def check(masks):
    counts, size = encode(masks), masks.shape[1:]
    crops = coco_rle.to_row_runs(counts, size)
    for mask, crop, rle in zip(masks, crops, counts, strict=True):
        x, y, w, h = coco.toBbox({'size': size, 'counts': rle}).astype(int).tolist()
        expected = (x, y, w, h) if mask.any() else (0, 0, 0, 0)
        assert (crop.left, crop.top, crop.width, crop.height) == expected
        assert crop.runs.tolist() == runs_of(mask[y : y + h, x : x + w] if w else np.zeros(0))
        np.testing.assert_array_equal(draw(crop, size), mask)
    assert coco_rle.from_row_runs(crops, size) == counts
    whole = coco_rle.to_row_runs(counts, size, crop=False)
    assert [crop.runs.tolist() for crop in whole] == [runs_of(mask) for mask in masks]
    assert coco_rle.from_row_runs(whole, size) == counts


@hypothesis.given(drawn_masks())
def test_equal_drawn_crops(masks):
    check(masks)


def test_shapes_that_people_draw():
    masks = np.zeros((8, 7, 9), np.uint8)
    masks[1, 3, 4] = 1
    masks[2] = 1
    masks[3, 1:6, 2:8] = 1
    masks[3, 3, 4:6] = 0  # a hole
    masks[4, :, 0] = masks[4, :, 8] = 1  # both sides
    masks[5, 0, :] = masks[5, 6, :] = 1
    masks[6, :, 3:] = 1  # whole columns
    masks[7, 2:, :] = 1  # ends at the image's corner
    check(masks)
    check(masks.transpose(0, 2, 1))


@hypothesis.given(
    st.lists(st.integers(0, 5), min_size=1, max_size=12), st.integers(1, 6), st.integers(0, 3)
)
def test_any_runs_that_fill_a_crop(runs, width, margin):
    """Runs of tools may have zeros among them and start with ones."""
    runs = [*runs, -sum(runs) % width]
    height = sum(runs) // width
    crop = coco_rle.RowRuns(margin, 1, width, height, np.array(runs))
    size = (height + 2, width + margin)
    mask = draw(crop, size)
    assert coco_rle.from_row_runs([tuple(crop)], size) == encode([mask])


def test_real_masks(shared_data):
    record = json.loads((shared_data / 'sav_000001_auto.json').read_text())
    rles = [rle for frame in record['masklet'] for rle in frame]
    counts, size = [rle['counts'].encode() for rle in rles], rles[0]['size']
    crops = coco_rle.to_row_runs(counts, size)
    assert coco_rle.from_row_runs(crops, size) == counts
    for crop, rle in list(zip(crops, rles, strict=True))[::20]:
        np.testing.assert_array_equal(draw(crop, size), coco.decode(rle))


def test_many_changes_are_taken_in_portions(monkeypatch):
    from segment_anything_tfds.source.record.rle import row_runs

    monkeypatch.setattr(row_runs, '_PORTION', 40)
    rng = np.random.default_rng(0)
    check((rng.random((9, 12, 10)) < 0.4).astype(np.uint8))


def test_none_and_empty():
    assert coco_rle.to_row_runs([], (4, 5)) == []
    assert coco_rle.from_row_runs([], (4, 5)) == []
    (crop,) = coco_rle.to_row_runs(['d0'], (4, 5))
    assert (*crop[:4], crop.runs.tolist()) == (0, 0, 0, 0, [0])
    assert coco_rle.from_row_runs([(0, 0, 0, 0, [])], (4, 5)) == [b'd0']


@pytest.mark.parametrize(
    ('crop', 'message'),
    [
        ((0, 0, 2, 2, [1, 2]), r'runs of at least 0 that sum to 4, .*; got \[1, 2\], sum 3'),
        ((0, 0, 2, 2, [5, -1]), r'runs of at least 0 .*; got \[5, -1\]'),
        ((0, 0, 2, 2, [2**62, 2**62, 2**62, 2**62, 4]), r'runs of at least 0'),
        ((2, 0, 2, 1, [2]), r'inside the image of 3 x 2; got .* \[2, 0, 2, 1\]'),
        ((0, -1, 1, 1, [1]), r'inside the image'),
        ((0.5, 0, 1, 1, [1]), r'of integers \(left, top, width, height, runs\)'),
        ((0, 0, 1, 1, [1.0]), r'of integers'),
    ],
)
def test_crops_are_checked(crop, message):
    good = (0, 0, 1, 1, [0, 1])
    with pytest.raises(ValueError, match=r'`coco_rle.from_row_runs`: .*`crops\[1\]`.*' + message):
        coco_rle.from_row_runs([good, crop], (2, 3))
    with pytest.raises(ValueError, match=r'`coco_rle.to_row_runs`: .* sum to 6'):
        coco_rle.to_row_runs(['22'], (2, 3))
