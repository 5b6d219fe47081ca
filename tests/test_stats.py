"""Shapes of masks from their runs, and what is counted about them."""

import doctest
import json
import re
import warnings
from collections import Counter

import nested
import numpy as np
import pytest
import reference
from pycocotools import mask as mask_utils

from segment_anything_tfds.cli import main
from segment_anything_tfds.prepare import runner
from segment_anything_tfds.report import counting, dataset_stats, mask_shapes, plots


def _hull_area(mask: np.ndarray) -> float:
    """Area of the convex hull of all corners of all pixels: Andrew's monotone chain."""
    rows, columns = np.nonzero(mask)
    corners = {
        (x + i, y + j) for x, y in zip(columns, rows, strict=True) for i in (0, 1) for j in (0, 1)
    }
    corners = sorted((int(x), int(y)) for x, y in corners)

    def half(points):
        chain = []
        for point in points:
            while len(chain) > 1:
                (ax, ay), (bx, by) = chain[-2:]
                if (bx - ax) * (point[1] - ay) - (by - ay) * (point[0] - ax) > 0:
                    break
                chain.pop()
            chain.append(point)
        return chain[:-1]

    hull = half(corners) + half(corners[::-1])
    return (
        abs(sum(a[0] * b[1] - b[0] * a[1] for a, b in zip(hull, hull[1:] + hull[:1], strict=True)))
        / 2
    )


def _counts(masks: np.ndarray) -> list[bytes]:
    return [mask_utils.encode(np.asfortranarray(mask))['counts'] for mask in masks]


def _check_measures(masks: np.ndarray) -> None:
    measured = mask_shapes.measure(_counts(masks), masks.shape[1:])
    for n, mask in enumerate(masks):
        assert measured.areas[n] == mask.sum()
        if mask.any():
            rows, columns = np.nonzero(mask)
            expected = (columns.mean() + 0.5, rows.mean() + 0.5)
            np.testing.assert_allclose(measured.centers[n], expected, rtol=1e-12)
            assert measured.hull_areas[n] == _hull_area(mask)
        else:
            assert np.isnan(measured.centers[n]).all() and measured.hull_areas[n] == 0


@pytest.mark.parametrize('seed', range(60))
def test_measure_random_masks(seed):
    rng = np.random.default_rng(seed)
    height, width = rng.integers(1, 14, 2)
    _check_measures((rng.random([6, height, width]) < rng.random()).astype(np.uint8))


def test_measure_shapes():
    rows, columns = np.mgrid[:60, :80]
    ring = np.hypot(rows - 30, columns - 40)
    masks = [
        ring < 25,
        (ring < 25) & (ring > 15),
        np.ones([60, 80]),
        np.zeros([60, 80]),
        (columns == 3) & (rows > 4),
        (rows == 59) | (columns == 79),
        np.abs(rows - 30) + np.abs(columns - 40) < 20,
        np.abs(np.sin(columns / 6) * 20 - rows + 30) < 4,
    ]
    _check_measures(np.array(masks, np.uint8))


def test_measure_no_masks():
    measured = mask_shapes.measure([], [5, 7])
    assert measured.areas.shape == (0,) and measured.centers.shape == (0, 2)
    assert measured.hull_areas.shape == (0,)


def test_measure_refuses_malformed_masks():
    with pytest.raises(
        ValueError, match=r'runs that sum to height x width; got mask 1 .* sum to 5'
    ):
        mask_shapes.measure([b'4', b'5'], [2, 2])
    with pytest.raises(ValueError, match=r'ends with the end of a number; got mask 0'):
        mask_shapes.measure([b'P'], [2, 2])


def test_docstring_examples():
    result = doctest.testmod(mask_shapes)
    assert result.attempted and not result.failed


def _statistics(seed: int, images: int = 3) -> dataset_stats.Statistics:
    rng = np.random.default_rng(seed)
    statistics = dataset_stats.Statistics()
    for _ in range(images):
        masks = (rng.random([rng.integers(0, 9), 20, 30]) < 0.3).astype(np.uint8)
        masks[:1] = 0
        size = len(masks)
        scores = rng.uniform(0.8, 1.3, size), rng.uniform(0.9, 1, size)
        statistics.add([20, 30], _counts(masks), *scores)
    return statistics


