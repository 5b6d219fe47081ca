"""How the cost of drawing grows with masks, runs and target, and how much memory it takes."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
import tempfile

import masks
from throughput import cost

from segment_anything_tfds.ops import rle

MEMORY_PROBE = """
import pathlib, sys
import numpy as np, tensorflow as tf
from segment_anything_tfds.ops import rle

def status(key):
    lines = pathlib.Path('/proc/self/status').read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith(key)).split()[1])

counts = pathlib.Path(sys.argv[1]).read_bytes().split()
draw = tf.function(lambda c, s: rle.decode_resized(c, s, (256, 256)))
draw(tf.constant(counts[:1]), (1500, 2250))
counts = tf.constant(counts)
pathlib.Path('/proc/self/clear_refs').write_text('5')  # forgets the peak so far
before = status('VmRSS')
drawn = draw(counts, (1500, 2250))
print((status('VmHWM') - before) / np.prod(drawn.shape))
"""


def run(report, elements, plot: pathlib.Path | None) -> None:
    """Measures, prints, and draws if asked."""
    series = {
        'masks': [(n, *_masks(elements, n)) for n in (1, 10, 100, 1000)],
        'runs a mask': [(n, *_runs(elements, n)) for n in (10, 100, 1000, 5000)],
        'target side': [(n, *_target(elements, n)) for n in (64, 128, 256, 512, 1024, 2048)],
    }
    for name, points in series.items():
        for value, size, found in points:
            report.time(f'{name} {value}: decode_resized to {size}²', found, 'ms')
    report.value('memory over that before, outputs, 100 masks to 256²', memory(), '<= 5')
    if plot:
        _draw(series, plot)


def memory() -> float:
    """Growth of the peak of memory, in outputs, of drawing 100 masks at 256 × 256; on Linux."""
    root = str(pathlib.Path(__file__).parent.parent)
    with tempfile.NamedTemporaryFile() as file:
        file.write(b'\n'.join(masks.make(100)))
        file.flush()
        done = subprocess.run(
            [sys.executable, '-c', MEMORY_PROBE, file.name],
            check=True,
            capture_output=True,
            text=True,
            env={**os.environ, 'PYTHONPATH': root},
        )
    return float(done.stdout.split()[-1])


def _time(data, side: int):
    return cost(
        data,
        lambda e: rle.decode_resized(e['counts'], e['size'], (side, side)),
        warm_up=0.5,
        seconds=1.0,
    )


def _masks(elements, count: int) -> tuple:
    some = masks.make(100)
    counts = (some * 10)[:count]
    return 256, _time(elements([counts], masks.SIZE), 256)


def _runs(elements, count: int) -> tuple:
    return 256, _time(elements([[masks.stripes(count)] * 100], masks.SIZE), 256)


def _target(elements, side: int) -> tuple:
    return side, _time(elements([masks.make(100)], masks.SIZE), side)


def _draw(series, path: pathlib.Path) -> None:
    import matplotlib

    matplotlib.use('Agg')
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, len(series), figsize=(12, 3.5), layout='constrained')
    for axis, (name, points) in zip(axes, series.items(), strict=True):
        axis.loglog([value for value, *_ in points], [p[2].wall for p in points], marker='o')
        axis.set(xlabel=name, ylabel='ms')
        axis.grid(visible=True, which='both', alpha=0.3)
    figure.savefig(path, dpi=120)
