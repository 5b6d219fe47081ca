"""One geometry for image, masks, boxes and points, against plain NumPy on full masks."""

import doctest
import io
import pathlib
import tarfile

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from segment_anything_tfds.ops import geometries, image, rle, transforms

CANVAS = 96
FILL = (124, 116, 104)
REPO = pathlib.Path(__file__).resolve().parent.parent


def _blobs(rng, size, count=6):
    """Discs and rings of at least 100 pixels, touching edges too; uint8 [N, H, W]."""
    rows, columns = np.mgrid[: size[0], : size[1]]
    masks = []
    for index in range(count):
        centre = rng.uniform(0, 1, 2) * size
        distance = np.hypot(rows - centre[0], columns - centre[1])
        radius = rng.uniform(0.15, 0.4) * min(size)
        masks.append((distance < radius) & (distance >= (0.4 * radius if index % 3 == 2 else 0)))
    return np.stack(masks).astype(np.uint8)


def _augment(pixels, geometry, channels=False):
    """Plain NumPy: window, nearest-neighbour scale, mirror, pad; [N, H, W] to [N, S, S]."""
    y, x, height, width = np.asarray(geometry.window)
    rows, columns = np.asarray(geometry.size)
    cut = pixels[:, y : y + height, x : x + width]
    pick_y = ((2 * np.arange(rows) + 1) * height) // (2 * rows)
    pick_x = ((2 * np.arange(columns) + 1) * width) // (2 * columns)
    scaled = cut[:, pick_y][:, :, pick_x]
    scaled = scaled[:, :, ::-1] if np.asarray(geometry.flip) else scaled
    canvas = np.asarray(geometry.canvas)
    paddings = [(0, 0), (0, canvas[0] - rows), (0, canvas[1] - columns)]
    return np.pad(scaled, paddings)


def _draw_geometry(rng, size, seed):
    canvas = [CANVAS, CANVAS]
    kind = seed % 3
    if kind == 2:
        geometry = transforms.fit(
            size, canvas, resize='square' if rng.random() < 0.5 else 'longest'
        )
    else:
        geometry = transforms.jitter(size, canvas, seed=[5, seed])
    return transforms.random_flip(geometry, seed=[6, seed])


def _iou(a, b):
    return (a & b).sum((-2, -1)) / np.maximum((a | b).sum((-2, -1)), 1)


