"""Trains the small SAM that comes with the package, from a seed, on scenes painted for it.

    python examples/train_tiny_sam.py --out segment_anything_tfds/training/tiny/tiny_sam.npz

Paints scenes as `dummy_data/make.py` does, trains `training.tiny_sam(pretrained=False)` by clicks
and boxes, and judges it on scenes that it has not seen. What makes so few steps enough:

    Muon                 learns the matrices several times as fast as AdamW
    first weights        patches by their principal components; attention by position
    loss                 nearly all dice, which small masks count in as large ones do
    true masks           finer than the logits, which are enlarged for the loss
    larger images        at the end alone, with positions interpolated: most steps are cheap ones
    XLA                  which takes two thirds of the processor's time a step

The weights that ship are of these stages, run in parts that began with the float16 file of the part
before: the first two stages, which had run without XLA, the third, the fourth, and the fifth. The
first three saw half of the scenes. All took some 14,700 s of CPU, 135 minutes of 2 cores.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import time
from typing import NamedTuple

import numpy as np
import painted_scenes

LOGGED = 100  # steps between two lines of the log, and between two interim files
FREQUENCIES = (1.0, 16.0)  # of the positional encoding: cycles over the image
PATCHES = 3000  # whose principal components are the first weights of the patch embedding
BY_POSITION = 2.5  # how strongly attention begins by position


class Stage(NamedTuple):
    """Numbers of a stage of training; learning rates fall from the first to the last.

    The rest of the prompts are clicks; the noise of a box is a share of its sides.
    """

    steps: int
    image_size: int
    mask_size: int
    num_masks: int
    corrections: int
    learning_rates: tuple[float, float]
    box_probability: float = 0.45
    box_jitter: float = 0.02


STAGES = (
    Stage(4000, 512, 512, 24, 0, (4.4e-3, 2e-4)),
    Stage(300, 512, 256, 24, 1, (4e-4, 2e-5)),
    Stage(240, 768, 384, 12, 1, (1.2e-3, 3e-5)),
    Stage(1500, 768, 384, 12, 1, (1.2e-3, 3e-5)),
    Stage(900, 1024, 512, 24, 1, (1.2e-3, 3e-5), 0.6, 0.01),
)


def main(argv: list[str] | None = None) -> dict:
    args = parse_arguments(argv)
    started = time.monotonic()
    # Products of float32 in bfloat16, where the processor has instructions for it.
    os.environ.setdefault('TF_SET_ONEDNN_FPMATH_MODE', 'BF16')
    scenes = painted_scenes.painted(painted_scenes.TRAINED, args.scenes, args.processes)
    held_out = painted_scenes.painted(painted_scenes.HELD_OUT, args.held_out, args.processes)
    log(f'painted {len(scenes)} + {len(held_out)} scenes', started)
    from segment_anything_tfds import training
    from segment_anything_tfds.training.tiny import tiny_sam

    backbone = tiny_sam.backbone(STAGES[0].image_size)
    tensors = first_weights(tiny_sam.tensors_of(backbone), scenes, args.seed)
    for index, stage in enumerate(STAGES):
        backbone = tiny_sam.backbone(stage.image_size)
        tiny_sam.fill(backbone, at_size(tensors, stage.image_size))
        steps = max(1, round(stage.steps * args.length))
        train(backbone, stage._replace(steps=steps), scenes, args.seed + index, args.out)
        tensors = tiny_sam.tensors_of(backbone)
        log(f'trained: {stage}', started)
    report = judged(training.PromptableSegmenter(backbone), held_out)
    log(json.dumps(report, indent=2), started)
    return report


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--out', default='tiny_sam.npz', help='where to write the weights')
    parser.add_argument('--scenes', type=int, default=1600, help='to train on')
    parser.add_argument('--held-out', type=int, default=100, help='scenes to judge on')
    parser.add_argument('--length', type=float, default=1.0, help='times the steps')
    parser.add_argument('--processes', type=int, default=2, help='that paint')
    parser.add_argument('--seed', type=int, default=0)
    return parser.parse_args(argv)


def log(text: str, started: float) -> None:
    """Prints a line with the seconds since the start, and the processor's."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    busy = sum(usage.ru_utime + usage.ru_stime for usage in used)
    print(f'{time.monotonic() - started:.0f} s, CPU {busy:.0f} s: {text}', flush=True)


