"""The curve by which promptable models are compared: mean IoU over the number of clicks."""

from __future__ import annotations

import io
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from segment_anything_tfds.source.archive import paths


class Line(NamedTuple):
    """One model.

    Attributes:
      label: its name in the legend.
      clicks: by number of clicks, a summary with `mean_iou`, `mean_iou_low`, `mean_iou_high` and
        `oracle`, as `training.evaluate.evaluate_model` gives it.
    """

    label: str
    clicks: Mapping[int, Mapping[str, Any]]


def kind_of(path: str | os.PathLike) -> str:
    """Gives the format that a picture's name ends with, such as `'png'`, without drawing it.

    Raises:
      ImportError: matplotlib is not installed; `pip install '.[report]'` has it.
      ValueError: matplotlib does not write it.
    """
    try:
        from matplotlib.backends import backend_agg
    except ImportError as error:
        raise ImportError(
            "curves.draw: expected matplotlib; got none. Install the extra 'report'."
        ) from error
    kind = pathlib.PurePath(path).suffix[1:].lower()
    known = backend_agg.FigureCanvasAgg.get_supported_filetypes()
    if kind not in known:
        raise ValueError(
            f'curves.draw: expected `path` to end with .{", .".join(sorted(known))}; got '
            f'{os.fspath(path)}. Name another format.'
        )
    return kind


def draw(lines: Sequence[Line], path: str | os.PathLike) -> None:
    """Draws mean IoU over clicks, with its interval, and dashed the oracle.

    Args:
      lines: the models; points without a mean are left out.
      path: of the picture, here or in a bucket, in any format of matplotlib's.

    Raises:
      ImportError, ValueError: as `kind_of`.
    """
    kind = kind_of(path)
    from matplotlib import figure

    sheet = figure.Figure(figsize=(6, 4), layout='constrained')
    axes = sheet.subplots()
    for line in lines:
        known = sorted(n for n, row in line.clicks.items() if row.get('mean_iou') is not None)
        rows = [line.clicks[n] for n in known]
        (drawn,) = axes.plot(known, [row['mean_iou'] for row in rows], 'o-', label=line.label)
        color = drawn.get_color()
        if all(row.get('mean_iou_low') is not None for row in rows):
            low, high = ([row[f'mean_iou_{end}'] for row in rows] for end in ('low', 'high'))
            axes.fill_between(known, low, high, color=color, alpha=0.15)
        axes.plot(
            known, [row['oracle'] for row in rows], '--', color=color, label=f'{line.label}, oracle'
        )
    axes.set(xlabel='clicks', ylabel='mean IoU', ylim=(0, 1))
    axes.legend()
    axes.grid(alpha=0.3)
    buffer = io.BytesIO()
    sheet.savefig(buffer, dpi=120, format=kind)
    paths.open_path(path).write_bytes(buffer.getvalue())
