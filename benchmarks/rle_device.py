"""Masks as run boundaries, drawn on the device that trains, against masks drawn in the input graph.

    python benchmarks/rle_device.py --json rows.json

100 masks of 1500 × 2250 on a 256 × 256 grid. Prints the bytes that travel, what the input graph
spends on either way, and what the device spends on drawing, with and without XLA; the device is
whatever TensorFlow finds, and is printed. Medians over blocks, after a warm-up.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import statistics
import sys
import time

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
REPO = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(REPO), str(REPO / 'benchmarks')]

import masks  # noqa: E402
import tensorflow as tf  # noqa: E402
import throughput  # noqa: E402

from segment_anything_tfds.ops import rle  # noqa: E402

TARGET = (256, 256)


def drawing(runs: tf.Tensor, size: tf.Tensor, *, jit_compile: bool, rounds: int) -> float:
    """Median milliseconds of drawing all masks on the device."""
    draw = tf.function(lambda r, s: rle.decode_runs(r, s, TARGET), jit_compile=jit_compile)
    times = []
    for _ in range(rounds + 2):
        start = time.perf_counter()
        draw(runs, size).numpy()
        times.append(time.perf_counter() - start)
    return 1000 * statistics.median(times[2:])


def measure(num_masks: int, rounds: int) -> list[dict]:
    counts = masks.make(num_masks)
    size = tf.constant(masks.SIZE)
    most = int(tf.reduce_max(rle.run_lengths(counts).row_lengths()))
    max_runs = -(-most // 64) * 64
    runs = rle.to_runs(counts, size, max_runs)
    drawn = rle.decode_runs(runs, size, TARGET)
    same = bool(tf.reduce_all(drawn == rle.decode_resized(counts, size, TARGET)))
    element = tf.data.Dataset.from_tensors((counts, size))
    to_runs = throughput.milliseconds(element, lambda c, s: rle.to_runs(c, s, max_runs))
    in_graph = throughput.milliseconds(element, lambda c, s: rle.decode_resized(c, s, TARGET))
    full = num_masks * masks.SIZE[0] * masks.SIZE[1]
    return [
        {'name': 'equal to decode_resized', 'value': same, 'target': True, 'ok': same},
        {
            'name': f'kB that travel as runs, R = {max_runs}',
            'value': runs.shape.num_elements() / 250,
        },
        {
            'name': 'kB that travel as masks of 256 × 256',
            'value': drawn.shape.num_elements() / 1000,
        },
        {'name': 'kB of the masks at full size', 'value': full / 1000},
        {'name': 'ms in the input graph: to_runs', 'value': to_runs},
        {'name': 'ms in the input graph: decode_resized', 'value': in_graph},
        *[
            {
                'name': f'ms on the device: decode_runs{", XLA" if jit_compile else ""}',
                'value': drawing(runs, size, jit_compile=jit_compile, rounds=rounds),
            }
            for jit_compile in (False, True)
        ],
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--masks', type=int, default=100)
    parser.add_argument('--rounds', type=int, default=20)
    parser.add_argument('--json', help='file to write the rows to')
    arguments = parser.parse_args()
    gpus = tf.config.list_physical_devices('GPU')
    print('device:', tf.config.experimental.get_device_details(gpus[0]) if gpus else 'CPU')
    rows = measure(arguments.masks, arguments.rounds)
    for row in rows:
        print(f'{row["name"]:45} {row["value"]:14,.1f}')
    if arguments.json:
        pathlib.Path(arguments.json).write_text(json.dumps({'rows': rows}, indent=1))
    return 0 if all(row.get('ok', True) for row in rows) else 1


if __name__ == '__main__':
    sys.exit(main())
