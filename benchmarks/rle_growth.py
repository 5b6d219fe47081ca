"""How the cost of drawing grows with masks, runs and target, and how much memory it takes."""

from __future__ import annotations

import pathlib
import subprocess
import sys

import masks
import numpy as np
from throughput import milliseconds

from segment_anything_tfds.ops import rle

MEMORY_PROBE = """
import resource, sys
import numpy as np, tensorflow as tf
import masks
from segment_anything_tfds.ops import rle

draw = tf.function(lambda c, s: rle.decode_resized(c, s, (256, 256)))
few = draw(tf.constant(masks.make(1)), masks.SIZE)
counts = tf.constant(masks.make(100))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
drawn = draw(counts, masks.SIZE)
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print((after - before) * 1024 / np.prod(drawn.shape))
"""


def run(table, elements, plot: pathlib.Path | None) -> None:
    """Measures, prints, and draws if asked."""
    series = {
        'masks': [(n, *_masks(elements, n)) for n in (1, 10, 100, 1000)],
        'runs a mask': [(n, *_runs(elements, n)) for n in (10, 100, 1000, 5000)],
        'target side': [(n, *_target(elements, n)) for n in (64, 128, 256, 512, 1024, 2048)],
    }
    for name, points in series.items():
        for value, size, time in points:
            table.add(f'{name} {value}: decode_resized to {size}², ms', time)
    value = memory()
    table.add('memory over that before, outputs, 100 masks to 256²', value, '<= 5', value <= 5)
    if plot:
        _draw(series, plot)


def memory() -> float:
    """Growth of the peak of memory, in outputs, of drawing 100 masks at 256 × 256."""
    paths = [str(pathlib.Path(__file__).parent), str(pathlib.Path(__file__).parent.parent)]
    script = f'import sys\nsys.path[:0] = {paths!r}\n{MEMORY_PROBE}'
    done = subprocess.run(
        [sys.executable, '-c', script], check=True, capture_output=True, text=True
    )
    return float(done.stdout.split()[-1])


def _time(data, side: int) -> float:
    return milliseconds(
        data,
        lambda e: rle.decode_resized(e['counts'], e['size'], (side, side)),
        warm_up=0.5,
        seconds=1.0,
    )


def _masks(elements, count: int) -> tuple[int, float]:
    some = masks.make(100)
    counts = (some * 10)[:count]
    return 256, _time(elements([counts], masks.SIZE), 256)


def _runs(elements, count: int) -> tuple[int, float]:
    return 256, _time(elements([[masks.stripes(count)] * 100], masks.SIZE), 256)


def _target(elements, side: int) -> tuple[int, float]:
    return side, _time(elements([masks.make(100)], masks.SIZE), side)


def _draw(series, path: pathlib.Path) -> None:
    import matplotlib

    matplotlib.use('Agg')
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, len(series), figsize=(12, 3.5), layout='constrained')
    for axis, (name, points) in zip(axes, series.items(), strict=True):
        values, _, times = np.array(points).T
        axis.loglog(values, times, marker='o')
        axis.set(xlabel=name, ylabel='ms')
        axis.grid(visible=True, which='both', alpha=0.3)
    figure.savefig(path, dpi=120)
