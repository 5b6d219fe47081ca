"""COCO RLE in NumPy, against pycocotools and drawn masks."""

import doctest
import importlib
import inspect
import json
import pkgutil
import subprocess
import sys

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
from pycocotools import mask as coco

from segment_anything_tfds.source.record import coco_rle, rle

RLE_MODULES = {module.name for module in pkgutil.iter_modules(rle.__path__)}
LOW_LEVEL = {'parse', 'encode_runs'}  # the checks of a build call them
SIDES = st.integers(1, 24)


@st.composite
def drawn_masks(draw):
    """Masks uint8 [N, H, W] of any density, N from 0 to 3."""
    shape = (draw(st.integers(0, 3)), draw(SIDES), draw(SIDES))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    density = draw(st.sampled_from([0.0, 0.02, 0.5, 0.98, 1.0]))
    return (rng.random(shape) < density).astype(np.uint8)


def encode(masks):
    return [coco.encode(np.asfortranarray(mask))['counts'] for mask in masks]


@hypothesis.given(drawn_masks())
def test_encode_equals_pycocotools(masks):
    assert coco_rle.encode(masks) == encode(masks)
    assert coco_rle.encode(masks * 255) == coco_rle.encode(masks > 0) == encode(masks)


@hypothesis.given(drawn_masks())
def test_decode_gives_the_masks_back(masks):
    counts, size = encode(masks), masks.shape[1:]
    decoded = coco_rle.decode(counts, size)
    np.testing.assert_array_equal(decoded, masks, strict=True)
    assert decoded.flags['C_CONTIGUOUS']
    assert coco_rle.area(counts).tolist() == masks.sum(axis=(1, 2)).tolist()
    as_text = [string.decode() for string in counts]
    np.testing.assert_array_equal(coco_rle.decode(as_text, np.array([size, size])), masks)


@hypothesis.given(drawn_masks(), SIDES, SIDES)
def test_decode_resized_samples_pixel_centres(masks, height, width):
    rows = (2 * np.arange(height) + 1) * masks.shape[1] // (2 * height)
    columns = (2 * np.arange(width) + 1) * masks.shape[2] // (2 * width)
    resized = coco_rle.decode_resized(encode(masks), masks.shape[1:], (height, width))
    np.testing.assert_array_equal(resized, masks[:, rows][:, :, columns], strict=True)


@hypothesis.given(drawn_masks(), st.sampled_from(['foreground', 'background']))
def test_sample_points_lie_where_they_should(masks, label):
    counts, size = encode(masks), masks.shape[1:]
    points, labels = coco_rle.sample_points(counts, size, 6, seed=3, label=label)
    assert (points.dtype, points.shape) == (np.float32, (len(masks), 6, 2))
    assert (labels.dtype, labels.shape) == (np.int32, (len(masks), 6))
    wanted = int(label == 'foreground')
    for mask, xy, found in zip(masks, points.astype(int), labels, strict=True):
        if (mask == wanted).any():
            assert (mask[xy[:, 1], xy[:, 0]] == wanted).all() and (found == wanted).all()
        else:
            assert (xy == 0).all() and (found == -1).all()


def test_sample_points_are_uniform_and_repeatable():
    masks = np.random.default_rng(0).random((1, 6, 9)) < 0.5
    counts = coco_rle.encode(masks)
    points, _ = coco_rle.sample_points(counts, (6, 9), 200_000, seed=[1, 2])
    x, y = points[0].astype(int).T
    found = np.bincount(y * 9 + x, minlength=54)[masks.ravel()]
    expected = 200_000 / masks.sum()
    degrees = int(masks.sum()) - 1
    assert ((found - expected) ** 2 / expected).sum() < degrees + 5 * np.sqrt(2 * degrees)
    again, _ = coco_rle.sample_points(counts, (6, 9), 200_000, seed=[1, 2])
    np.testing.assert_array_equal(points, again)
    other, _ = coco_rle.sample_points(counts, (6, 9), 200_000, seed=[1, 3])
    assert (points != other).any()


def test_delta_rule():
    """From the fourth run on, a run is stored as its difference to the run two before it."""
    assert coco_rle.encode_runs([[7, 3, 9, 4, 2]]) == [b'7391I']
    assert [runs.tolist() for runs in coco_rle.run_lengths([b'7391I'])] == [[7, 3, 9, 4, 2]]


