"""Masks, boxes and points over an image."""

import doctest

import numpy as np
import pytest

from segment_anything_tfds.report import draw


def _disc(height, width, x, y, radius):
    rows, columns = np.mgrid[:height, :width]
    return ((rows - y) ** 2 + (columns - x) ** 2 <= radius**2).astype(np.uint8)


def test_docstring_examples():
    result = doctest.testmod(draw)
    assert result.attempted and not result.failed


def test_palette_is_distinct_and_a_prefix_of_itself():
    colors = draw.palette(100).astype(int)
    distance = np.abs(colors[:, None] - colors[None]).sum(-1) + 999 * np.eye(100, dtype=int)
    assert distance.min() >= 6
    assert distance[:12, :12].min() >= 60
    np.testing.assert_array_equal(draw.palette(7), draw.palette(100)[:7])
    assert draw.palette(0).shape == (0, 3)


def test_mask_takes_its_color_and_the_rest_stays():
    image = np.full([80, 120, 3], 128, np.uint8)
    mask = _disc(80, 120, 40, 40, 20)
    color = np.array([[255, 0, 0]], np.uint8)
    drawn = draw.overlay(image, mask[None], colors=color)
    assert drawn.dtype == np.uint8 and drawn.shape == image.shape
    np.testing.assert_array_equal(drawn[:, 70:], 128)
    alpha = 0.45 - 0.3 * (mask.sum() / mask.size) ** 0.5
    np.testing.assert_allclose(drawn[40, 40], 128 + (color[0] - 128.0) * alpha, atol=1.5)
    assert drawn[40, 20, 0] > drawn[40, 40, 0], 'the outline is stronger than the fill'


def test_small_mask_lies_over_large_one_whatever_their_order():
    image = np.zeros([60, 60, 3], np.uint8)
    masks = np.stack([_disc(60, 60, 30, 30, 5), _disc(60, 60, 30, 30, 25)])
    colors = np.array([[0, 255, 0], [255, 0, 0]], np.uint8)
    drawn = draw.overlay(image, masks, colors=colors)
    swapped = draw.overlay(image, masks[::-1], colors=colors[::-1])
    np.testing.assert_array_equal(drawn, swapped)
    assert drawn[30, 30, 1] > drawn[30, 30, 0] > 0


def test_no_outline_along_the_frame_of_the_image():
    drawn = draw.overlay(np.zeros([40, 40, 3], np.uint8), np.ones([1, 40, 40], np.uint8))
    assert np.ptp(drawn.reshape(-1, 3), axis=0).max() == 0


@pytest.mark.parametrize('size', [(1, 1), (1, 50), (50, 1)])
def test_thin_images(size):
    drawn = draw.overlay(np.zeros([*size, 3], np.uint8), np.ones([2, *size], bool))
    assert drawn.shape == (*size, 3) and drawn.min(axis=(0, 1)).max() > 0


def test_nothing_to_draw_gives_a_copy():
    image = np.arange(75, dtype=np.uint8).reshape(5, 5, 3)
    masks = np.zeros([3, 5, 5], np.uint8)
    for none in (masks, masks[:0]):
        drawn = draw.overlay(image, none)
        np.testing.assert_array_equal(drawn, image)
        assert not np.shares_memory(drawn, image)


def test_boxes_and_points():
    image = np.zeros([100, 100, 3], np.uint8)
    points = np.array([[20.0, 30.0], [70.0, 30.0], [50.0, 90.0]])
    drawn = draw.overlay(
        image,
        np.zeros([0, 100, 100], np.uint8),
        boxes=np.array([[40, 40, 60, 70], [9, 9, 3, 3]]),
        points=points,
        point_labels=[1, 0, -1],
    ).astype(int)
    assert drawn[30, 20].argmax() == 1 and drawn[30, 70].argmax() == 0
    assert drawn[90, 50].max() == 0, 'padding is not drawn'
    assert drawn[40:71, 40].max(-1).min() > 0 and drawn[55, 50].max() == 0


def test_texts():
    image, masks = np.full([60, 90, 3], 200, np.uint8), np.zeros([2, 60, 90], np.uint8)
    masks[0, 20:50, 30:80] = 1
    plain, drawn = draw.overlay(image, masks), draw.overlay(image, masks, texts=['0.97', 'none'])
    changed = np.argwhere((plain != drawn).any(-1))
    assert len(changed) and (changed.min(0) >= (18, 28)).all() and (changed.max(0) < (45, 79)).all()


def test_a_text_stands_on_its_mask_and_in_the_picture():
    image, plates = np.full([60, 90, 3], 200, np.uint8), []
    for left in (40, 84):
        masks = np.zeros([1, 60, 90], np.uint8)
        masks[0, 50:58, 2:8] = 1  # a speck, far from the rest
        masks[0, 4:30, left:] = 1
        changed = draw.overlay(image, masks) != draw.overlay(image, masks, texts=['0.97'])
        y, x = np.nonzero(changed.any(-1))
        plates.append((y.min(), y.max(), x.max() - x.min()))
        assert x.min() >= min(left, 55)
    assert plates[0] == plates[1]  # all of it, also at the border
    assert plates[0][0] >= 4 and plates[0][1] < 30


def test_contact_sheet():
    rng = np.random.default_rng(0)
    images = [
        rng.integers(0, 255, [h, w, 3], np.uint8) for h, w in ((300, 200), (10, 90), (64, 64))
    ]
    sheet = draw.contact_sheet(images, ['a', 'b' * 500, ''], columns=2, cell=100, gap=4)
    assert sheet.shape[1] == 4 + 2 * 104
    assert draw.contact_sheet(images[:1]).shape[1] == 384 + 24


SQUARE = np.zeros([4, 4, 3], np.uint8)
MASKS = np.zeros([2, 4, 4], np.uint8)


@pytest.mark.parametrize(
    ('call', 'message'),
    [
        (lambda: draw.overlay(SQUARE[..., 0], MASKS), r'overlay: expected `image` .*\[4, 4\]'),
        (lambda: draw.overlay(SQUARE / 2, MASKS), r'expected `image` .* got float64'),
        (lambda: draw.overlay(SQUARE, MASKS[:, 1:]), r'expected `masks` .*4, 4\].*\[2, 3, 4\]'),
        (lambda: draw.overlay(SQUARE, MASKS, colors=[[1, 2, 3]]), r'`colors` of shape \[2, 3\]'),
        (lambda: draw.overlay(SQUARE, MASKS, boxes=[1, 2, 3, 4]), r'`boxes` .*\[4\]'),
        (lambda: draw.overlay(SQUARE, MASKS, points=[[1, 2, 3]]), r'`points` .*\[1, 3\]'),
        (
            lambda: draw.overlay(SQUARE, MASKS, points=[[1, 2]], point_labels=[1, 1]),
            r'`point_labels` of shape \[1\]; got int64 of shape \[2\]',
        ),
        (lambda: draw.overlay(SQUARE, MASKS, texts=['a']), r'`texts` of length 2; .*\[1\]'),
        (lambda: draw.contact_sheet([]), r'contact_sheet: expected `images` with at least one'),
        (lambda: draw.contact_sheet([SQUARE], []), r'expected `captions` of length 1; .*\[0\]'),
    ],
)
def test_bad_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()
