"""The data engine in small: a model annotates new pictures, and a second model learns from that.

    python examples/data_engine.py --out engine

Scenes are painted that no model has seen, so their true masks are known, to judge by alone:

    photographs/   the scenes as JPEGs, without masks
    machine/       what training.tiny_sam() finds in them: archives of SA-1B's format
    truth/         the same scenes with their true masks, and scenes that are held out
    report.json    checks, and how good the masks are, and the models that learnt from them

Two models are trained, one on the machine's masks alone, one on the truth. Both begin as the small
model after its mask decoder was spoilt by noise, so what they can do in the end they have learnt
from these masks. They are judged on the scenes that were held out.
"""

from __future__ import annotations

import argparse
import dataclasses
import io
import itertools
import json
import pathlib
import sys
import tarfile

import keras
import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

import segment_anything_tfds as sa1b
from segment_anything_tfds import annotate, training
from segment_anything_tfds.exchange.writers import tars

sys.path.append(str(pathlib.Path(__file__).resolve().parent.parent / 'dummy_data'))

import make  # (dummy_data/make.py)

FIRST_ID = 3_000_000  # far from all scenes that the small model was trained on
SMALL = 32**2  # pixels of what counts as a small mask
# The small model's scores are lower than those of SAM.
SETTINGS = {'pred_iou_thresh': 0.1, 'stability_score_thresh': 0.5, 'min_mask_region_area': 25}


def main(argv: list[str] | None = None) -> dict:
    args = parse_arguments(argv)
    out = pathlib.Path(args.out)
    paint(out, args.scenes, args.held_out)
    settings = annotate.settings.get('default', points_per_side=args.points_per_side, **SETTINGS)
    model = training.tiny_sam()
    annotate.write_archives(
        out / 'photographs', model, out / 'machine', settings=settings, first_id=FIRST_ID
    )
    (checked,) = sa1b.verify(out / 'machine', expected=args.scenes)
    sa1b.stats(out / 'machine', against=out / 'truth', html=out / 'stats.html')
    models = {name: learn(name, out, args) for name in ('start', 'machine', 'truth')}
    report = {
        'verified': checked.state,
        'masks': judge_masks(model, settings, out, args.judged),
        'models': models,
        'machine_of_truth': {
            prompt: found / models['truth'][prompt] for prompt, found in models['machine'].items()
        },
    }
    (out / 'report.json').write_text(json.dumps(report, indent=2))
    print(json.dumps(report, indent=2))
    return report


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--out', default='engine', help='folder for all that is made')
    parser.add_argument('--scenes', type=int, default=60, help='to annotate and to train on')
    parser.add_argument('--held-out', type=int, default=20, help='scenes to judge the models on')
    parser.add_argument('--judged', type=int, default=8, help='scenes to judge the masks on')
    parser.add_argument('--points_per_side', type=int, default=24, help='of the annotation')
    parser.add_argument('--steps', type=int, default=300, help='batches to train on')
    parser.add_argument('--noise', type=float, default=0.6, help='in shares of what is spoilt')
    parser.add_argument('--rate', type=float, default=1e-3, help='of learning, at its height')
    parser.add_argument('--batch-size', type=int, default=4)
    parser.add_argument('--seed', type=int, default=0)
    return parser.parse_args(argv)