def first_weights(tensors: dict[str, np.ndarray], scenes: list, seed: int) -> dict:
    """Weights to begin with, by Meta's names."""
    rng = np.random.default_rng(seed)
    found = {name: _drawn(name, value, rng) for name, value in tensors.items()}
    matrix = 'prompt_encoder.pe_layer.positional_encoding_gaussian_matrix'
    found[matrix] = frequencies(found[matrix].shape[1], rng)
    patches = 'image_encoder.patch_embed.proj'
    weight, bias = components(scenes, found[f'{patches}.weight'].shape[0], rng)
    found[f'{patches}.weight'], found[f'{patches}.bias'] = weight, bias
    for name in found:
        if name.endswith('_image.q_proj.weight') or name.endswith('_token.q_proj.weight'):
            keys = name.replace('q_proj', 'k_proj')
            rows, columns = found[name].shape
            same = BY_POSITION * positions(rows, columns, rng)
            found[name], found[keys] = found[name] / 2 + same, found[keys] / 2 + same
    return found


def _drawn(name: str, value: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A kernel or bias as PyTorch begins it, an embedding normal; others as they are."""
    if '_token' in name.split('.')[1] or name.endswith('_embed.weight') or '.point_e' in name:
        return rng.normal(0, 0.5, value.shape)
    if name == 'image_encoder.pos_embed':
        return rng.normal(0, 0.02, value.shape)
    if value.ndim < 2 or 'rel_pos' in name:
        return value
    bound = 1 / np.sqrt(np.prod(value.shape[1:]))
    return rng.uniform(-bound, bound, value.shape)


def frequencies(count: int, rng: np.random.Generator) -> np.ndarray:
    """Of the positional encoding, [2, count]: all lengths alike, in directions as drawn."""
    angles = rng.uniform(0, 2 * np.pi, count)
    cycles = np.geomspace(*FREQUENCIES, count) / 2  # coordinates go from -1 to 1
    return cycles * np.stack([np.cos(angles), np.sin(angles)])


def components(scenes: list, count: int, rng: np.random.Generator):
    """Kernel [count, 3, 16, 16] and bias that give the principal components of patches.

    Large components are made smaller, by the root of their standard deviation.
    """
    import tensorflow as tf

    mean, std = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]
    drawn: list[np.ndarray] = []
    while len(drawn) < PATCHES:
        image = tf.io.decode_jpeg(scenes[rng.integers(len(scenes))][0], ratio=2).numpy()
        height, width = (side - side % 16 for side in image.shape[:2])
        cells = ((image[:height, :width] - mean) / std).reshape(height // 16, 16, -1, 16, 3)
        drawn.extend(cells.transpose(0, 2, 4, 1, 3).reshape(-1, 768)[::7])
    patches = np.stack(drawn)
    middle = patches.mean(0)
    variances, axes = np.linalg.eigh(np.cov(patches, rowvar=False))
    largest = np.argsort(variances)[::-1][:count]
    kernel = 0.5 * axes.T[largest] / variances[largest, None] ** 0.25
    return kernel.reshape(count, 3, 16, 16), -kernel @ middle


def positions(rows: int, columns: int, rng: np.random.Generator) -> np.ndarray:
    """A projection [rows, columns] that picks sine and cosine of some frequencies.

    Where queries and keys begin with the same one, a point attends to the cells around it:
    sin a sin b + cos a cos b = cos(a - b), whose sum over frequencies is largest at a = b.
    """
    picked = rng.permutation(columns // 2)[: rows // 2]
    found = np.zeros((rows, columns))
    found[np.arange(0, rows, 2), picked] = 1
    found[np.arange(1, rows, 2), columns // 2 + picked] = 1
    return found


def at_size(tensors: dict[str, np.ndarray], image_size: int) -> dict[str, np.ndarray]:
    """The tensors for square images of another side, positions interpolated.

    Absolute positions become equal in blocks of 2 x 2 patches, of which a compressed file holds one
    each. Positions in windows stay: windows are as many patches wide as before.
    """
    import tensorflow as tf

    name = 'image_encoder.pos_embed'
    old, grid = tensors[name].shape[1], image_size // 16
    if grid == old:
        return tensors
    blocks = tf.image.resize(tensors[name], (grid, grid), 'bicubic').numpy()
    blocks = blocks.reshape(1, grid // 2, 2, grid // 2, 2, -1).mean((2, 4))
    found = {**tensors, name: blocks.repeat(2, 1).repeat(2, 2)}
    for name, value in tensors.items():
        if 'rel_pos' in name and len(value) == 2 * old - 1:
            size = (2 * grid - 1, value.shape[1])
            found[name] = tf.image.resize(value[..., None], size).numpy()[..., 0]
    return found


def train(backbone, stage: Stage, scenes: list, seed: int, out: str) -> None:
    """Trains a `SAMBackbone` for a stage, and writes its weights now and then.

    Absolute positions that were interpolated stay as they are.
    """
    import keras
    import small_mask_loss

    from segment_anything_tfds import training
    from segment_anything_tfds.training.tiny import tiny_sam

    keras.utils.set_random_seed(seed)
    for layer in backbone.image_encoder.layers:
        if hasattr(layer, 'pos_embed'):
            layer.trainable = stage.image_size == STAGES[0].image_size
    recipe = recipe_of(stage)
    model = training.PromptableSegmenter(backbone, **recipe.model_options, seed=seed)
    model.compile(
        optimizer_of(stage),
        small_mask_loss.DiceOfLargerLogits(),
        metrics=[training.MeanMaskIoU()],
        jit_compile=True,
    )
    epochs = -(-stage.steps // LOGGED)
    batches = recipe.batches(painted_scenes.dataset_of(scenes, seed), 1, seed=seed)
    model.fit(
        batches.enumerate().map(lambda index, row: (lit(row[0], [seed, index]), *row[1:])),
        epochs=epochs,
        steps_per_epoch=-(-stage.steps // epochs),
        verbose=2,
        callbacks=[
            keras.callbacks.LambdaCallback(
                on_epoch_end=lambda *_: tiny_sam.save(tiny_sam.tensors_of(backbone), out)
            )
        ],
    )


def lit(inputs: dict, seed) -> dict:
    """Inputs whose image is brighter or darker, in a light of another colour."""
    import tensorflow as tf

    draws = tf.random.stateless_normal([4], tf.cast(seed, tf.int64))
    image = tf.cast(inputs['image'], tf.float32)
    return {**inputs, 'image': image * (1 + 0.1 * draws[0]) + 6 * draws[1:]}


def optimizer_of(stage: Stage):
    """Muon whose learning rate rises for a hundredth of the steps, then falls as a cosine."""
    import keras

    warm_up, (first, last) = stage.steps // 100 + 1, stage.learning_rates
    schedule = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0,
        warmup_target=first,
        warmup_steps=warm_up,
        decay_steps=max(1, stage.steps - warm_up),
        alpha=last / first,
    )
    return keras.optimizers.Muon(
        schedule,
        exclude_layers=['rel_pos'],
        adam_lr_ratio=0.23,
        adam_beta_2=0.98,
        weight_decay=0.045,
        adam_weight_decay=0.0045,
        global_clipnorm=1.0,
    )


def recipe_of(stage: Stage):
    """Clicks and boxes alike, on the whole image and on masks of any size."""
    from segment_anything_tfds import training

    return training.Recipe(
        image_size=stage.image_size,
        mask_size=stage.mask_size,
        num_masks=stage.num_masks,
        min_area=20,
        scale_range=(0.95, 1.05),
        flip_probability=0.5,
        point_probability=1 - stage.box_probability,
        box_probability=stage.box_probability,
        stored_point_probability=0.3,
        box_jitter=stage.box_jitter,
        box_jitter_pixels=stage.box_jitter * stage.image_size / 2.56,
        corrections=stage.corrections,
    )


def judged(model, scenes: list[tuple[bytes, dict]]) -> dict[str, dict]:
    """Mean IoUs by 1 and 3 clicks and by a box, at the size of the scenes."""
    from segment_anything_tfds import training

    examples = map(painted_scenes.as_example, scenes)
    found = training.evaluate.evaluate_model(model, examples, clicks=(1, 3))
    shown = ('count', 'mean_iou', 'oracle', 'boundary_iou')
    return {
        prompt: {name: row[name] for name in shown if name in row} for prompt, row in found.items()
    }


if __name__ == '__main__':
    main()