def test_axis_counts_every_value_once():
    axis = dataset_stats.Axis('', 0, 1, 10)
    counted = axis.count(np.array([-0.1, 0, 0.05, 0.1, 0.95, 1.0, 1.01, 7]))
    np.testing.assert_array_equal(counted, [1, 2, 1, 0, 0, 0, 0, 0, 0, 0, 2, 2])


def test_statistics_equal_plain_numpy():
    rng = np.random.default_rng(7)
    masks = (rng.random([50, 20, 30]) < rng.random([50, 1, 1])).astype(np.uint8)
    iou, stability = rng.uniform(0.8, 1.1, 50), rng.uniform(0.9, 1, 50)
    statistics = dataset_stats.Statistics()
    statistics.add([20, 30], _counts(masks[:30]), iou[:30], stability[:30])
    statistics.add([20, 30], _counts(masks[30:]), iou[30:], stability[30:])
    full = masks[masks.any((1, 2))]
    assert (statistics.images, statistics.masks) == (2, 50)
    assert statistics.empty_masks == 50 - len(full)
    assert statistics.masks_per_image == {30: 1, 20: 1}
    assert statistics.image_sizes == {(20, 30): 2}
    relative = np.sqrt(masks.mean((1, 2)))
    concavity = np.array([1 - mask.sum() / _hull_area(mask) for mask in full])
    covered = np.array([masks[:30].any(0).mean(), masks[30:].any(0).mean()])
    values = {'relative_size': relative, 'concavity': concavity, 'coverage': covered}
    values.update(predicted_iou=iou, stability_score=stability)
    for name, expected in values.items():
        assert statistics.histograms[name].sum() == len(expected)
        assert statistics.mean(name) == pytest.approx(expected.mean())
        width = (dataset_stats.AXES[name].high - dataset_stats.AXES[name].low) / dataset_stats.AXES[
            name
        ].bins
        for share in dataset_stats.QUANTILES:
            exact = np.quantile(expected, share, method='inverted_cdf')
            assert abs(statistics.quantile(name, share) - exact) < width
    centers = np.zeros([dataset_stats.CENTER_BINS] * 2, int)
    for mask in full:
        rows, columns = np.nonzero(mask)
        y, x = (rows.mean() + 0.5) / 20, (columns.mean() + 0.5) / 30
        centers[int(y * dataset_stats.CENTER_BINS), int(x * dataset_stats.CENTER_BINS)] += 1
    np.testing.assert_array_equal(statistics.centers, centers)


def test_depth_and_children_equal_the_reference():
    statistics, depths, children = dataset_stats.Statistics(), Counter(), Counter()
    for seed in range(4):
        masks = nested.boxes_in_boxes(seed, 12, (40, 50))
        statistics.add([40, 50], _counts(masks), np.ones(12), np.ones(12))
        parents, depth = reference.hierarchy(masks)
        depths.update(depth)
        children.update([parents.count(n) for n in range(12)])
    assert statistics.depth == depths and statistics.children == children
    assert max(depths) >= 2 and max(children) >= 2, 'the masks are nested'


def test_masks_without_scores_are_counted_apart():
    statistics = dataset_stats.Statistics()
    masks = np.ones([3, 4, 5], np.uint8)
    statistics.add([4, 5], _counts(masks), [0.9, -1, -1], [0.96, -1, -1])
    assert (statistics.masks, statistics.unscored_masks) == (3, 2)
    assert statistics.mean('predicted_iou') == 0.9
    assert statistics.mean('stability_score') == 0.96
    assert statistics.histograms['relative_size'].sum() == 3
    assert (statistics + statistics).to_json()['unscored_masks'] == 4


def _as_text(statistics: dataset_stats.Statistics) -> str:
    """All numbers; sums rounded, since their last digits depend on the order."""
    content = statistics.to_json()
    return re.sub(r'\d+\.\d+', lambda number: f'{float(number[0]):.9f}', json.dumps(content))


def test_merging_in_any_order_and_grouping():
    a, b, c = (_statistics(seed) for seed in range(3))
    reference = _as_text(a + b + c)
    assert _as_text(c + (b + a)) == reference
    assert (
        _as_text(dataset_stats.total([dataset_stats.total([c, a]), dataset_stats.total([]), b]))
        == reference
    )
    assert (a + b + c).images == 9 and a.images == 3, 'the parts stay as they are'


