"""Masks as run boundaries, drawn on the device that trains, against masks drawn in the input graph.

    python benchmarks/rle_device.py --json rows.json

100 masks of 1500 × 2250 on a 256 × 256 grid. Prints the bytes that travel, what the input graph
spends on either way, and what the device spends on drawing, with and without XLA; the device is
whatever TensorFlow finds, and is printed. Medians over blocks, after a warm-up.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import sys

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
REPO = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(REPO), str(REPO / 'benchmarks')]

import _report  # noqa: E402
import masks  # noqa: E402
import tensorflow as tf  # noqa: E402
import throughput  # noqa: E402

from segment_anything_tfds.ops import rle  # noqa: E402

TARGET = (256, 256)


def drawing(runs: tf.Tensor, size: tf.Tensor, *, jit_compile: bool, rounds: int) -> _report.Cost:
    """Median milliseconds of drawing all masks on the device; the CPU's share is the host's."""
    draw = tf.function(lambda r, s: rle.decode_runs(r, s, TARGET), jit_compile=jit_compile)
    taken = [_report.seconds(lambda: draw(runs, size).numpy()) for _ in range(rounds + 2)]
    wall, cpu = _report.median(taken[2:])
    return _report.Cost(1000 * wall, 1000 * cpu)


def measure(num_masks: int, rounds: int, report: _report.Report) -> None:
    counts = masks.make(num_masks)
    size = tf.constant(masks.SIZE)
    most = int(tf.reduce_max(rle.run_lengths(counts).row_lengths()))
    max_runs = -(-most // 64) * 64
    runs = rle.to_runs(counts, size, max_runs)
    drawn = rle.decode_runs(runs, size, TARGET)
    same = bool(tf.reduce_all(drawn == rle.decode_resized(counts, size, TARGET)))
    report.value('equal to decode_resized', same, '>= 1')
    full = num_masks * masks.SIZE[0] * masks.SIZE[1]
    report.value(f'kB that travel as runs, R = {max_runs}', runs.shape.num_elements() / 250)
    report.value('kB that travel as masks of 256 × 256', drawn.shape.num_elements() / 1000)
    report.value('kB of the masks at full size', full / 1000)
    element = tf.data.Dataset.from_tensors((counts, size))
    to_runs = throughput.cost(element, lambda c, s: rle.to_runs(c, s, max_runs))
    report.time('input graph: to_runs', to_runs, 'ms')
    in_graph = throughput.cost(element, lambda c, s: rle.decode_resized(c, s, TARGET))
    report.time('input graph: decode_resized', in_graph, 'ms')
    for jit_compile in (False, True):
        name = f'device: decode_runs{", XLA" if jit_compile else ""}'
        found = drawing(runs, size, jit_compile=jit_compile, rounds=rounds)
        report.time(name, found, 'ms')


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--masks', type=int, default=100)
    parser.add_argument('--rounds', type=int, default=20)
    _report.add_arguments(parser)
    args = parser.parse_args()
    gpus = tf.config.list_physical_devices('GPU')
    device = tf.config.experimental.get_device_details(gpus[0])['device_name'] if gpus else 'CPU'
    note = f'device: {device}. {args.note}'.strip()
    print(note)
    report = _report.Report(['tensorflow'], note=note, file=args.json)
    measure(args.masks, args.rounds, report)
    report.write()
    return 0 if report.ok else 1


if __name__ == '__main__':
    sys.exit(main())
