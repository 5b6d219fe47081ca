"""Fine-tunes SAM in Keras on prepared SA-1B data, and judges it by clicks on held-out images.

    python examples/finetune_sam_keras.py --data-dir DIR
    python examples/finetune_sam_keras.py --data-dir DIR --preset sam_base_sa1b

`DIR` holds the dataset `segment_anything`, as `tfds.load` or `tfds build` prepared it. Without a
preset it begins with the small SAM that comes with the package, which knows painted scenes alone,
and trains all of it. With a preset, the image encoder is frozen, and prompt encoder and mask
decoder are trained, at 1024 pixels, as SAM was. Images are held out by a hash of their ids; the
model is judged on them before and after, as SAM's paper does, and what it makes of clicks is drawn.
"""

from __future__ import annotations

import argparse
import io
import json
import pathlib
import time

import keras
import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

import segment_anything_tfds  # noqa: F401  (registers the dataset)
from segment_anything_tfds import coco_rle, training
from segment_anything_tfds.report import draw
from segment_anything_tfds.training.data import datasets

STEPS_PER_EPOCH = 80
CLICKS = (1, 3)
SHOWN = {'images': 4, 'masks': 8, 'least_area': 300}


def main(argv: list[str] | None = None) -> dict:
    args = parse_arguments(argv)
    keras.utils.set_random_seed(args.seed)
    out = pathlib.Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    model, recipe = make_model(args)
    train, held_out = load(recipe, args)
    judged = list(tfds.as_numpy(held_out.take(args.judged)))
    before = judge(model, judged)
    batches = recipe.batches(
        train.repeat().shuffle(64, seed=args.seed), args.batch_size, seed=args.seed
    )
    model.compile(
        keras.optimizers.AdamW(args.learning_rate, weight_decay=0.01, global_clipnorm=1.0),
        loss=recipe.loss,
        metrics=[training.MeanMaskIoU()],
        jit_compile='auto' if args.preset else False,  # compiling takes longer than the small model
    )
    started = time.monotonic()
    epochs = max(1, args.steps // STEPS_PER_EPOCH)
    checkpoint = keras.callbacks.ModelCheckpoint(str(out / 'sam.keras'))
    steps = args.steps // epochs
    model.fit(batches, epochs=epochs, steps_per_epoch=steps, callbacks=[checkpoint], verbose=2)
    seconds = time.monotonic() - started
    model = keras.saving.load_model(out / 'sam.keras')
    after = judge(model, judged)
    draw_predictions(model, judged, out / 'predictions.png')
    training.checkpoints.save(model, out / 'sam.pth')  # as Meta's classes load it
    report = {'before': before, 'after': after, 'fit_seconds': round(seconds, 1)}
    (out / 'report.json').write_text(json.dumps(report, indent=2))
    print(json.dumps(report, indent=2))
    return report


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--data-dir', required=True, help='where the dataset was prepared')
    parser.add_argument('--out', default='finetuned', help='folder for checkpoints and pictures')
    parser.add_argument('--split', default='train')
    parser.add_argument('--held-out', type=float, default=0.2, help='part of the images')
    parser.add_argument('--judged', type=int, default=20, help='most held-out images to judge on')
    parser.add_argument('--preset', help='KerasHub preset with weights, such as sam_base_sa1b')
    parser.add_argument('--num-masks', type=int, default=12, help='masks an image')
    parser.add_argument('--corrections', type=int, default=0, help='clicks after the first prompt')
    parser.add_argument('--batch-size', type=int, default=2)
    parser.add_argument('--steps', type=int, default=240, help='batches to train on')
    parser.add_argument('--learning-rate', type=float, default=1e-4)
    parser.add_argument('--seed', type=int, default=0)
    return parser.parse_args(argv)


def make_model(args: argparse.Namespace) -> tuple[keras.Model, training.Recipe]:
    """The model, and the recipe at its resolution: a quarter of the image for the masks."""
    if args.preset:
        import keras_hub

        segmenter = keras_hub.models.SAMImageSegmenter.from_preset(args.preset)
        segmenter.backbone.image_encoder.trainable = False
    else:
        segmenter = training.tiny_sam()
    model = training.PromptableSegmenter(segmenter, corrections=args.corrections)
    size = model.backbone.image_encoder.image_shape[0]
    recipe = training.recipes.get(
        'sam',
        image_size=size,
        mask_size=size // 4,
        num_masks=args.num_masks,
        flip_probability=0.5,
        iou_error='absolute',
        supervise_all_ious=True,
    )
    return model, recipe


def load(recipe: training.Recipe, args: argparse.Namespace):
    """The images to train on, and the held-out ones."""
    dataset = tfds.load(
        'segment_anything',
        split=args.split,
        data_dir=args.data_dir,
        decoders=recipe.decoders,
        read_config=tfds.ReadConfig(try_autocache=False),
    )

    def is_held_out(example):
        return datasets.is_held_out(example['image']['image_id'], args.held_out)

    return dataset.filter(lambda example: ~is_held_out(example)), dataset.filter(is_held_out)


def judge(model: keras.Model, examples: list[dict]) -> dict[str, dict]:
    """Mean IoU of the most confident output and of the best one, by clicks and by a box."""
    found = training.evaluate.evaluate_model(model, examples, clicks=CLICKS)
    names = ('count', 'mean_iou', 'oracle')
    return {prompt: {name: row[name] for name in names} for prompt, row in found.items()}


def draw_predictions(model: keras.Model, examples: list[dict], path: pathlib.Path) -> None:
    """A sheet with a row an image: clicks, the true masks, the predicted ones."""
    predictor = training.Predictor(model)
    pictures, captions = [], []
    for example in examples[: SHOWN['images']]:
        image = np.asarray(Image.open(io.BytesIO(example['image']['content'])))
        annotations = example['annotations']
        order = np.argsort(annotations['area'])
        chosen = order[annotations['area'][order] >= SHOWN['least_area']][: SHOWN['masks']]
        counts = annotations['segmentation']['counts'][chosen]
        truth = coco_rle.decode(counts, image.shape[:2])
        clicks = annotations['point_coords'][chosen]
        if not len(clicks):
            continue
        predictor.set_image(image)
        masks, scores, _ = predictor.predict(clicks, np.ones(clicks.shape[:2]))
        best = masks[np.arange(len(masks)), scores.argmax(1)]
        empty = np.zeros([0, *image.shape[:2]], np.uint8)
        pictures += [
            draw.overlay(image, empty, points=clicks[:, 0]),
            draw.overlay(image, truth),
            draw.overlay(image, best),
        ]
        name = f'image {example["image"]["image_id"]}'
        captions += [f'{name}: clicks', 'truth', 'prediction']
    Image.fromarray(draw.contact_sheet(pictures, captions, columns=3)).save(path)


if __name__ == '__main__':
    main()
