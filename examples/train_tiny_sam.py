"""Trains the small SAM that comes with the package, from a seed, on scenes painted for it.

    python examples/train_tiny_sam.py --out segment_anything_tfds/training/tiny/tiny_sam.npz

Paints scenes as `dummy_data/make.py` does, trains `training.tiny_sam(pretrained=False)` by clicks
and boxes, and judges it on scenes that it has not seen. `STAGES` are what it does: a step on images
of 256 pixels costs a quarter of one at 512, and parts of scenes look there as they do in the end,
so the model learns on small images first, and is made larger for the last stage.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import pathlib
import pickle
import resource
import sys
import time
from typing import Any, NamedTuple

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / 'dummy_data')]

import make  # noqa: E402  (dummy_data/make.py)

TRAINED = 10**9  # image ids of the scenes that are trained on; those of dummy_data lie below
HELD_OUT = 2 * 10**9
LOGGED = 100  # steps between two lines of the log, and between two interim files
# Standard deviations of the positional encoding's frequencies, from the lowest to the highest:
# KerasHub begins with 0.05 throughout, where two clicks near each other look alike.
FREQUENCIES = (0.1, 2.0)


class Stage(NamedTuple):
    """Numbers of a stage of training; learning rates fall from the first to the last."""

    image_size: int
    scale_range: tuple[float, float]
    steps: int
    batch_size: int
    num_masks: int
    corrections: int
    learning_rates: tuple[float, float]


STAGES = (
    Stage(256, (0.8, 2.2), 1000, 4, 12, 0, (1e-3, 3e-4)),
    Stage(256, (0.8, 2.2), 1000, 4, 12, 0, (8e-4, 2e-4)),
    Stage(512, (0.9, 1.3), 400, 2, 8, 1, (4e-4, 4e-6)),
)


def main(argv: list[str] | None = None) -> dict:
    args = parse_arguments(argv)
    started = time.monotonic()
    # Products of float32 in bfloat16, where the processor has instructions for it.
    os.environ.setdefault('TF_SET_ONEDNN_FPMATH_MODE', 'BF16')
    scenes, held_out = painted(args)
    log(f'painted {len(scenes)} + {len(held_out)} scenes', started)
    from segment_anything_tfds import training
    from segment_anything_tfds.training.tiny import tiny_sam

    tensors = None
    for index, stage in enumerate(STAGES):
        large = stage.image_size == tiny_sam.IMAGE_SIZE
        if large and not is_large(tensors):
            tensors = enlarged(tensors)
        steps = max(1, round(stage.steps * args.length))

        def keep(found, large=large):
            tiny_sam.save(found if large else enlarged(found), args.out)

        tensors = train(tensors, stage._replace(steps=steps), scenes, args.seed + index, keep)
        keep(tensors)
        log(f'trained: {stage}', started)
    model = training.PromptableSegmenter(tiny_sam.backbone())
    tiny_sam.fill(model.backbone, tensors)
    report = judged(model, held_out)
    log(json.dumps(report, indent=2), started)
    return report


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--out', default='tiny_sam.npz', help='where to write the weights')
    parser.add_argument('--scenes', type=int, default=800, help='to train on')
    parser.add_argument('--held-out', type=int, default=100, help='scenes to judge on')
    parser.add_argument('--length', type=float, default=1.0, help='times the steps')
    parser.add_argument('--processes', type=int, default=2, help='that paint')
    parser.add_argument('--painted', help='a file that keeps the painted scenes for another run')
    parser.add_argument('--seed', type=int, default=0)
    return parser.parse_args(argv)


def log(text: str, started: float) -> None:
    """Prints a line with the seconds since the start, and the processor's."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    busy = sum(usage.ru_utime + usage.ru_stime for usage in used)
    print(f'{time.monotonic() - started:.0f} s, CPU {busy:.0f} s: {text}', flush=True)


def painted(args: argparse.Namespace) -> tuple[list, list]:
    """Scenes to train on, and scenes to judge on."""
    if args.painted and os.path.exists(args.painted):
        with open(args.painted, 'rb') as file:
            return pickle.load(file)
    with multiprocessing.get_context('spawn').Pool(args.processes) as pool:
        scenes = pool.map(paint, range(TRAINED, TRAINED + args.scenes), 8)
        held_out = pool.map(paint, range(HELD_OUT, HELD_OUT + args.held_out), 8)
    if args.painted:
        with open(args.painted, 'wb') as file:
            pickle.dump((scenes, held_out), file)
    return scenes, held_out