@hypothesis.given(st.lists(st.lists(st.integers(0, coco_rle.MAX_PIXELS), min_size=1), max_size=5))
def test_runs_of_any_length_travel(runs):
    counts = coco_rle.encode_runs(runs)
    assert [found.tolist() for found in coco_rle.run_lengths(counts)] == runs
    sums, areas = coco_rle.parse(counts).sums()
    assert sums.tolist() == [sum(lengths) for lengths in runs]
    assert areas.tolist() == [sum(lengths[1::2]) for lengths in runs]


def test_real_masks(shared_data):
    content = json.loads((shared_data / 'sav_000001_auto.json').read_text())
    rles = [rle for frame in content['masklet'] for rle in frame]
    size = rles[0]['size']
    counts = [rle['counts'].encode() for rle in rles]
    assert len(counts) == 1089
    runs = coco_rle.parse(counts)
    assert not runs.problems
    sums, areas = runs.sums()
    assert set(sums.tolist()) == {size[0] * size[1]}
    assert areas.tolist() == [int(coco.area(rle)) for rle in rles]
    assert coco_rle.encode_runs(np.split(runs.lengths, runs.splits[1:-1])) == counts
    for start in range(0, 100, 20):
        decoded = coco_rle.decode(counts[start : start + 20], size)
        theirs = [coco.decode(rle) for rle in rles[start : start + 20]]
        np.testing.assert_array_equal(decoded, theirs)


PROBLEMS = [
    (b'p', 'rle_character'),
    (b'/', 'rle_character'),
    (b'22\xff', 'rle_character'),
    (b'', 'rle_unfinished'),
    (b'22P', 'rle_unfinished'),
    (b'PPPPPPP1', 'rle_overflow'),
    (b'oooooo7', 'rle_overflow'),
    (b'O', 'rle_negative_run'),
    (b'1111L', 'rle_negative_run'),
]


@pytest.mark.parametrize(('string', 'problem'), PROBLEMS)
@pytest.mark.parametrize('where', [0, 1, 2])
def test_problems_are_found_and_leave_the_others_alone(string, problem, where):
    counts = [b'22', b'31', b'04']
    counts[where] = string
    runs = coco_rle.parse(counts)
    assert runs.problems == {where: problem}
    sums, areas = runs.sums()
    others = [n for n in range(3) if n != where]
    assert sums[others].tolist() == [4, 4]
    assert areas[others].tolist() == [[2, 1, 4][n] for n in others]
    with pytest.raises(ValueError, match=rf'`coco_rle.decode`: .*`counts\[{where}\]`') as error:
        coco_rle.decode(counts, (2, 2))
    assert coco_rle.PROBLEMS[problem] in str(error.value) and repr(string) in str(error.value)


def test_all_problems_at_once():
    strings = [string for string, _ in PROBLEMS]
    mixed = [part for string in strings for part in (string, b'22')]
    runs = coco_rle.parse(mixed)
    assert runs.problems == {2 * n: problem for n, (_, problem) in enumerate(PROBLEMS)}
    assert set(runs.problems.values()) == set(coco_rle.PROBLEMS)
    assert (runs.sums()[0][1::2] == 4).all()


def test_sum_cannot_wrap_around():
    """Runs that grow until their sum passes 2^64 must not look like a mask of four pixels."""
    grow = b'0' + b'oooooo3' * 100_000
    assert coco_rle.parse([grow]).problems == {0: 'rle_overflow'}


def test_too_many_characters():
    with pytest.raises(ValueError, match=r'at most 134217728 bytes together; got 134217729'):
        coco_rle.parse([b'1' * (2**27 + 1)])


@pytest.mark.parametrize('operation', ['decode', 'decode_resized', 'sample_points'])
def test_sizes_are_checked(operation):
    more = {'decode': (), 'decode_resized': ((2, 2),), 'sample_points': (1,)}[operation]
    options = {'seed': 0} if operation == 'sample_points' else {}
    run = getattr(coco_rle, operation)
    with pytest.raises(ValueError, match=r'runs that sum to 6, .* in `counts\[1\]`; got 4'):
        run([b'6', b'22'], (2, 3), *more, **options)
    for size in ((0, 4), (4, -1), (2**31, 1), (2**20, 2**20)):
        with pytest.raises(ValueError, match=rf'`coco_rle.{operation}`: .* at least 1 x 1'):
            run([b'22'], size, *more, **options)
    for size in ((2,), (2, 2, 2), 4, (2.0, 2.0), [(2, 2), (2, 3)]):
        with pytest.raises(ValueError, match=r'two integers \[height, width\]; got'):
            run([b'22'], size, *more, **options)