@pytest.mark.parametrize('seed', range(24))
def test_masks_equal_the_full_masks_augmented(seed):
    rng = np.random.default_rng(seed)
    size = rng.integers(60, 220, 2)
    masks = _blobs(rng, size)
    geometry = _draw_geometry(rng, size, seed)
    expected = _augment(masks, geometry)
    counts = rle.encode(masks)
    got = transforms.draw_masks(counts, size, geometry, (CANVAS, CANVAS)).numpy()
    large = expected.sum((1, 2)) > 100
    assert (_iou(expected, got)[large] >= 0.99).all()
    np.testing.assert_array_equal(got, expected)
    half = transforms.draw_masks(counts, size, geometry, (CANVAS // 3, CANVAS // 3)).numpy()
    np.testing.assert_array_equal(half, expected[:, 1::3, 1::3])


@pytest.mark.parametrize('seed', range(12))
def test_points_stay_inside_and_boxes_around(seed):
    rng = np.random.default_rng(100 + seed)
    size = rng.integers(60, 220, 2)
    masks = _blobs(rng, size)
    geometry = _draw_geometry(rng, size, seed)
    counts = rle.encode(masks)
    points, _ = rle.sample_points(counts, size, 8, seed=[1, seed])
    inside = transforms.is_inside(points, geometry).numpy()
    moved = transforms.apply_to_points(points, geometry).numpy()
    y, x, height, width = np.asarray(geometry.window)
    rows, columns = np.asarray(geometry.size)
    column = (moved[..., 0] + 0.5) / columns * width
    column = width - column if np.asarray(geometry.flip) else column
    row = (moved[..., 1] + 0.5) / rows * height
    back = np.floor(np.stack([column + x, row + y], -1))
    np.testing.assert_allclose(np.stack([column + x, row + y], -1) - 0.5, points, atol=2e-3)
    for mask, at, visible in zip(masks, back.astype(int), inside, strict=True):
        assert mask[at[visible][:, 1], at[visible][:, 0]].all()
    visible = rle.crop(counts, size, tf.gather(geometry.window, [1, 0, 3, 2]))
    window = geometry._replace(window=tf.concat([[0, 0], geometry.window_size], 0))
    frames = rle.bbox(visible, geometry.window_size, convention='xyxy_inclusive')
    frames = transforms.apply_to_boxes(frames, window).numpy()
    for mask, (x0, y0, x1, y1) in zip(_augment(masks, geometry), frames, strict=True):
        if mask.any():
            ys, xs = np.nonzero(mask)
            slack = 0.5 / np.asarray(geometry.scale).min() * np.asarray(geometry.scale).max() + 0.51
            assert x0 - slack <= xs.min() and xs.max() <= x1 + slack
            assert y0 - slack <= ys.min() and ys.max() <= y1 + slack


def _jpeg(size, rng):
    rows, columns = np.mgrid[: size[0], : size[1]]
    wave = [np.sin(rows / rng.uniform(20, 40) + columns / rng.uniform(20, 40)) for _ in range(3)]
    pixels = np.uint8(127 + 100 * np.stack(wave, -1))
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, 'JPEG', quality=95)
    return buffer.getvalue(), pixels


@pytest.mark.parametrize('seed', range(12))
@pytest.mark.parametrize('reduced', [False, True])
def test_image_lies_under_its_masks(seed, reduced):
    rng = np.random.default_rng(200 + seed)
    size = rng.integers(100, 420, 2)
    content, pixels = _jpeg(size, rng)
    geometry = _draw_geometry(rng, size, seed)
    got = transforms.decode_image(tf.constant(content), geometry, fill=FILL, reduced=reduced)
    got = got.numpy().astype(float)
    expected = np.moveaxis(_augment(np.moveaxis(pixels, -1, 0), geometry), 0, -1).astype(float)
    rows, columns = np.asarray(geometry.size)
    assert got.shape == (CANVAS, CANVAS, 3)
    assert (got[rows:] == FILL).all() and (got[:, columns:] == FILL).all()
    difference = np.abs(got[:rows, :columns] - expected[:rows, :columns])
    shift = 100 / 20 / np.asarray(geometry.scale).min()
    assert difference.mean() < 1.0 * shift, 'less than one pixel of the canvas'
    decoded = tf.io.decode_jpeg(content, channels=3)
    whole = transforms.apply_to_image(decoded, geometry, fill=FILL).numpy()
    assert np.abs(got - whole).mean() < 0.6 * shift


def test_reduced_decoding_happens():
    content, _ = _jpeg((400, 600), np.random.default_rng(0))
    geometry = transforms.fit([400, 600], [150, 150])
    quarter = tf.io.decode_jpeg(content, channels=3, ratio=4, dct_method='INTEGER_ACCURATE')
    expected = tf.image.resize(quarter, [100, 150]).numpy()
    got = transforms.decode_image(tf.constant(content), geometry, fill=FILL).numpy()
    np.testing.assert_array_equal(got[:100], np.uint8(expected + 0.5))


@pytest.fixture(scope='module')
def painted():
    """A JPEG of 600 × 900 with fine texture, and its pixels as PIL decodes them."""
    with tarfile.open(REPO / 'dummy_data' / 'sa_000000.tar') as tar:
        name = next(name for name in sorted(tar.getnames()) if name.endswith('.jpg'))
        content = tar.extractfile(name).read()
    picture = Image.open(io.BytesIO(content))
    assert picture.size == (900, 600)
    return content, picture


def test_jpegs_are_decoded_as_pil_does(painted):
    content, picture = painted
    geometry = transforms.fit([600, 900], [900, 900])  # not scaled
    for reduced in (False, True):
        drawn = transforms.decode_image(content, geometry, fill=FILL, reduced=reduced)
        np.testing.assert_array_equal(drawn[:600], np.asarray(picture))
    corner = geometry._replace(window=tf.constant([8, 16, 304, 400]), size=tf.constant([304, 400]))
    drawn = transforms.decode_image(content, corner, fill=FILL, reduced=False)
    crop = picture.crop((16, 8, 416, 312))
    np.testing.assert_array_equal(drawn[:304, :400], np.asarray(crop))


@pytest.mark.parametrize(('side', 'flip'), [(512, False), (128, True), (1100, False)])
def test_images_are_scaled_as_pil_scales_them(painted, side, flip):
    """SAM's `ResizeLongestSide` is PIL's bilinear resize: to one grey level, at 50 dB or more."""
    content, picture = painted
    geometry = transforms.fit([600, 900], [side, side])._replace(flip=tf.constant(flip))
    rows, columns = geometry.size.numpy()
    expected = np.asarray(picture.resize((columns, rows), Image.Resampling.BILINEAR), float)
    expected = expected[:, ::-1] if flip else expected
    exact = transforms.decode_image(content, geometry, fill=FILL, reduced=False)
    decoded = transforms.apply_to_image(np.asarray(picture), geometry, fill=FILL)
    for drawn in (exact, decoded):
        difference = drawn.numpy()[:rows, :columns] - expected
        assert np.abs(difference).max() <= 1
        assert _decibels(difference) > 50
    reduced = transforms.decode_image(content, geometry, fill=FILL)
    assert _decibels(reduced.numpy()[:rows, :columns] - expected) > 30


def _decibels(difference):
    return 20 * np.log10(255 / np.sqrt(np.mean(np.square(difference))))


@pytest.mark.parametrize('size', [(1500, 2250), (2250, 1500), (1501, 1999), (683, 1024)])
def test_fit_rounds_as_sam_does(size):
    scale = 1024 / max(size)
    expected = [int(size[0] * scale + 0.5), int(size[1] * scale + 0.5)]
    assert transforms.fit(size, [1024, 1024]).size.numpy().tolist() == expected
    assert transforms.fit(size, [1024, 1024], resize='square').size.numpy().tolist() == [1024, 1024]


def test_jitter_scales_in_its_range_and_fills_the_window():
    scales, corners = [], []
    for seed in range(300):
        geometry = transforms.jitter([1500, 2250], [512, 512], seed=[0, seed])
        window, size = geometry.window.numpy(), geometry.size.numpy()
        assert (window[:2] % 8 == 0).all() and (window[:2] + window[2:] <= [1500, 2250]).all()
        assert (size <= 512).all() and (size >= 1).all()
        scales.append(size[0] / window[2] / (512 / 2250))
        corners.append(window[1])
    assert 0.09 < min(scales) < 0.2 and 1.85 < max(scales) < 2.05
    assert len(set(corners)) > 50


def test_graph_equals_eager_and_seeds_decide():
    def draw(seed):
        geometry = transforms.jitter([150, 225], [64, 64], seed=seed)
        return transforms.random_flip(geometry, seed=seed)

    for seed in range(6):
        eager = draw(tf.constant([1, seed]))
        for a, b in zip(eager, tf.function(draw)(tf.constant([1, seed])), strict=True):
            np.testing.assert_array_equal(a, b)
    windows = {tuple(draw(tf.constant([1, seed])).window.numpy()) for seed in range(20)}
    assert len(windows) > 8


@pytest.mark.parametrize(
    'call, match',
    [
        (
            lambda: transforms.fit([4, 4], [2, 2], resize='short'),
            r"fit: expected `resize`.*'short'",
        ),
        (
            lambda: transforms.jitter([4, 4], [2, 2], seed=[0, 0], scale_range=(2, 1)),
            r'jitter: expected `scale_range` 0 < low <= high; got \(2, 1\)',
        ),
        (
            lambda: transforms.random_flip(
                transforms.fit([4, 4], [2, 2]), seed=[0, 0], probability=1.5
            ),
            r'random_flip: expected `probability`.*got 1.5',
        ),
    ],
)
def test_wrong_arguments_are_refused(call, match):
    with pytest.raises(ValueError, match=match):
        call()


@pytest.mark.parametrize('module', [geometries, image, transforms], ids=lambda m: m.__name__)
def test_examples_in_the_documentation(module):
    found = doctest.testmod(module, extraglobs={'rle': rle, 'transforms': transforms, 'tf': tf})
    assert found.attempted and not found.failed
