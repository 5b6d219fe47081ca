"""`sa1b evaluate`: how good masks are, against those of a dataset."""

from __future__ import annotations

import argparse
import pathlib
import sys
from collections.abc import Sequence

from segment_anything_tfds.cli import reading, terminal
from segment_anything_tfds.source.archive import inputs

HELP = """\
judge a Keras model, predicted masks, or another set of annotations

Of a saved Keras model: mean IoU with the true masks after 1, 3 and 5 clicks and with a box, by mask
size, as SAM and SAM 2 were judged. Of masks in a COCO results JSON, or of other annotations of the
same images: mean IoU, and the shares of pairs above 0.75 and 0.90, as section 5 of the SAM paper
judges SA-1B.

  sa1b evaluate prepared/segment_anything/1.0.0 --model sam.keras --limit 500
  sa1b evaluate prepared/segment_anything/1.0.0 --results predictions.json
  sa1b evaluate sa_000020.tar --against corrected/

A model needs a prepared dataset; the rest also takes archives and extracted archives.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    reading.add_arguments(parser)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument('--model', type=pathlib.Path, metavar='FILE', help='a saved Keras model')
    what.add_argument(
        '--results', type=pathlib.Path, metavar='FILE', help='masks as COCO results JSON'
    )
    what.add_argument('--against', metavar='PATH', help='other annotations, as PATH')
    parser.add_argument(
        '--split',
        default='train',
        help="of the dataset, with --model; may have slices, such as 'train[10shard:]' or"
        " 'train[:5%%]' (default: %(default)s)",
    )
    parser.add_argument(
        '--clicks', default='1,3,5', metavar='LIST', help='numbers of clicks (default: %(default)s)'
    )
    parser.add_argument(
        '--batch_size', type=terminal.positive_int, default=4, metavar='N', help='images a step'
    )
    parser.add_argument(
        '--num_masks', type=terminal.positive_int, default=64, metavar='N', help='masks an image'
    )
    terminal.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Judges; returns the exit code."""
    found = _judge_model(args) if args.model is not None else {'masks': _judge_masks(args)}
    if args.json:
        terminal.show(found)
    else:
        print(_table(found))
        for name in ('num_missing', 'missing_images'):
            if found.get('masks', {}).get(name):
                terminal.say(f'{name}: {found["masks"][name]}')
    return 0


def _judge_masks(args: argparse.Namespace) -> dict:
    import tqdm

    from segment_anything_tfds.training import evaluation

    skipped = reading.Skipped(args.on_error)
    truth = map(_to_masks, reading.records(args, skipped))
    if args.results is not None:
        other = evaluation.from_coco_results(args.results)
    else:  # all of it: what is chosen is chosen by the truth
        everything = {'paths': [args.against], 'archives': None, 'filter': None, 'limit': None}
        others = argparse.Namespace(**{**vars(args), **everything})
        other = map(_to_masks, reading.records(others, skipped))
    with tqdm.tqdm(truth, unit=' images', total=args.limit, disable=None, leave=False) as truth:
        found = evaluation.compare(truth, other)
    skipped.report()
    return found


def _to_masks(record):
    from segment_anything_tfds.training import evaluation

    image = record.json['image']
    rows = record.rows
    return evaluation.Masks(
        image['image_id'],
        (image['height'], image['width']),
        [row['segmentation']['counts'].encode() for row in rows],
        [row['id'] for row in rows],
    )


def _judge_model(args: argparse.Namespace) -> dict:
    shards, clicks = _shards(args), _parse_clicks(args.clicks)
    import keras
    import keras_hub  # noqa: F401  (registers the layers of a SAM)
    import tensorflow_datasets as tfds
    import tqdm

    from segment_anything_tfds import training
    from segment_anything_tfds.training import evaluation
    from segment_anything_tfds.training.sam import promptable  # noqa: F401  (registers it)

    builder = tfds.builder_from_directory(shards[0].folder)
    split, images = _slice(builder, args, shards)
    model = keras.saving.load_model(args.model, compile=False)
    backbone = getattr(model, 'backbone', None)
    if backbone is None:
        raise ValueError(
            f'--model: expected a PromptableSegmenter or a KerasHub SAM; got '
            f'{type(model).__name__} in {args.model}. Save it with `model.save`.'
        )
    size = backbone.image_encoder.input.shape[1]
    recipe = training.Recipe(
        image_size=size,
        mask_size=size // 4,
        num_masks=args.num_masks,
        point_probability=0.0,
        box_probability=1.0,
        box_jitter=0.0,
    )
    dataset = builder.as_dataset(
        split=split,
        decoders=recipe.decoders,
        read_config=tfds.ReadConfig(try_autocache=False),
    )
    batches = recipe.batches(dataset.take(args.limit or -1), args.batch_size, seed=0)
    images = min(images, args.limit or sys.maxsize)
    with tqdm.tqdm(total=images, unit=' images', disable=None, leave=False) as bar:
        return evaluation.evaluate_model(model, batches, clicks=clicks, progress=bar.update)


def _shards(args: argparse.Namespace) -> list[inputs.Shard]:
    """The shards of the one prepared dataset that the arguments name."""
    if args.filter:
        raise terminal.UsageError(
            '--filter: expected --results or --against beside it; got --model. Leave it out.'
        )
    found = reading.find(args) if len(args.paths) == 1 else []
    shards = [unit for unit in found if isinstance(unit, inputs.Shard)]
    if not shards:
        raise terminal.UsageError(
            f'--model: expected one PATH, the folder of a prepared dataset; got {args.paths}'
        )
    if '[' in args.split and args.archives:
        raise terminal.UsageError(
            f'--split: expected a split without a slice beside --archives; got {args.split}. '
            'Leave one of them out.'
        )
    names = {part.partition('[')[0].strip() for part in args.split.split('+')}
    if unknown := names - {shard.split for shard in shards}:
        splits = ', '.join(sorted({shard.split for shard in shards}))
        raise terminal.UsageError(
            f'--split: expected one of {splits}; got {", ".join(sorted(unknown))}'
        )
    return [shard for shard in shards if shard.split in names]


def _slice(builder, args: argparse.Namespace, shards: Sequence[inputs.Shard]) -> tuple[str, int]:
    """The split as TFDS spells it, of the archives that are named, and its number of images."""
    if '[' not in args.split:
        split = '+'.join(f'{shard.split}[{shard.index}shard]' for shard in shards)
        return split, sum(shard.examples for shard in shards)
    try:
        return args.split, builder.info.splits[args.split].num_examples
    except ValueError as error:
        raise terminal.UsageError(f'--split: {error}') from None


def _parse_clicks(text: str) -> tuple[int, ...]:
    try:
        return tuple(terminal.positive_int(part) for part in text.split(','))
    except (ValueError, argparse.ArgumentTypeError) as error:
        raise terminal.UsageError(
            f'--clicks: expected numbers such as 1,3,5; got {text!r}'
        ) from error


def _table(found: dict) -> str:
    """A row a kind of prompt."""
    names = [
        name for name in next(iter(found.values())) if not name.startswith(('num_', 'missing'))
    ]
    rows = [
        [kind, *('-' if summary[name] is None else summary[name] for name in names)]
        for kind, summary in found.items()
    ]
    return terminal.table(['prompt', *names], rows)
