"""`sa1b evaluate`: how good masks are, against those of a dataset."""

from __future__ import annotations

import argparse
import pathlib
import sys
from collections.abc import Sequence

from segment_anything_tfds.cli import reading, terminal
from segment_anything_tfds.source.archive import inputs

HELP = """\
judge Keras models, predicted masks, or another set of annotations

Of saved Keras models: mean IoU with the true masks after 1, 2, 3, 5 and 9 clicks and with a box, at
the size of the images, as SAM was judged: of the most confident output with a 95 % interval, of the
best one (oracle), of the boundary, and by mask size. Several PATHs are judged apart, and their mean
is given. `--model` may be repeated; `--plot` draws the curves over the clicks.

Of masks in a COCO results JSON, or of other annotations of the same images: mean IoU, and the
shares of pairs above 0.75 and 0.90, as section 5 of the SAM paper judges SA-1B. Of proposals with
scores: AR@1000.

  sa1b evaluate prepared/segment_anything/1.0.0 --model sam.keras --split 'train[10shard:]'
  sa1b evaluate prepared/segment_anything/1.0.0 --model a.keras --model b.keras --plot curve.png
  sa1b evaluate prepared/segment_anything/1.0.0 --results predictions.json
  sa1b evaluate prepared/segment_anything/1.0.0 --proposals proposals.json
  sa1b evaluate sa_000020.tar --against corrected/

A model needs prepared datasets; the rest also takes archives and extracted archives.
"""
MEAN = 'mean of data sets'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    reading.add_arguments(parser)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument(
        '--model',
        type=pathlib.Path,
        metavar='FILE',
        action='append',
        help='a saved Keras model; may be repeated',
    )
    what.add_argument(
        '--results', type=pathlib.Path, metavar='FILE', help='masks as COCO results JSON'
    )
    what.add_argument(
        '--proposals', type=pathlib.Path, metavar='FILE', help='the same with scores, for AR@1000'
    )
    what.add_argument('--against', metavar='PATH', help='other annotations, as PATH')
    parser.add_argument(
        '--split',
        default='train',
        metavar='NAME',
        help="of the dataset, with --model; slices as in TFDS, such as 'train[10shard:]' or"
        " 'train[80%%:]' (default: %(default)s)",
    )
    parser.add_argument(
        '--clicks',
        default='1,2,3,5,9',
        metavar='LIST',
        help='numbers of clicks (default: %(default)s)',
    )
    parser.add_argument(
        '--first_click',
        choices=['center', 'random'],
        default='center',
        help='where the first click goes (default: %(default)s)',
    )
    parser.add_argument('--seed', type=int, default=0, help='of random clicks')
    parser.add_argument(
        '--plot', type=pathlib.Path, metavar='FILE', help='draw mean IoU over clicks'
    )
    parser.add_argument(
        '--batch_size',
        type=terminal.positive_int,
        default=32,
        metavar='N',
        help='masks that are decoded at once (default: %(default)s)',
    )
    parser.add_argument(
        '--num_masks',
        type=terminal.positive_int,
        metavar='N',
        help='masks an image, the first ones (default: all)',
    )
    terminal.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Judges; returns the exit code."""
    if args.plot and not args.model:
        raise terminal.UsageError('--plot: expected --model beside it; got none. Leave it out.')
    if args.model:
        _show_models(args, _judge_models(args))
        return 0
    found = {'masks': _judge_masks(args)}
    if args.json:
        terminal.show(found)
        return 0
    print(_table(found))
    if found['masks'].get('paired_by') == 'overlap' and args.results:
        terminal.say('No ids of the two sets meet: each mask is paired with the nearest one.')
    for name in ('num_missing', 'missing_images'):
        if found['masks'].get(name):
            terminal.say(f'{name}: {found["masks"][name]}')
    return 0


def _judge_masks(args: argparse.Namespace) -> dict:
    import tqdm

    from segment_anything_tfds.training import evaluation

    skipped = reading.Skipped(args.on_error)
    truth = map(_to_masks, reading.records(args, skipped))
    if args.against is None:
        other = evaluation.from_coco_results(args.results or args.proposals)
    else:  # all of it: what is chosen is chosen by the truth
        everything = {'paths': [args.against], 'archives': None, 'filter': None, 'limit': None}
        others = argparse.Namespace(**{**vars(args), **everything})
        other = map(_to_masks, reading.records(others, skipped))
    judge = evaluation.average_recall if args.proposals else evaluation.compare
    with tqdm.tqdm(truth, unit=' images', total=args.limit, disable=None, leave=False) as truth:
        found = judge(truth, other)
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


def _judge_models(args: argparse.Namespace) -> dict[str, dict]:
    """Summaries by model, by data set, by prompt."""
    clicks = _parse_clicks(args.clicks)
    datasets = {path: _shards(args, path) for path in args.paths}
    from segment_anything_tfds.training import evaluation

    found: dict[str, dict] = {}
    for path in args.model:
        model = _load(path)
        by_dataset = {
            name: _judge_dataset(args, model, shards, clicks) for name, shards in datasets.items()
        }
        if len(by_dataset) > 1:
            by_dataset[MEAN] = evaluation.mean_of_datasets(list(by_dataset.values()))
        found[str(path)] = by_dataset
    return found


def _judge_dataset(args: argparse.Namespace, model, shards, clicks: tuple[int, ...]) -> dict:
    import tensorflow_datasets as tfds
    import tqdm

    from segment_anything_tfds.training import evaluation

    builder = tfds.builder_from_directory(shards[0].folder)
    split, images = _slice(builder, args, shards)
    dataset = builder.as_dataset(
        split=split,
        decoders={'image': {'content': tfds.decode.SkipDecoding()}},
        read_config=tfds.ReadConfig(try_autocache=False),
    )
    images = min(images, args.limit or sys.maxsize)
    with tqdm.tqdm(total=images, unit=' images', disable=None, leave=False) as bar:
        return evaluation.evaluate_model(
            model,
            tfds.as_numpy(dataset.take(args.limit or -1)),
            clicks=clicks,
            first_click=args.first_click,
            seed=args.seed,
            batch_size=args.batch_size,
            num_masks=args.num_masks,
            progress=bar.update,
        )


def _load(path: pathlib.Path):
    import keras
    import keras_hub  # noqa: F401  (registers the layers of a SAM)

    from segment_anything_tfds.training.sam import promptable  # noqa: F401  (registers it)

    model = keras.saving.load_model(path, compile=False)
    if getattr(model, 'backbone', None) is None:
        raise ValueError(
            f'--model: expected a PromptableSegmenter or a KerasHub SAM; got '
            f'{type(model).__name__} in {path}. Save it with `model.save`.'
        )
    return model


def _shards(args: argparse.Namespace, path: str) -> list[inputs.Shard]:
    """The shards of a prepared dataset."""
    if args.filter:
        raise terminal.UsageError(
            '--filter: expected --results or --against beside it; got --model. Leave it out.'
        )
    found = reading.find(argparse.Namespace(**{**vars(args), 'paths': [path]}))
    shards = [unit for unit in found if isinstance(unit, inputs.Shard)]
    if not shards:
        raise terminal.UsageError(
            f'--model: expected each PATH to be the folder of a prepared dataset; got {path}'
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


def _show_models(args: argparse.Namespace, found: dict[str, dict]) -> None:
    """Prints what one model, or several, are worth, and draws the curves."""
    if args.plot:
        _plot(found, args.plot)
        terminal.say(f'Mean IoU over the number of clicks, drawn: {args.plot}')
    rows = {
        (model, dataset): summary
        for model, by_dataset in found.items()
        for dataset, summary in by_dataset.items()
    }
    if args.json:
        terminal.show(next(iter(rows.values())) if len(rows) == 1 else found)
        return
    for (model, dataset), summary in rows.items():
        if len(rows) > 1:
            print(f'{model}, {dataset}')
        print(_table(summary))


def _plot(found: dict[str, dict], path: pathlib.Path) -> None:
    """A line a model and data set: chosen output over clicks, its interval, and the oracle."""
    from segment_anything_tfds.report import curves

    lines = []
    for model, by_dataset in found.items():
        for dataset, summary in by_dataset.items():
            label = pathlib.Path(model).stem
            label = label if len(by_dataset) == 1 else f'{label}, {dataset}'
            clicks = {
                int(name.split('_')[0]): row for name, row in summary.items() if name != 'box'
            }
            lines.append(curves.Line(label, clicks))
    curves.draw(lines, path)


def _table(found: dict) -> str:
    """A row a kind of prompt."""
    skipped = ('num_', 'missing', 'images')
    names = [name for name in next(iter(found.values())) if not name.startswith(skipped)]
    rows = [
        [kind, *('-' if summary.get(name) is None else summary[name] for name in names)]
        for kind, summary in found.items()
    ]
    return terminal.table(['prompt', *names], rows)
