"""`training.evaluate` against the plain loop around Meta's `SamPredictor`: masks a second.

    SEGMENT_ANYTHING_REFERENCE=build/reference python benchmarks/evaluate.py --json rows.json

Images of SA-1B's size with ellipses; a box and clicks 1 to 5 for each. Both sides have the same
weights, in processes of their own. `.ci/reference` installs Meta's package; without it, ours runs
alone.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

REPO = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(REPO / 'tests'), str(REPO / 'benchmarks')]

import _report  # noqa: E402
import predict  # noqa: E402

TARGET = 3.0

_OURS = """
import json, sys, time
import numpy as np
from pycocotools import mask as coco_mask
from segment_anything_tfds import training
model = training.checkpoints.load(sys.argv[1])
with np.load(sys.argv[2]) as file:
    data = dict(file)

def example(image, masks):
    counts = [coco_mask.encode(np.asfortranarray(mask))['counts'] for mask in masks]
    return {'image': {'content': image}, 'annotations': {'segmentation': {'counts': counts}}}

examples = [
    example(data[f'image{n}'], data[f'masks{n}'].view(np.uint8))
    for n in range(int(data['images']))
]
judge = training.evaluate.evaluate_model
small = example(np.zeros((60, 90, 3), np.uint8), np.ones((33, 60, 90), np.uint8))
judge(model, [small], clicks=(1, 2, 5))  # compiles, for a full batch and for what is left over
started, cpu = time.perf_counter(), time.process_time()
found = judge(model, examples, clicks=(1, 2, 5))
times = time.perf_counter() - started, time.process_time() - cpu
print(json.dumps([found['box']['count'], *times, found['5_clicks']['mean_iou']]))
"""
_META = """
import json, sys, time
import numpy as np, torch
import meta_side as side
with np.load(sys.argv[2]) as file:
    data = dict(file)
state = {name: value.numpy() for name, value in torch.load(sys.argv[1]).items()}
data.update({side.PREFIX + name: value for name, value in state.items()})
out = {}
started, cpu = time.perf_counter(), time.process_time()
exec(open(sys.argv[3]).read())
times = time.perf_counter() - started, time.process_time() - cpu
print(json.dumps([len(found), *times, out['found'][:, 5].mean()]))
"""


def scenes(images: int, masks: int) -> dict[str, np.ndarray]:
    """Images and their true masks: ellipses, of the sizes that SA-1B's masks have."""
    rng = np.random.default_rng(0)
    made = {'images': np.array(images)}
    rows, columns = np.mgrid[:1500, :2250]
    for n in range(images):
        made[f'image{n}'] = rng.integers(0, 256, (1500, 2250, 3)).astype(np.uint8)
        drawn = []
        for _ in range(masks):
            y, x = rng.uniform(0, 1500), rng.uniform(0, 2250)
            a, b = np.exp(rng.uniform(2, 6, 2))  # 7 to 400 pixels
            drawn.append(((rows - y) / a) ** 2 + ((columns - x) / b) ** 2 < 1)
        made[f'masks{n}'] = np.array([mask for mask in drawn if mask.any()])
    return made


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--size', choices=predict.SIZES, default='small')
    parser.add_argument('--images', type=int, default=2)
    parser.add_argument('--masks', type=int, default=32, help='masks an image')
    parser.add_argument('--backends', nargs='+', choices=predict.BACKENDS, default=predict.BACKENDS)
    parser.add_argument('--threads', type=int, default=os.cpu_count() or 1)
    _report.add_arguments(parser)
    args = parser.parse_args(argv)
    from test_evaluate_sizes import LOOP

    packages = ('tensorflow', 'keras', 'keras-hub', 'jax', 'torch')
    report = _report.Report(packages, note=args.note, file=args.json)
    costs = {}
    with tempfile.TemporaryDirectory() as folder:
        weights, data, loop = (os.path.join(folder, name) for name in ('a.pth', 'b.npz', 'c.py'))
        pathlib.Path(loop).write_text(LOOP)
        np.savez(data, **scenes(args.images, args.masks))
        environment = {**os.environ, 'PYTHONPATH': str(REPO)}
        sizes = repr(predict.SIZES[args.size])
        command = [sys.executable, '-c', predict._WRITE, weights, sizes]
        subprocess.run(command, env=environment, check=True)
        for side, (python, _, environment) in predict.sides(args.threads, args.backends).items():
            code = _META if side == "Meta's" else _OURS
            done = subprocess.run(
                [python, '-c', code, weights, data, loop],
                env=environment,
                stdout=subprocess.PIPE,
                check=True,
            )
            masks, wall, cpu, iou = json.loads(done.stdout.splitlines()[-1])
            cost = _report.Cost(1000 * wall / masks, 1000 * cpu / masks)
            costs[side] = report.time(f'{args.size}, {side}: a mask', cost, 'ms')
            report.value(f'{args.size}, {side}: mean IoU after 5 clicks', iou)
    theirs = costs.pop("Meta's", None)
    if theirs is not None and costs:
        fastest = min(costs.values(), key=lambda cost: cost.wall)
        report.ratio(
            "plain loop of Meta's / the fastest backend", theirs, fastest, f'>= {TARGET:g}'
        )
    report.write()
    return 0


if __name__ == '__main__':
    sys.exit(main())
