"""What masks and prompts cost beside the JPEG, inside `Dataset.map`, against other ways.

1500 x 2250 JPEGs with 100 masks each; the image to 1024, 64 masks at 256 x 256, one point and one
box each. In one run: (a) image only, (b) ours, (c) `tf.numpy_function` around pycocotools and
`tf.image.resize`, the same output, (d) PyTorch as peers do it: PIL, pycocotools, all masks, then
choose. Medians of alternating rounds are compared, in examples a second and in CPU time. Memory:
each in a process of its own.

    python benchmarks/input_pipeline.py --json rows.json
"""

from __future__ import annotations

import argparse
import dataclasses
import io
import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')

import archives
import masks as masks_lib
import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask

HEIGHT, WIDTH = masks_lib.SIZE
SIDE, GRID, CHOSEN = 1024, 256, 64


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


def prompts(drawn: np.ndarray, boxes: np.ndarray, rng) -> tuple[np.ndarray, np.ndarray]:
    """A random pixel of each mask, and its box with SAM's noise, in pixels of the 1024 image."""
    points = np.zeros([len(drawn), 2], np.float32)
    for index, mask in enumerate(drawn):
        rows, columns = np.nonzero(mask)
        if len(rows):
            pick = rng.integers(len(rows))
            points[index] = columns[pick], rows[pick]
    boxes = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], 1)
    sides = (boxes[:, 2:] - boxes[:, :2])[:, [0, 1, 0, 1]]
    noise = np.clip(rng.normal(size=boxes.shape) * 0.1 * sides, -20, 20)
    return points * (SIDE / WIDTH), ((boxes + noise) * (SIDE / WIDTH)).astype(np.float32)


class TorchDataset:
    """(d) As the peers' data sets: PIL, every mask with pycocotools, then 64 of them, resized."""

    def __init__(self, examples: list[dict], length: int):
        self.examples, self.length = examples, length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int):
        import torch
        from torch.nn import functional

        example = self.examples[index % len(self.examples)]
        rng = np.random.default_rng(index)
        image = Image.open(io.BytesIO(example['image']['content'])).convert('RGB')
        pixels = np.asarray(image.resize((SIDE, 683), Image.Resampling.BILINEAR))
        pixels = np.pad(pixels, [(0, SIDE - 683), (0, 0), (0, 0)])
        counts = example['annotations']['segmentation']['counts']
        rles = [{'size': [HEIGHT, WIDTH], 'counts': c} for c in counts]
        drawn = np.stack([coco_mask.decode(rle) for rle in rles])
        chosen = rng.choice(len(drawn), CHOSEN, replace=False)
        drawn = drawn[chosen]
        points, boxes = prompts(drawn, coco_mask.toBbox([rles[i] for i in chosen]), rng)
        small = functional.interpolate(torch.from_numpy(drawn)[:, None], (171, GRID))[:, 0]
        small = functional.pad(small, (0, 0, 0, GRID - 171))
        return torch.from_numpy(pixels), small, torch.from_numpy(points), torch.from_numpy(boxes)


def torch_rate(examples: list[dict], count: int) -> float:
    """Examples a second of the PyTorch way, a worker a core."""
    import torch

    workers = os.cpu_count()
    data = TorchDataset(examples, count + workers)
    loader = torch.utils.data.DataLoader(data, batch_size=None, num_workers=workers)
    stream = iter(loader)
    for _ in range(workers):
        next(stream)
    start = time.perf_counter()
    done = sum(1 for _ in stream)
    return done / (time.perf_counter() - start)


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


def measure(examples: list[dict], rounds: int) -> dict[str, list[tuple[float, float]]]:
    """(examples a second, CPU milliseconds an example) by name, one pair a round.

    The ways alternate in short blocks, so that what else the machine does meets all alike; each
    block starts with some examples that are not counted.
    """
    blocks = {'numpy_function': (2, 4)}
    streams = make_pipelines(examples)
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in [*streams, 'torch']}
    for _ in range(rounds):
        for name, stream in streams.items():
            ahead, count = blocks.get(name, (10, 80))
            for _ in range(ahead):
                next(stream)
            start, cpu = time.perf_counter(), time.process_time()
            for _ in range(count):
                next(stream)
            spent, cpu = time.perf_counter() - start, time.process_time() - cpu
            found[name].append((count / spent, 1000 * cpu / count))
        time.sleep(3)  # until what numpy_function computes ahead is done
        found['torch'].append((torch_rate(examples, 4), 0.0))
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


@dataclasses.dataclass
class Row:
    name: str
    value: float
    target: str = ''
    ok: bool | None = None


def rows_of(found: dict[str, list[tuple[float, float]]]) -> list[Row]:
    rates = {name: statistics.median(r for r, _ in pairs) for name, pairs in found.items()}
    cpu = {name: statistics.median(c for _, c in pairs) for name, pairs in found.items()}
    rows = [Row(f'{name}, images/s', round(rate, 2)) for name, rate in rates.items()]
    rows += [Row(f'{name}, CPU ms/image', round(t, 2)) for name, t in cpu.items() if t]
    for name, target in (('image only', 0.75), ('numpy_function', 40), ('torch', 20)):
        pairs = zip(found['ours'], found[name], strict=True)
        ratio = statistics.median(ours / other for (ours, _), (other, _) in pairs)
        rows.append(Row(f'ours / {name}', round(ratio, 3), f'>= {target}', ratio >= target))
    rows.append(Row('CPU: image only / ours', round(cpu['image only'] / cpu['ours'], 3)))
    reduced = cpu['image only, reduced'] / cpu['ours, reduced']
    rows.append(Row('CPU: image only / ours, both reduced', round(reduced, 3)))
    rows.append(
        Row('ours: reduced / full decode', round(rates['ours, reduced'] / rates['ours'], 3))
    )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--images', type=int, default=6)
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--json', type=pathlib.Path)
    parser.add_argument('--no-memory', action='store_true')
    parser.add_argument('--child', nargs=2, type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        return child(*args.child)
    rows = rows_of(measure(make_examples(args.images, 100), args.rounds))
    if not args.no_memory:
        few, many = peak_memory(8, 100), peak_memory(8, 400)
        rows.append(Row('peak memory, batch 8, 100 masks an image, GB', round(few, 3)))
        rows.append(Row('peak memory, batch 8, 400 masks an image, GB', round(many, 3)))
        growth = many / few
        rows.append(Row('400 / 100 masks', round(growth, 3), '<= 1.15', growth <= 1.15))
    for row in rows:
        print(f'{row.name:48} {row.value:10} {row.target:8} {"" if row.ok is None else row.ok}')
    if args.json:
        args.json.write_text(json.dumps({'rows': [dataclasses.asdict(row) for row in rows]}))
    return None


if __name__ == '__main__':
    main()
