"""What masks and prompts cost beside the JPEG, inside `Dataset.map`, against other ways.

1500 x 2250 JPEGs with 100 masks each; the image to 1024, 64 masks at 256 x 256, one point and one
box each. In one run: (a) image only, (b) ours, (c) `tf.numpy_function` around pycocotools and
`tf.image.resize`, the same output, (d) PyTorch as peers do it: PIL, pycocotools, all masks, then
choose. Medians of alternating rounds are compared, in wall and in CPU time an image. Memory: each
in a process of its own.

    python benchmarks/input_pipeline.py --json rows.json
"""

from __future__ import annotations

import argparse
import os
import pathlib
import resource
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')

import _report
import archives
import numpy as np
from _torch_side import CHOSEN, GRID, HEIGHT, SIDE, WIDTH, prompts, torch_cost
from pycocotools import mask as coco_mask

BLOCKS = {'numpy_function': (2, 12)}  # examples that are not counted, and that are


def make_examples(num_images: int, num_masks: int) -> list[dict]:
    """Examples in the dataset's structure, JPEGs as bytes."""
    examples = []
    for index in range(num_images):
        rows = archives.annotations(index, num_masks)
        boxes = np.array([row['bbox'] for row in rows], np.float32)
        corners = boxes[:, [1, 0, 1, 0]] + np.pad(boxes[:, [3, 2]], [(0, 0), (2, 0)])
        examples.append(
            {
                'image': {
                    'content': archives.jpeg(index),
                    'height': np.uint64(HEIGHT),
                    'width': np.uint64(WIDTH),
                    'image_id': np.uint64(index),
                },
                'annotations': {
                    'area': np.array([row['area'] for row in rows], np.uint64),
                    'bbox': corners / np.float32([HEIGHT, WIDTH, HEIGHT, WIDTH]),
                    'point_coords': np.array([row['point_coords'] for row in rows], np.float64),
                    'predicted_iou': np.array([row['predicted_iou'] for row in rows]),
                    'stability_score': np.array([row['stability_score'] for row in rows]),
                    'segmentation': {
                        'counts': [row['segmentation']['counts'].encode() for row in rows]
                    },
                },
            }
        )
    return examples


def as_dataset(examples: list[dict]):
    """The examples again and again, from memory."""
    import tensorflow as tf

    columns = tf.nest.map_structure(lambda *values: np.stack(values), *map(_arrays, examples))
    return tf.data.Dataset.from_tensor_slices(columns).repeat()


def _arrays(example: dict) -> dict:
    counts = np.array(example['annotations']['segmentation']['counts'], object)
    annotations = {**example['annotations'], 'segmentation': {'counts': counts}}
    image = {**example['image'], 'content': np.array(example['image']['content'], object)}
    return {'image': image, 'annotations': annotations}


def image_only(example, reduced: bool = False):
    """(a) Decode, resize to 1024, pad: what any pipeline must do."""
    import tensorflow as tf

    ratio = 2 if reduced else 1
    image = tf.io.decode_jpeg(
        example['image']['content'], channels=3, ratio=ratio, dct_method='INTEGER_ACCURATE'
    )
    image = tf.image.resize(image, [683, SIDE], antialias=not reduced)
    image = tf.cast(image + 0.5, tf.uint8)
    return tf.pad(image, [[0, SIDE - 683], [0, 0], [0, 0]])


def ours(reduced: bool = False):
    """(b) The recipe: image, 64 masks, one point and one box for each."""
    from segment_anything_tfds import training

    recipe = training.recipes.get(
        'sam', point_probability=0.0, box_probability=0.0, reduced_decode=reduced
    )
    return lambda example: recipe(example, example['seed'])


def numpy_function(example):
    """(c) The same output with pycocotools in Python and `tf.image.resize`."""
    import tensorflow as tf

    def decode(counts, seed):
        rng = np.random.default_rng(np.abs(seed))
        chosen = rng.choice(len(counts), CHOSEN, replace=False)
        rles = [{'size': [HEIGHT, WIDTH], 'counts': counts[i]} for i in chosen]
        drawn = np.ascontiguousarray(coco_mask.decode(rles).transpose(2, 0, 1))
        points, boxes = prompts(drawn, coco_mask.toBbox(rles), rng)
        return drawn, points, boxes

    counts = example['annotations']['segmentation']['counts']
    types = [tf.uint8, tf.float32, tf.float32]
    drawn, points, boxes = tf.numpy_function(decode, [counts, example['seed']], types)
    drawn = tf.ensure_shape(drawn, [CHOSEN, HEIGHT, WIDTH])[..., tf.newaxis]
    small = tf.image.resize(drawn, [171, GRID], method='nearest')[..., 0]
    small = tf.pad(small, [[0, 0], [0, GRID - 171], [0, 0]])
    return image_only(example), small, points, boxes


