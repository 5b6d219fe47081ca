"""`sa1b evaluate`: how good masks are, against those of a dataset."""

from __future__ import annotations

import argparse

from segment_anything_tfds.cli import quiet, reading, terminal

HELP = """\
judge models, predicted masks, or another set of annotations

Of models: mean IoU with the true masks after 1, 2, 3, 5 and 9 clicks and with a box, at
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


def add_arguments(parser: argparse.ArgumentParser) -> None:
    reading.add_arguments(parser)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument(
        '--model',
        metavar='FILE',
        action='append',
        help="a .keras file, Meta's .pth or .safetensors, a KerasHub preset, or 'tiny'; may be"
        ' repeated',
    )
    what.add_argument('--results', metavar='FILE', help='masks as COCO results JSON')
    what.add_argument('--proposals', metavar='FILE', help='the same with scores, for AR@1000')
    what.add_argument('--against', metavar='PATH', help='other annotations, as PATH')
    _add_protocol(parser)
    parser.add_argument('--plot', metavar='FILE', help='draw mean IoU over clicks')
    terminal.add_json(parser)


def _add_protocol(parser: argparse.ArgumentParser) -> None:
    """Adds how models are judged."""
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


def run(args: argparse.Namespace) -> int:
    """Judges; returns the exit code."""
    from segment_anything_tfds.actions.learning import judging

    if args.model:
        judging.parse_clicks(args.clicks)
    reading.find(args)
    quiet.import_tensorflow()
    skipped = reading.Skipped(args.on_error)
    found = judging.evaluate(
        args.paths,
        model=args.model,
        results=args.results,
        proposals=args.proposals,
        against=args.against,
        split=args.split,
        clicks=args.clicks,
        first_click=args.first_click,
        seed=args.seed,
        batch_size=args.batch_size,
        num_masks=args.num_masks,
        plot=args.plot,
        archives=args.archives,
        filter=args.filter,
        limit=args.limit,
        labels=args.labels,
        on_error=args.on_error,
        on_fault=skipped,
        progress=True,
    )
    skipped.report()
    if args.plot:
        terminal.say(f'Mean IoU over the number of clicks, drawn: {args.plot}')
    if args.json:
        terminal.show(found)
    else:
        _print(found)
        _advise(found.get('masks', {}), args)
    return 0


def _print(found: dict) -> None:
    """Prints a table; one a model and data set where there are several."""
    if any('count' in row for row in found.values()):
        print(_table(found))
        return
    for model, by_dataset in found.items():
        for dataset, summary in by_dataset.items():
            print(f'{model}, {dataset}')
            print(_table(summary))


def _advise(masks: dict, args: argparse.Namespace) -> None:
    if masks.get('paired_by') == 'overlap' and args.results:
        terminal.say('No ids of the two sets meet: each mask is paired with the nearest one.')
    for name in ('num_missing', 'missing_images'):
        if masks.get(name):
            terminal.say(f'{name}: {masks[name]}')


def _table(found: dict) -> str:
    """Makes a row a kind of prompt."""
    skipped = ('num_', 'missing', 'images')
    names = [name for name in next(iter(found.values())) if not name.startswith(skipped)]
    rows = [
        [kind, *('-' if summary.get(name) is None else summary[name] for name in names)]
        for kind, summary in found.items()
    ]
    return terminal.table(['prompt', *names], rows)