def test_targets_are_checked_before_anything_is_drawn():
    with pytest.raises(ValueError, match=r'`target_size` .*; got 40000 x 40000 for 2 masks'):
        coco_rle.decode_resized([b'22', b'22'], (2, 2), (40_000, 40_000))


def test_long_sides_take_no_memory():
    size = (1, coco_rle.MAX_PIXELS)
    counts = coco_rle.encode_runs([[5, coco_rle.MAX_PIXELS - 5]])
    assert coco_rle.decode_resized(counts, size, (1, 4)).tolist() == [[[1, 1, 1, 1]]]
    assert coco_rle.decode_resized(counts, size[::-1], (4, 1)).tolist() == [[[1]] * 4]


def test_arguments_are_checked():
    with pytest.raises(ValueError, match=r'\[N, H, W\] with H, W >= 1; got shape \(2, 2\)'):
        coco_rle.encode(np.zeros((2, 2)))
    with pytest.raises(ValueError, match=r'got shape \(1, 0, 2\)'):
        coco_rle.encode(np.zeros((1, 0, 2)))
    with pytest.raises(ValueError, match=r"`label` to be one of .*; got 'boundary'"):
        coco_rle.sample_points([b'22'], (2, 2), 1, seed=0, label='boundary')
    with pytest.raises(ValueError, match=r'`num_points` of at least 1; got 0'):
        coco_rle.sample_points([b'22'], (2, 2), 0, seed=0)
    for runs in ([[2**40]], [[]], [[-1]]):
        with pytest.raises(ValueError, match=r'`coco_rle.encode_runs`: expected `runs`'):
            coco_rle.encode_runs(runs)


@hypothesis.given(st.lists(st.binary(max_size=12) | st.text('01OPo3', max_size=9).map(str.encode)))
def test_any_strings_are_told_apart(counts):
    runs = coco_rle.parse(counts)
    together = {n: slug for n, slug in sorted(runs.problems.items())}
    alone = {n: coco_rle.parse([string]).problems.get(0) for n, string in enumerate(counts)}
    assert together == {n: slug for n, slug in alone.items() if slug}
    for n, (start, stop) in enumerate(zip(runs.splits[:-1], runs.splits[1:], strict=True)):
        if n not in together:
            again = coco_rle.encode_runs([runs.lengths[start:stop]])
            assert coco_rle.run_lengths(again)[0].tolist() == runs.lengths[start:stop].tolist()


def test_needs_no_tensorflow():
    code = (
        'import sys; from segment_anything_tfds.source.record import annotations, coco_rle; '
        'print(sorted(m for m in ("tensorflow", "apache_beam", "tensorflow_datasets") '
        'if m in sys.modules))'
    )
    result = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == '[]'


@pytest.mark.parametrize('string', ['52203', b'52203', np.str_('52203')])
def test_one_string_is_not_taken_for_its_characters(string):
    for call in (
        coco_rle.area,
        coco_rle.run_lengths,
        lambda counts: coco_rle.decode(counts, (4, 4)),
        lambda counts: coco_rle.sample_points(counts, (4, 4), 1, seed=0),
    ):
        with pytest.raises(ValueError, match=r"expected `counts` to be a sequence .*52203'.*list"):
            call(string)


@pytest.mark.parametrize('module', sorted(RLE_MODULES))
def test_examples_in_docstrings(module):
    module = importlib.import_module(f'segment_anything_tfds.source.record.rle.{module}')
    names = {name: getattr(coco_rle, name) for name in coco_rle.__all__}
    found = doctest.testmod(module, extraglobs=names, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert found.failed == 0
    for name, value in names.items():
        if inspect.isfunction(value) and value.__module__ == module.__name__:
            assert '>>> ' in value.__doc__ or name in LOW_LEVEL