def make_pipelines(examples: list[dict]) -> dict:
    """Endless iterators by name, each one map over the same examples."""
    import tensorflow as tf

    seeds = tf.data.Dataset.random(7).batch(2)
    dataset = tf.data.Dataset.zip(as_dataset(examples), seeds)
    dataset = dataset.map(lambda example, seed: {**example, 'seed': seed})
    ways = {
        'image only': image_only,
        'ours': ours(),
        'image only, reduced': lambda example: image_only(example, True),
        'ours, reduced': ours(True),
        'numpy_function': numpy_function,
    }
    cores = os.cpu_count()
    return {name: iter(dataset.map(way, num_parallel_calls=cores)) for name, way in ways.items()}


def measure(examples: list[dict], rounds: int) -> dict[str, list[_report.Cost]]:
    """Milliseconds an example by name, one cost a round.

    The ways alternate in short blocks, so that what else the machine does meets all alike; each
    block starts with some examples that are not counted.
    """
    streams = make_pipelines(examples)
    found: dict[str, list[_report.Cost]] = {name: [] for name in streams}
    with_torch = _report.version('torch') is not None
    if with_torch:
        found['torch'] = []
    for _ in range(rounds):
        for name, stream in streams.items():
            ahead, count = BLOCKS.get(name, (10, 80))
            for _ in range(ahead):
                next(stream)
            start, cpu = time.perf_counter(), time.process_time()
            for _ in range(count):
                next(stream)
            spent, cpu = time.perf_counter() - start, time.process_time() - cpu
            found[name].append(_report.Cost(1000 * spent / count, 1000 * cpu / count))
        time.sleep(3)  # until what numpy_function computes ahead is done
        if with_torch:
            found['torch'].append(torch_cost(examples, 12))
    return found


def peak_memory(batch_size: int, num_masks: int) -> float:
    """Peak resident memory, GB, of a process that draws 30 batches of the recipe."""
    command = [sys.executable, __file__, '--child', str(batch_size), str(num_masks)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


def child(batch_size: int, num_masks: int) -> None:
    from segment_anything_tfds import training

    recipe = training.recipes.get('sam')
    dataset = as_dataset(make_examples(2, num_masks))
    for _ in recipe.batches(dataset, batch_size, seed=0).take(30):
        pass
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6)


def report_on(found: dict[str, list[_report.Cost]], report: _report.Report) -> None:
    """The ratios' targets are of CPU time, which other programs on the machine change least."""
    costs = {name: _report.median(pairs) for name, pairs in found.items()}
    for name, cost in costs.items():
        report.time(f'{name}: an image', cost, 'ms')
    full, reduced = costs['ours'], costs['ours, reduced']
    pairs = {
        'image only / ours': (costs['image only'], full, 0.75),
        'image only / ours, both reduced': (costs['image only, reduced'], reduced, 0.8),
        'numpy_function / ours': (costs['numpy_function'], full, 40),
        'torch / ours': (costs.get('torch'), full, 20),
        'ours: full / reduced decoding': (full, reduced, None),
    }
    for name, (over, under, least) in pairs.items():
        if over is not None:
            report.value(f'{name}, wall', over.wall / under.wall)
            target = None if least is None else f'>= {least}'
            report.value(f'{name}, CPU', over.cpu / under.cpu, target)
    beside = reduced.cpu - costs['image only, reduced'].cpu
    report.value('CPU ms of masks and prompts beside the image, reduced', beside, '<= 2.5')


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--images', type=int, default=6)
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--no-memory', action='store_true')
    parser.add_argument('--child', nargs=2, type=int, help=argparse.SUPPRESS)
    _report.add_arguments(parser)
    args = parser.parse_args()
    if args.child:
        return child(*args.child)
    packages = ('tensorflow', 'keras', 'pycocotools', 'pillow', 'torch')
    report = _report.Report(packages, note=args.note, file=args.json)
    report_on(measure(make_examples(args.images, 100), args.rounds), report)
    if not args.no_memory:
        few, many = peak_memory(8, 100), peak_memory(8, 400)
        report.value('peak memory, batch 8, 100 masks an image, GB', few)
        report.value('peak memory, batch 8, 400 masks an image, GB', many)
        report.value('memory, 400 / 100 masks', many / few, '<= 1.15')
    report.write()
    return None


if __name__ == '__main__':
    main()