def paint(out: pathlib.Path, scenes: int, held_out: int) -> None:
    """Writes the photographs, and archives of the truth: 0 of them, 1 of the held-out scenes."""
    for name in ('photographs', 'truth'):
        (out / name).mkdir(parents=True, exist_ok=True)
    numbers = iter(range(scenes + held_out))
    for archive, count in enumerate((scenes, held_out)):
        with tarfile.open(out / 'truth' / f'sa_{archive:06d}.tar', 'w') as tar:
            for number in itertools.islice(numbers, count):
                image_id = FIRST_ID + number
                jpeg, record = make.make_pair(image_id, number // 5 % 4 + 2, number % 5, seed=0)
                tars.add(tar, f'./sa_{image_id}.jpg', jpeg)
                tars.add(tar, f'./sa_{image_id}.json', record)
                if archive == 0:  # in the order of the ids that annotation gives them
                    (out / 'photographs' / f'{number:06d}.jpg').write_bytes(jpeg)


def judge_masks(model, settings: annotate.Settings, out: pathlib.Path, judged: int) -> dict:
    """How well the filters choose, and what crops find that the whole image does not.

    A mask is as good as its IoU with the true mask that fits it best; a true mask is found where
    the IoU of some mask with it is at least a half.
    """
    off = {'pred_iou_thresh': 0.0, 'stability_score_thresh': 0.0}
    every, cropped = (
        annotate.MaskGenerator(model, dataclasses.replace(settings, **changes))
        for changes in (off, {'crop_n_layers': 1})
    )
    kept: list[float] = []
    dropped: list[float] = []
    whole, crops = [], []
    for truth in itertools.islice(sa1b.records(out / 'truth', archives='0'), judged):
        image = np.asarray(Image.open(io.BytesIO(truth.jpeg)))
        size = image.shape[:2]
        small = [row['area'] < SMALL for row in truth.rows]
        found = every.generate(image)
        fits = best_fits(found, truth.rows, size)
        for row, fit in zip(found, fits, strict=True):
            (kept if is_kept(row, settings) else dropped).append(fit)
        chosen = [row for row in found if is_kept(row, settings)]
        whole += np.compress(small, best_fits(truth.rows, chosen, size)).tolist()
        crops += np.compress(small, best_fits(truth.rows, cropped.generate(image), size)).tolist()
    return {
        'iou_of_kept': float(np.mean(kept)),
        'iou_of_dropped': float(np.mean(dropped)),
        'recall_of_small': float(np.mean(np.array(whole) >= 0.5)),
        'recall_of_small_with_crops': float(np.mean(np.array(crops) >= 0.5)),
    }


def is_kept(row: dict, settings: annotate.Settings) -> bool:
    """Whether a mask passes the two filters."""
    return (
        row['predicted_iou'] > settings.pred_iou_thresh
        and row['stability_score'] >= settings.stability_score_thresh
    )


def best_fits(rows: list[dict], others: list[dict], size: tuple[int, int]) -> np.ndarray:
    """Of each of N masks, its greatest IoU with one of the others: float [N], 0 without others."""
    if not others:
        return np.zeros(len(rows))
    a, b = ([row['segmentation']['counts'] for row in group] for group in (rows, others))
    return sa1b.rle.iou(a, b, size).numpy().max(axis=1)


def learn(name: str, out: pathlib.Path, args: argparse.Namespace) -> dict:
    """Trains a spoilt model on the masks of a folder, and judges it on the held-out truth.

    `start` is judged as it is. The image encoder stays as it was.
    """
    segmenter = spoilt(args.noise, args.seed)
    side = segmenter.prompt_encoder.input_image_size[0]
    recipe = training.Recipe(
        image_size=side, mask_size=side // 4, num_masks=8, flip_probability=0.5
    )
    model = training.PromptableSegmenter(segmenter, **recipe.model_options)
    if name != 'start':
        fit(model, recipe, out, name, args)
    held_out = sa1b.load(
        '1',
        manual_dir=out / 'truth',
        data_dir=out / 'data' / 'held_out',
        decoders=recipe.decoders,
    )
    found = training.evaluate.evaluate_model(model, tfds.as_numpy(held_out), clicks=(1, 3))
    return {prompt: row['mean_iou'] for prompt, row in found.items()}


def spoilt(noise: float, seed: int):
    """The parts of the small model, noise added to every matrix of the mask decoder."""
    backbone = training.tiny_sam().backbone
    backbone.image_encoder.trainable = False
    rng = np.random.default_rng(seed)
    for variable in backbone.mask_decoder.trainable_variables:
        if len(variable.shape) > 1:
            value = keras.ops.convert_to_numpy(variable)
            variable.assign(value + rng.normal(0, noise * value.std(), value.shape))
    return backbone


def fit(model, recipe, out: pathlib.Path, name: str, args: argparse.Namespace) -> None:
    """Trains on the archive of a folder."""
    keras.utils.set_random_seed(args.seed)
    batches = sa1b.load(
        '0',
        manual_dir=out / name,
        data_dir=out / 'data' / name,
        recipe=recipe,
        batch_size=args.batch_size,
        seed=args.seed,
    )
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, args.steps, warmup_target=args.rate, warmup_steps=args.steps // 20
    )
    optimizer = keras.optimizers.AdamW(rate, global_clipnorm=1.0)
    model.compile(optimizer, loss=recipe.loss, jit_compile=False)
    model.fit(batches.repeat(), steps_per_epoch=args.steps, verbose=2)


if __name__ == '__main__':
    main()
