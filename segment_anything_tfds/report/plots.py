"""Statistics as pictures: one PNG, and one HTML page that needs nothing else."""

from __future__ import annotations

import base64
import functools
import html
import io
from collections.abc import Callable, Sequence

import numpy as np

from segment_anything_tfds.report import dataset_stats

_BLUE, _GRID = '#4c8dd6', '#d8dce3'
_COLORS = (_BLUE, '#d9822b')  # of the statistics, and of those that they are compared with

_LEGEND = 28  # letters of a name in a legend; matplotlib shrinks its plots for longer ones

Sets = Sequence[tuple[str, dataset_stats.Statistics]]
"""One or two data sets, each with its name."""
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>SA-1B statistics</title>
<style>
body {{ font: 15px/1.5 system-ui, "DejaVu Sans", sans-serif; color: #20242b; background: #f5f6f8;
  margin: 0 auto; max-width: 72rem; padding: 1.5rem; }}
h1 {{ font-size: 1.4rem; margin: 0 0 .2rem; }} h2 {{ font-size: 1rem; margin: 0 0 .5rem; }}
.faint {{ color: #68707d; margin: 0 0 1.2rem; }}
.tiles {{ display: flex; flex-wrap: wrap; gap: .8rem; margin-bottom: 1rem; }}
.tile, figure {{ background: #fff; border: 1px solid #e1e4ea; border-radius: 8px; }}
.tile {{ padding: .6rem 1rem; min-width: 8rem; }}
.tile b {{ display: block; font-size: 1.35rem; font-variant-numeric: tabular-nums; }}
.plots {{ display: grid; gap: .8rem;
  grid-template-columns: repeat(auto-fill, minmax(21rem, 1fr)); }}
figure {{ margin: 0; padding: .8rem; }} figure img {{ width: 100%; display: block; }}
table {{ border-collapse: collapse; background: #fff; border: 1px solid #e1e4ea; margin: 1rem 0;
  font-variant-numeric: tabular-nums; }}
td, th {{ padding: .3rem .8rem; text-align: right; border-bottom: 1px solid #eceef2; }}
td:first-child, th:first-child {{ text-align: left; }}
</style></head><body>
<h1>SA-1B statistics</h1><p class="faint">{title}</p>
{tables}
<p class="faint">Counts are exact; quantiles are off by less than the width of a bin,
{error} at most.</p>
<div class="plots">{plots}</div>
</body></html>
"""


def to_png(
    statistics: dataset_stats.Statistics,
    *,
    name: str = '',
    against: tuple[str, dataset_stats.Statistics] | None = None,
) -> bytes:
    """Draws all plots in one picture, as a PNG file.

    Args:
      statistics: what was counted.
      name: what it was counted on, for the legends.
      against: name and statistics of another data set, whose curves are drawn over these.

    Returns:
      The file.
    """
    panels = _panels(_sets(name, statistics, against))
    figure, axes = _figure(3, 4, (19, 12.6))
    for axis, draw in zip(axes.flat, panels.values(), strict=False):
        draw(axis)
    for axis in axes.flat[len(panels) :]:
        axis.set_visible(False)
    return _save(figure)


def to_html(
    statistics: dataset_stats.Statistics,
    title: str,
    against: tuple[str, dataset_stats.Statistics] | None = None,
) -> str:
    """Writes a page with the numbers and one picture a plot.

    Args:
      statistics: what was counted.
      title: what it was counted on.
      against: title and statistics of another data set, for the same plots.

    Returns:
      The text of the HTML file.
    """
    sets = _sets(title, statistics, against)
    return _PAGE.format(
        title=html.escape(' and '.join(name for name, _ in sets)),
        tables=''.join(_tables(*one, named=len(sets) > 1) for one in sets),
        error=max((axis.high - axis.low) / axis.bins for axis in dataset_stats.AXES.values()),
        plots=''.join(_figure_tag(*panel) for panel in _panels(sets).items()),
    )


def _sets(name, statistics, against) -> Sets:
    return [(name, statistics), *([against] if against else [])]


def _tables(name: str, statistics: dataset_stats.Statistics, *, named: bool) -> str:
    """Gives the numbers of one data set."""
    tiles = {
        'images': f'{statistics.images:,}',
        'masks': f'{statistics.masks:,}',
        'masks an image': f'{statistics.masks / max(1, statistics.images):.1f}',
        'empty masks': f'{statistics.empty_masks:,}',
        'without scores': f'{statistics.unscored_masks:,}',
        'left out, with faults': f'{sum(statistics.faults.values()):,}',
    }
    rows = [
        [axis, _number(statistics.mean(axis))]
        + [_number(statistics.quantile(axis, share)) for share in dataset_stats.QUANTILES]
        for axis in dataset_stats.AXES
    ]
    heads = ''.join(f'<th>{share:.0%}</th>' for share in dataset_stats.QUANTILES)
    return ''.join(
        [
            f'<h2>{html.escape(name)}</h2>' if named else '',
            '<div class="tiles">',
            *(f'<div class="tile"><b>{value}</b>{key}</div>' for key, value in tiles.items()),
            f'</div>\n<table><tr><th></th><th>mean</th>{heads}</tr>',
            *(f'<tr><td>{"</td><td>".join(row)}</td></tr>' for row in rows),
            '</table>',
        ]
    )


def _number(value: float) -> str:
    return 'none' if np.isnan(value) else f'{value:.3f}'


def _figure_tag(name: str, draw: Callable) -> str:
    figure, axes = _figure(1, 1, (5.2, 4))
    draw(axes[0, 0])
    data = base64.b64encode(_save(figure)).decode()
    return f'<figure><img alt="{name}" src="data:image/png;base64,{data}"></figure>'


def _figure(rows: int, columns: int, size: tuple[float, float]):
    from matplotlib import figure as figure_lib

    figure = figure_lib.Figure(figsize=size, layout='constrained')
    return figure, figure.subplots(rows, columns, squeeze=False)


def _save(figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format='png', dpi=100)
    return buffer.getvalue()


def _style(axis, title: str, ylabel: str = 'share') -> None:
    axis.set_title(title, fontsize=10)
    axis.set_ylabel(ylabel)
    axis.spines[['top', 'right']].set_visible(False)
    axis.grid(axis='y', color=_GRID, linewidth=0.6)
    axis.set_axisbelow(True)


def _panels(sets: Sets) -> dict[str, Callable]:
    """Gives what draws each plot: mask centres apart, curves of all data sets over one another."""
    panels = {}
    for number, (name, statistics) in enumerate(sets):
        title = 'mask centres' + (f': {_short(name)}' if sets[1:] else ', relative to the image')
        key = f'centers of {name}' if number else 'centers'
        panels[key] = functools.partial(_plot_centers, statistics=statistics, title=title)
    for key, draw in _PLOTS.items():
        panels[key] = functools.partial(_draw_all, draw=draw, sets=sets)
    return panels


def _draw_all(axis, draw: Callable, sets: Sets) -> None:
    names = [_short(name) for name, _ in sets]
    draw(axis, [statistics for _, statistics in sets], names)
    if len(sets) > 1:
        axis.legend(fontsize=8, frameon=False)


def _short(name: str) -> str:
    """Gives the end of a name, where paths differ."""
    return name if len(name) <= _LEGEND else f'…{name[1 - _LEGEND :]}'


def _plot_centers(axis, statistics: dataset_stats.Statistics, title: str) -> None:
    times = 1 if statistics.masks > 10**5 else 4  # few masks, larger bins
    side = dataset_stats.CENTER_BINS // times
    joined = statistics.centers.reshape(side, times, side, times).sum((1, 3))
    most = max(1, np.quantile(joined, 0.995))
    look = {'extent': (0, 1, 1, 0), 'cmap': 'magma', 'interpolation': 'nearest'}
    axis.imshow(joined, vmin=0, vmax=most, **look)
    axis.set_title(title, fontsize=10)
    axis.set_xlabel('x')
    axis.set_ylabel('y')


def _plot_masks_per_image(axis, sets: Sequence, names: Sequence[str]) -> None:
    counts = [np.array([*s.masks_per_image.items()], int).reshape(-1, 2).T for s in sets]
    most = max(masks.max(initial=0) for masks, _ in counts)
    bins = np.linspace(0, max(10, most + 1), 31)
    shares = [
        np.histogram(masks, bins, weights=images / max(1, statistics.images))[0]
        for (masks, images), statistics in zip(counts, sets, strict=True)
    ]
    _stairs(axis, shares, [bins] * len(sets), names)
    _style(axis, 'masks an image', 'share of images')


def _plot_counts(field: str, title: str):
    """Plots masks by a small whole number: 0, 1, ... and all above."""

    def draw(axis, sets: Sequence, names: Sequence[str]) -> None:
        largest = max(max(getattr(s, field), default=0) for s in sets)
        most = min(largest, 12)
        edges = np.arange(most + 2) - 0.5
        shares = []
        for statistics in sets:
            numbers, masks = np.array([*getattr(statistics, field).items()], int).reshape(-1, 2).T
            share = np.bincount(np.minimum(numbers, most), masks, most + 1)
            shares.append(share / max(1, statistics.masks))
        _stairs(axis, shares, [edges] * len(sets), names)
        last = f'{most}+' if largest > most else str(most)
        axis.set_xticks(range(most + 1), [*map(str, range(most)), last])
        _style(axis, title, 'share of masks')

    return draw


def _stairs(axis, shares: Sequence, edges: Sequence, names: Sequence[str]) -> None:
    """Draws one filled histogram; or several, as lines over one another."""
    for share, edge, name, color in zip(shares, edges, names, _COLORS, strict=False):
        alone = len(shares) == 1
        axis.stairs(share, edge, fill=alone, color=color, linewidth=1.6, label=name)


def _plot_image_sizes(axis, sets: Sequence, names: Sequence[str]) -> None:
    right = top = 0.0
    for statistics, name, color in zip(sets, names, _COLORS, strict=False):
        rows = [(w, h, n) for (h, w), n in statistics.image_sizes.items()]
        if rows:
            width, height, count = np.array(rows, float).T
            sizes = 12 + 240 * count / count.max()
            axis.scatter(width, height, sizes, color=color, alpha=0.55, label=name)
            right, top = max(right, width.max()), max(top, height.max())
    if right:
        axis.set_xlim(0, right * 1.12)
        axis.set_ylim(0, top * 1.12)
    _style(axis, 'image sizes (area: number of images)', 'height')
    axis.set_xlabel('width')


def _plot_axis(name: str, view: tuple[float, float] | None = None, log: bool = False):
    """Plots one histogram; its bins are joined to about 50 within the view."""

    def draw(axis, sets: Sequence, names: Sequence[str]) -> None:
        edges = dataset_stats.AXES[name].edges()
        counts = [statistics.histograms[name][1:-1] for statistics in sets]
        step = edges[1] - edges[0]
        low, high = view or _range(edges, sum(counts))
        joined = max(1, round((high - low) / step / 50))
        starts = np.arange(0, len(edges) - 1, joined)
        shares = [np.add.reduceat(count, starts) / max(1, count.sum()) for count in counts]
        _stairs(axis, shares, [[*edges[starts], edges[-1]]] * len(sets), names)
        axis.set_xlim(low, high)
        if log and any(count.any() for count in counts):
            axis.set_yscale('log', nonpositive='clip')
        what = 'images' if name in dataset_stats.OF_IMAGES else 'masks'
        _style(axis, dataset_stats.AXES[name].title, f'share of {what}')

    return draw


def _range(edges: np.ndarray, counts: np.ndarray) -> tuple[float, float]:
    """Gives the range from the first bin that holds anything to the last, with some room."""
    filled = np.flatnonzero(counts)
    if not filled.size:
        return float(edges[0]), float(edges[-1])
    low, high = float(edges[filled[0]]), float(edges[filled[-1] + 1])
    room = max(0.01, (high - low) / 20)
    return low - room, high + room


_PLOTS = {
    'masks_per_image': _plot_masks_per_image,
    'relative_size': _plot_axis('relative_size', (0, 1), log=True),
    'concavity': _plot_axis('concavity', (0, 1)),
    'coverage': _plot_axis('coverage', (0, 1)),
    'depth': _plot_counts('depth', 'depth: masks that a mask lies in, one in another'),
    'children': _plot_counts('children', 'children: masks that are the next parts of a mask'),
    'predicted_iou': _plot_axis('predicted_iou'),
    'stability_score': _plot_axis('stability_score'),
    'image_sizes': _plot_image_sizes,
}
