"""`training.Predictor` on each Keras backend against Meta's `SamPredictor`: same CPU, same weights.

    SEGMENT_ANYTHING_REFERENCE=build/reference python benchmarks/predict.py --json rows.json

Every side runs in a process of its own, in turn, several times over; medians count. `set_image`
takes an image of SA-1B's size; `first click` and `second click` (with the logits of the first) give
full-size masks. `--size vit_b` is SAM's smallest, `small` a model of its shape at 256 pixels. Sides
whose packages are absent are skipped; `.ci/reference` installs Meta's.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence

sys.path.append(str(pathlib.Path(__file__).resolve().parent))
import _report

REPO = pathlib.Path(__file__).resolve().parent.parent
TARGETS = {'set_image': 1.0, 'second click': 1.0}  # times Meta's speed, on the fastest backend
SIZES = {
    'small': (256, 192, 4, 3, 768, 8, (1, 3), 256, 16, 2, 2048, 4, 3, 256),
    'vit_b': (1024, 768, 12, 12, 3072, 14, (2, 5, 8, 11), 256, 16, 2, 2048, 4, 3, 256),
}

_CLOCK = """
import json, sys, time
import numpy as np
image = np.random.default_rng(0).integers(0, 256, (1500, 2250, 3)).astype(np.uint8)
points, labels = np.array([[1100.0, 700.0], [900.0, 500.0]]), np.array([1, 0])

def clocked(function):
    started, cpu = time.perf_counter(), time.process_time()
    found = function()
    return found, (time.perf_counter() - started, time.process_time() - cpu)

def look(predictor):
    predictor.set_image(image)
    getattr(getattr(predictor, '_features', None), 'block_until_ready', int)()  # JAX is not done

def rounds(predictor, count):
    rows = []
    for _ in range(count + 1):  # the first compiles
        _, encode = clocked(lambda: look(predictor))
        found, first = clocked(lambda: predictor.predict(points[:1], labels[:1]))
        low = found[2][found[1].argmax()][None]
        second = clocked(
            lambda: predictor.predict(points, labels, mask_input=low, multimask_output=False)
        )[1]
        rows.append({'set_image': encode, 'first click': first, 'second click': second})
    print(json.dumps(rows[1:]))
"""
_OURS = (
    _CLOCK
    + """
from segment_anything_tfds import training
rounds(training.Predictor(training.checkpoints.load(sys.argv[1])), int(sys.argv[2]))
"""
)
_META = (
    _CLOCK
    + """
import torch, meta_side
state = {name: value.numpy() for name, value in torch.load(sys.argv[1]).items()}
sam = meta_side.sam_of(state)
from segment_anything import SamPredictor
rounds(SamPredictor(sam), int(sys.argv[2]))
"""
)
_WRITE = """
import sys
from segment_anything_tfds import training
from segment_anything_tfds.training.sam import architecture
backbone = architecture.build(architecture.Sizes(*eval(sys.argv[2])))
training.checkpoints.save(training.PromptableSegmenter(backbone), sys.argv[1])
"""


BACKENDS = ('tensorflow', 'jax', 'torch')


def sides(
    threads: int, backends: Sequence[str] = BACKENDS
) -> dict[str, tuple[str, str, dict[str, str]]]:
    """Interpreter, code and environment of each side that is at hand."""
    common = {**os.environ, 'OMP_NUM_THREADS': str(threads), 'TF_CPP_MIN_LOG_LEVEL': '3'}
    found = {}
    for backend in backends:
        tried = subprocess.run([sys.executable, '-c', f'import {backend}'], capture_output=True)
        if tried.returncode == 0:
            environment = {**common, 'KERAS_BACKEND': backend, 'PYTHONPATH': str(REPO)}
            found[backend] = sys.executable, _OURS, environment
    packages = os.environ.get('SEGMENT_ANYTHING_REFERENCE', REPO / 'build' / 'reference')
    path = os.pathsep.join([str(packages), str(REPO / 'tests')])
    environment = {**common, 'PYTHONPATH': path}
    python = '/usr/bin/python3'
    tried = subprocess.run([python, '-c', 'import meta_side'], env=environment, capture_output=True)
    if tried.returncode == 0:
        found["Meta's"] = python, _META, environment
    return found


def measure(size: str, rounds: int, repeats: int, threads: int, backends) -> list[dict]:
    """Rows of medians in seconds, wall and CPU, by side and step."""
    with tempfile.TemporaryDirectory() as folder:
        weights = os.path.join(folder, 'sam.pth')
        environment = {**os.environ, 'PYTHONPATH': str(REPO)}
        command = [sys.executable, '-c', _WRITE, weights, repr(SIZES[size])]
        subprocess.run(command, env=environment, check=True)
        seen: dict[tuple[str, str], list] = {}
        for _ in range(repeats):
            for side, (python, code, environment) in sides(threads, backends).items():
                done = subprocess.run(
                    [python, '-c', code, weights, str(rounds)],
                    env=environment,
                    stdout=subprocess.PIPE,
                    check=True,
                )
                for row in json.loads(done.stdout.splitlines()[-1]):
                    for step, times in row.items():
                        seen.setdefault((side, step), []).append(times)
    rows = []
    for (side, step), times in seen.items():
        wall, cpu = (statistics.median(column) for column in zip(*times, strict=True))
        rows.append({'size': size, 'side': side, 'step': step, 'wall_s': wall, 'cpu_s': cpu})
    return rows


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--size', choices=SIZES, default='small')
    parser.add_argument('--rounds', type=int, default=5, help='measured images a process')
    parser.add_argument('--repeats', type=int, default=2, help='processes a side, in turn')
    parser.add_argument('--backends', nargs='+', choices=BACKENDS, default=BACKENDS)
    parser.add_argument('--threads', type=int, default=os.cpu_count() or 1)
    _report.add_arguments(parser)
    args = parser.parse_args(argv)
    packages = ('tensorflow', 'keras', 'keras-hub', 'jax', 'torch')
    report = _report.Report(packages, note=args.note, file=args.json)
    rows = measure(args.size, args.rounds, args.repeats, args.threads, args.backends)
    walls: dict[str, dict[str, float]] = {}
    for row in rows:
        cost = _report.Cost(1000 * row['wall_s'], 1000 * row['cpu_s'])
        report.time(f'{row["size"]}, {row["side"]}: {row["step"]}', cost, 'ms')
        walls.setdefault(row['step'], {})[row['side']] = row['wall_s']
    for step, sides_of_step in walls.items():
        theirs = sides_of_step.pop("Meta's", None)
        if theirs is not None and sides_of_step:
            ratio = theirs / min(sides_of_step.values())
            target = f'>= {TARGETS[step]:g}' if step in TARGETS else None
            report.value(f"{step}: Meta's / the fastest backend, wall", ratio, target)
    report.write()
    return 0


if __name__ == '__main__':
    sys.exit(main())