def paint(image_id: int) -> tuple[bytes, dict]:
    """A JPEG and its record, of one of the shapes and lights of `dummy_data`."""
    index = image_id % len(make.SHAPES)
    jpeg, record = make.make_pair(image_id, image_id // 5 % 4 + 2, index, seed=0)
    return jpeg, json.loads(record)


def as_example(scene: tuple[bytes, dict]) -> dict:
    """The scene as an example of the dataset."""
    jpeg, record = scene
    image, rows = record['image'], record['annotations']
    height, width = image['height'], image['width']
    boxes = np.array([row['bbox'] for row in rows], np.float32)
    low, high = boxes[:, 1::-1], boxes[:, 1::-1] + boxes[:, :1:-1]
    return {
        'image': {
            'content': jpeg,
            'height': np.uint64(height),
            'width': np.uint64(width),
            'image_id': np.uint64(image['image_id']),
        },
        'annotations': {
            'area': np.array([row['area'] for row in rows], np.uint64),
            'bbox': np.concatenate([low, high], 1) / np.float32([height, width, height, width]),
            'point_coords': np.array([row['point_coords'] for row in rows], np.float64),
            'predicted_iou': np.array([row['predicted_iou'] for row in rows]),
            'stability_score': np.array([row['stability_score'] for row in rows]),
            'segmentation': {
                'counts': np.array([row['segmentation']['counts'].encode() for row in rows])
            },
        },
    }


def train(tensors: dict | None, stage: Stage, scenes: list, seed: int, keep) -> dict[str, Any]:
    """Trains a stage from given tensors, or from none, and returns them by Meta's names.

    `keep` is called with them now and then.
    """
    import keras

    from segment_anything_tfds import training
    from segment_anything_tfds.training.tiny import tiny_sam

    keras.utils.set_random_seed(seed)
    backbone = tiny_sam.backbone(stage.image_size)
    if tensors is None:
        positions = backbone.prompt_encoder.positional_embedding_layer
        matrix = positions.positional_encoding_gaussian_matrix
        draws = np.random.default_rng(seed).standard_normal(matrix.shape)
        matrix.assign(draws * np.geomspace(*FREQUENCIES, matrix.shape[1]))
    else:
        tiny_sam.fill(backbone, tensors)
    recipe = recipe_of(stage)
    model = training.PromptableSegmenter(backbone, **recipe.model_options, seed=seed)
    model.compile(
        optimizer_of(stage), recipe.loss, metrics=[training.MeanMaskIoU()], jit_compile=False
    )
    epochs = -(-stage.steps // LOGGED)
    model.fit(
        recipe.batches(dataset_of(scenes, seed), stage.batch_size, seed=seed),
        epochs=epochs,
        steps_per_epoch=-(-stage.steps // epochs),
        verbose=2,
        callbacks=[
            keras.callbacks.LambdaCallback(
                on_epoch_end=lambda *_: keep(tiny_sam.tensors_of(backbone))
            )
        ],
    )
    return tiny_sam.tensors_of(backbone)


def optimizer_of(stage: Stage):
    """AdamW whose learning rate rises for a thirtieth of the steps, then falls as a cosine."""
    import keras

    warm_up, (first, last) = stage.steps // 30 + 1, stage.learning_rates
    schedule = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0,
        warmup_target=first,
        warmup_steps=warm_up,
        decay_steps=max(1, stage.steps - warm_up),
        alpha=last / first,
    )
    return keras.optimizers.AdamW(schedule, weight_decay=0.02, global_clipnorm=1.0)


def recipe_of(stage: Stage):
    """Clicks and boxes alike on masks of any size; all outputs' IoUs are learnt, as in SAM 2."""
    from segment_anything_tfds import training

    return training.Recipe(
        image_size=stage.image_size,
        mask_size=stage.image_size // 4,
        num_masks=stage.num_masks,
        scale_range=stage.scale_range,
        flip_probability=0.5,
        point_probability=0.55,
        box_probability=0.45,
        box_jitter=0.05,
        box_jitter_pixels=5.0,
        corrections=stage.corrections,
        focal_weight=0.0,
        bce_weight=1.0,
        iou_error='absolute',
        supervise_all_ious=True,
    )


def is_large(tensors: dict[str, np.ndarray]) -> bool:
    """Whether tensors are those of the model that comes with the package."""
    from segment_anything_tfds.training.tiny import tiny_sam

    return tensors['image_encoder.pos_embed'].shape[1] * 16 == tiny_sam.IMAGE_SIZE


def enlarged(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Tensors for an image of twice the side, that see what they saw in each part of it.

    positions of cells       each for 2 x 2 cells
    relative positions       the outermost also for all beyond it
    frequencies of points    twice, since coordinates are in parts of the image
    """
    found = dict(tensors)
    cells = tensors['image_encoder.pos_embed']
    found['image_encoder.pos_embed'] = cells.repeat(2, 1).repeat(2, 2)
    side = cells.shape[1]
    for name, table in tensors.items():
        if '.rel_pos_' in name and len(table) == 2 * side - 1:
            found[name] = np.pad(table, ((side, side), (0, 0)), 'edge')
    matrix = 'prompt_encoder.pe_layer.positional_encoding_gaussian_matrix'
    found[matrix] = 2 * tensors[matrix]
    return found


def dataset_of(scenes: list[tuple[bytes, dict]], seed: int):
    """The scenes as an endless shuffled `tf.data.Dataset` of examples."""
    import tensorflow as tf

    examples = [as_example(scene) for scene in scenes]

    def spec(value, ragged: bool):
        if isinstance(value, dict):
            return {
                name: spec(part, ragged or name == 'annotations') for name, part in value.items()
            }
        value = np.asarray(value)
        dtype = tf.string if value.dtype.kind == 'S' else value.dtype
        return tf.TensorSpec([None, *value.shape[1:]] if ragged else value.shape, dtype)

    dataset = tf.data.Dataset.from_generator(
        lambda: iter(examples), output_signature=spec(examples[0], False)
    )
    return dataset.cache().shuffle(len(examples), seed=seed).repeat()


def judged(model, scenes: list[tuple[bytes, dict]]) -> dict[str, dict]:
    """Mean IoUs by 1 and 3 clicks and by a box, at the size of the scenes."""
    from segment_anything_tfds import training

    found = training.evaluate.evaluate_model(model, map(as_example, scenes), clicks=(1, 3))
    shown = ('count', 'mean_iou', 'oracle', 'boundary_iou')
    return {
        prompt: {name: row[name] for name in shown if name in row} for prompt, row in found.items()
    }


if __name__ == '__main__':
    main()