def test_json_round_trip():
    statistics = _statistics(5)
    statistics.faults['json_invalid'] = 2
    text = json.dumps(statistics.to_json(), allow_nan=False)
    assert json.dumps(dataset_stats.Statistics.from_json(json.loads(text)).to_json()) == text
    empty = json.dumps(dataset_stats.Statistics().to_json(), allow_nan=False)
    assert dataset_stats.Statistics.from_json(json.loads(empty)).images == 0


@pytest.mark.parametrize(
    'content', [{}, [], {**dataset_stats.Statistics().to_json(), 'centers': 3}]
)
def test_from_json_refuses_other_things(content):
    with pytest.raises(ValueError, match=r'from_json`: expected what .* got something else'):
        dataset_stats.Statistics.from_json(content)


def test_from_json_refuses_other_bins():
    content = dataset_stats.Statistics().to_json()
    content['concavity']['counts'] = [1, 2]
    with pytest.raises(ValueError, match=r'expected counts of shape \[1002\]; got \[4\]'):
        dataset_stats.Statistics.from_json(content)


def test_pipeline_adds_up_what_its_workers_count(tmp_path):
    path = str(tmp_path / 'stats.json')
    with runner.quiet():
        found = counting.run([0, 1, 2, 3], _statistics, runner.pipeline(), path)
        again = counting.run([0, 1, 2, 3], _statistics, runner.pipeline(), path)
    expected = dataset_stats.total(map(_statistics, range(4)))
    expected.units = 4
    expected = _as_text(expected)
    assert _as_text(found) == _as_text(again) == expected
    assert json.loads((tmp_path / 'stats.json').read_text())['images'] == 12
    assert [path.name for path in tmp_path.iterdir()] == ['stats.json']


class _LosesOne:
    def __init__(self, units):
        self._units = units

    def __len__(self):
        return len(self._units)

    def __iter__(self):
        return iter(self._units[1:])


def test_pipeline_that_loses_units_is_an_error(tmp_path):
    with (
        runner.quiet(),
        pytest.raises(RuntimeError, match=r'counting.run`: expected 4 units .*; got 3'),
    ):
        path = str(tmp_path / 'stats.json')
        counting.run(_LosesOne([0, 1, 2, 3]), _statistics, runner.pipeline(), path)


@pytest.mark.parametrize('statistics', [dataset_stats.Statistics(), _statistics(1)])
def test_plots_and_page(statistics):
    pytest.importorskip('matplotlib')
    assert plots.to_png(statistics).startswith(b'\x89PNG')
    page = plots.to_html(statistics, 'a <b> & c')
    assert 'a &lt;b&gt; &amp; c' in page and page.count('data:image/png;base64,') == 10
    assert not re.search(r'(?:src|href)="?https?:|@import|url\(', page)
    assert f'<b>{statistics.masks}</b>' in page


def test_real_masks(shared_data):
    frames = json.loads((shared_data / 'sav_000001_auto.json').read_text())['masklet']
    rles = [rle for frame in frames for rle in frame]
    measured = mask_shapes.measure([rle['counts'].encode() for rle in rles], rles[0]['size'])
    for n in range(0, len(rles), 50):
        mask = mask_utils.decode(rles[n])
        assert measured.areas[n] == mask.sum()
        assert measured.hull_areas[n] == (_hull_area(mask) if mask.any() else 0)


def test_two_data_sets_in_one_plot(tmp_path, capsys):
    """`--against` draws both over one another, each by its own shares, and names both."""
    pytest.importorskip('matplotlib')
    for name, seed in (('people', 1), ('machine', 2)):
        path = tmp_path / f'{name}.json'
        path.write_text(json.dumps(_statistics(seed).to_json()))
    arguments = ['stats', '--merge', str(tmp_path / 'people.json')]
    arguments += ['--against', str(tmp_path / 'machine.json'), '--json']
    assert main.main(arguments) == 2
    assert 'expected --png or --html beside --against' in capsys.readouterr().err
    pictures = ['--png', str(tmp_path / 'a.png'), '--html', str(tmp_path / 'a.html')]
    with warnings.catch_warnings():
        warnings.simplefilter('error', UserWarning)  # where names leave no room for the plots
        assert main.main([*arguments, *pictures]) == 0
    assert json.loads(capsys.readouterr().out) == _statistics(1).to_json()
    page = (tmp_path / 'a.html').read_text()
    assert page.count('data:image/png;base64,') == 11 and page.count('machine.json</h2>') == 1
    assert (tmp_path / 'a.png').read_bytes().startswith(b'\x89PNG')
