"""Statistics as pictures: one PNG, and one HTML page that needs nothing else."""

from __future__ import annotations

import base64
import html
import io

import numpy as np

from segment_anything_tfds.report import dataset_stats

_BLUE, _GRID = '#4c8dd6', '#d8dce3'
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
<div class="tiles">{tiles}</div>
<table><tr><th>per mask</th><th>mean</th>{heads}</tr>{rows}</table>
<p class="faint">Counts are exact; quantiles are off by less than the width of a bin,
{error} at most.</p>
<div class="plots">{plots}</div>
</body></html>
"""


def to_png(statistics: dataset_stats.Statistics) -> bytes:
    """All plots in one picture, as a PNG file."""
    figure, axes = _figure(2, 4, (19, 8.6))
    for axis, draw in zip(axes.flat, _PLOTS.values(), strict=False):
        draw(axis, statistics)
    for axis in axes.flat[len(_PLOTS) :]:
        axis.set_visible(False)
    return _save(figure)


def to_html(statistics: dataset_stats.Statistics, title: str) -> str:
    """A page with the numbers and one picture a plot.

    Args:
      statistics: what was counted.
      title: what it was counted on.

    Returns:
      The text of the HTML file.
    """
    tiles = {
        'images': f'{statistics.images:,}',
        'masks': f'{statistics.masks:,}',
        'masks an image': f'{statistics.masks / max(1, statistics.images):.1f}',
        'empty masks': f'{statistics.empty_masks:,}',
        'left out, with faults': f'{sum(statistics.faults.values()):,}',
    }
    rows = [
        [name, _number(statistics.mean(name))]
        + [_number(statistics.quantile(name, share)) for share in dataset_stats.QUANTILES]
        for name in dataset_stats.AXES
    ]
    return _PAGE.format(
        title=html.escape(title),
        tiles=''.join(f'<div class="tile"><b>{v}</b>{k}</div>' for k, v in tiles.items()),
        heads=''.join(f'<th>{share:.0%}</th>' for share in dataset_stats.QUANTILES),
        rows=''.join(f'<tr><td>{"</td><td>".join(row)}</td></tr>' for row in rows),
        error=max((axis.high - axis.low) / axis.bins for axis in dataset_stats.AXES.values()),
        plots=''.join(_figure_tag(name, statistics) for name in _PLOTS),
    )


def _number(value: float) -> str:
    return 'none' if np.isnan(value) else f'{value:.3f}'


def _figure_tag(name: str, statistics: dataset_stats.Statistics) -> str:
    figure, axes = _figure(1, 1, (5.2, 4))
    _PLOTS[name](axes[0, 0], statistics)
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


def _plot_centers(axis, statistics: dataset_stats.Statistics) -> None:
    side = dataset_stats.CENTER_BINS // (
        1 if statistics.masks > 10**5 else 4
    )  # few masks, larger bins
    joined = statistics.centers.reshape(side, dataset_stats.CENTER_BINS // side, side, -1).sum(
        (1, 3)
    )
    axis.imshow(
        joined,
        extent=(0, 1, 1, 0),
        cmap='magma',
        interpolation='nearest',
        vmin=0,
        vmax=max(1, np.quantile(joined, 0.995)),
    )
    axis.set_title('mask centres, relative to the image', fontsize=10)
    axis.set_xlabel('x')
    axis.set_ylabel('y')


def _plot_masks_per_image(axis, statistics: dataset_stats.Statistics) -> None:
    masks, images = np.array([*statistics.masks_per_image.items()], int).reshape(-1, 2).T
    bins = np.linspace(0, max(10, masks.max(initial=0) + 1), 31)
    axis.hist(masks, bins, weights=images / max(1, statistics.images), color=_BLUE)
    _style(axis, 'masks an image', 'share of images')


def _plot_image_sizes(axis, statistics: dataset_stats.Statistics) -> None:
    rows = [(w, h, n) for (h, w), n in statistics.image_sizes.items()]
    if rows:
        width, height, count = np.array(rows, float).T
        axis.scatter(width, height, 12 + 240 * count / count.max(), color=_BLUE, alpha=0.55)
        axis.set_xlim(0, width.max() * 1.12)
        axis.set_ylim(0, height.max() * 1.12)
    _style(axis, 'image sizes (area: number of images)', 'height')
    axis.set_xlabel('width')


def _plot_axis(name: str, view: tuple[float, float] | None = None, log: bool = False):
    """A plot of one histogram; its bins are joined to about 50 within the view."""

    def draw(axis, statistics: dataset_stats.Statistics) -> None:
        edges, counts = dataset_stats.AXES[name].edges(), statistics.histograms[name][1:-1]
        step = edges[1] - edges[0]
        low, high = view or _range(edges, counts)
        joined = max(1, round((high - low) / step / 50))
        starts = np.arange(0, len(counts), joined)
        share = np.add.reduceat(counts, starts) / max(1, counts.sum())
        axis.stairs(share, [*edges[starts], edges[-1]], fill=True, color=_BLUE)
        axis.set_xlim(low, high)
        if log and counts.any():
            axis.set_yscale('log', nonpositive='clip')
        _style(axis, dataset_stats.AXES[name].title, 'share of masks')

    return draw


def _range(edges: np.ndarray, counts: np.ndarray) -> tuple[float, float]:
    """From the first bin that holds anything to the last, with some room."""
    filled = np.flatnonzero(counts)
    if not filled.size:
        return float(edges[0]), float(edges[-1])
    low, high = float(edges[filled[0]]), float(edges[filled[-1] + 1])
    room = max(0.01, (high - low) / 20)
    return low - room, high + room


_PLOTS = {
    'centers': _plot_centers,
    'masks_per_image': _plot_masks_per_image,
    'relative_size': _plot_axis('relative_size', (0, 1), log=True),
    'concavity': _plot_axis('concavity', (0, 1)),
    'predicted_iou': _plot_axis('predicted_iou'),
    'stability_score': _plot_axis('stability_score'),
    'image_sizes': _plot_image_sizes,
}
