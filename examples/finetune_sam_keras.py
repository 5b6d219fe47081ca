"""Fine-tunes SAM in Keras on prepared SA-1B data, judges it before and after, and draws both.

    python examples/finetune_sam_keras.py --data-dir DIR
    python examples/finetune_sam_keras.py --data-dir DIR --preset sam_base_sa1b

`DIR` holds the dataset `segment_anything`, as `tfds.load` or `tfds build` prepared it. Without a
preset, the model is a small SAM of KerasHub's layers with random weights, and all of it is trained,
on large masks and mostly with a coarse mask among the prompts, which a small model learns to use
within minutes. With a preset, the image encoder is frozen, and prompt encoder and mask decoder are
trained, at 1024 pixels, as SAM was.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import time

import keras
import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

import segment_anything_tfds  # noqa: F401  (registers the dataset)
from segment_anything_tfds import training
from segment_anything_tfds.report import draw

STEPS_PER_EPOCH = 80
SHOWN_SIZE = 384


def main(argv: list[str] | None = None) -> dict:
    args = parse_arguments(argv)
    keras.utils.set_random_seed(args.seed)
    out = pathlib.Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    model, recipe = make_model(args)
    train = load(recipe, args).repeat().shuffle(64, seed=args.seed)
    batches = recipe.batches(train, args.batch_size, seed=args.seed)
    judged = recipe.batches(load(recipe, args), args.batch_size, seed=args.seed + 1).cache()
    model.compile(
        keras.optimizers.AdamW(args.learning_rate, weight_decay=0.01, global_clipnorm=1.0),
        loss=training.SegmentAnythingLoss(),
        metrics=[training.MeanMaskIoU(), training.BoundaryIoU()],
        jit_compile='auto' if args.preset else False,  # compiling takes longer than the small model
    )
    before = model.evaluate(judged, return_dict=True, verbose=0)
    started = time.monotonic()
    checkpoint = keras.callbacks.ModelCheckpoint(str(out / 'sam.keras'))
    epochs = max(1, args.steps // STEPS_PER_EPOCH)
    steps = args.steps // epochs
    model.fit(batches, epochs=epochs, steps_per_epoch=steps, callbacks=[checkpoint], verbose=2)
    seconds = time.monotonic() - started
    model = keras.saving.load_model(out / 'sam.keras')
    after = model.evaluate(judged, return_dict=True, verbose=0)
    draw_predictions(model, judged, out / 'predictions.png')
    report = {'before': before, 'after': after, 'fit_seconds': round(seconds, 1)}
    (out / 'report.json').write_text(json.dumps(report, indent=2))
    print(json.dumps(report, indent=2))
    if not args.preset and after['loss'] > before['loss'] / 2:
        raise SystemExit('the loss did not fall by half')
    return report


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--data-dir', required=True, help='where the dataset was prepared')
    parser.add_argument('--out', default='finetuned', help='folder for checkpoint and pictures')
    parser.add_argument('--split', default='train')
    parser.add_argument('--preset', help='KerasHub preset with weights, such as sam_base_sa1b')
    parser.add_argument('--image-size', type=int, default=128, help='pixels; without a preset')
    parser.add_argument('--num-masks', type=int, default=12, help='masks an image')
    parser.add_argument('--corrections', type=int, default=0, help='clicks after the first prompt')
    parser.add_argument('--batch-size', type=int, default=5)
    parser.add_argument('--steps', type=int, default=480, help='batches to train on')
    parser.add_argument(
        '--learning-rate', type=float, help='default: 2e-3, or 1e-4 with the weights of a preset'
    )
    parser.add_argument('--seed', type=int, default=0)
    args = parser.parse_args(argv)
    args.learning_rate = args.learning_rate or (1e-4 if args.preset else 2e-3)
    return args


def make_model(args: argparse.Namespace) -> tuple[keras.Model, training.Recipe]:
    """The model, and the recipe at its resolution: a quarter of the image for the masks."""
    if args.preset:
        import keras_hub

        segmenter = keras_hub.models.SAMImageSegmenter.from_preset(args.preset)
        segmenter.backbone.image_encoder.trainable = False
        size = segmenter.backbone.image_encoder.image_shape[0]
        changes = {}
    else:
        segmenter, size = training.small_sam(args.image_size, num_layers=2), args.image_size
        changes = {'min_area_fraction': 0.01, 'mask_input_probability': 0.7}
    recipe = training.recipes.get(
        'sam', image_size=size, mask_size=size // 4, num_masks=args.num_masks, **changes
    )
    return training.PromptableSegmenter(segmenter, corrections=args.corrections), recipe


def load(recipe: training.Recipe, args: argparse.Namespace):
    return tfds.load(
        'segment_anything',
        split=args.split,
        data_dir=args.data_dir,
        decoders=recipe.decoders,
        read_config=tfds.ReadConfig(try_autocache=False),
    )


def draw_predictions(model: keras.Model, batches, path: pathlib.Path, count: int = 6) -> None:
    """A sheet with a row an image: the prompts, the true masks, the predicted masks."""
    pictures, captions = [], []
    shown_only = batches.unbatch().filter(lambda inputs, masks, valid: valid[0] > 0)
    for inputs, masks, valid in shown_only.batch(1).take(count):
        logits = training.metrics.choose_mask(model(inputs))[0]
        inputs = {name: np.asarray(value)[0] for name, value in inputs.items()}
        shown = np.asarray(valid)[0] > 0
        zoom = max(1, SHOWN_SIZE // inputs['image'].shape[0])
        image = inputs['image'].repeat(zoom, axis=0).repeat(zoom, axis=1)
        empty = np.zeros([0, *image.shape[:2]], np.uint8)
        boxes = inputs['boxes_xyxy'][shown & (inputs['has_box'] > 0)] * zoom
        points = inputs['point_coords'][shown].reshape(-1, 2) * zoom
        labels = inputs['point_labels'][shown].reshape(-1)
        pictures += [
            draw.overlay(image, empty, boxes=boxes, points=points, point_labels=labels),
            draw.overlay(image, enlarge(np.asarray(masks)[0][shown], image.shape)),
            draw.overlay(image, enlarge(np.asarray(logits)[0][shown] > 0, image.shape)),
        ]
        captions += [f'image {inputs["image_id"]}: prompts', 'truth', 'prediction']
    sheet = draw.contact_sheet(pictures, captions, columns=3, cell=SHOWN_SIZE)
    Image.fromarray(sheet).save(path)


def enlarge(masks: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    factor = shape[0] // masks.shape[-1]
    return masks.astype(np.uint8).repeat(factor, axis=1).repeat(factor, axis=2)


if __name__ == '__main__':
    main()
