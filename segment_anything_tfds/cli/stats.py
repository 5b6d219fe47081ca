"""`sa1b stats`: what the images and masks are like, counted by Beam."""

from __future__ import annotations

import argparse
from collections import Counter

from segment_anything_tfds.cli import reading, terminal

HELP = """\
count: where masks lie, how large and concave they are, how they are nested, their scores

The analysis of section 5 of the SAM paper, on any selection: mask centres (figure 5), masks an
image, relative mask size, concavity, predicted_iou and stability_score, image sizes; and how much
of an image masks cover, the depth of masks in masks, and how many parts each has. One archive or
shard is one unit of work for Beam, so the same command covers the whole data on many machines.

  sa1b stats archives --html stats.html --png stats.png
  sa1b stats prepared/segment_anything/1.0.0 --out stats.json
  sa1b stats archives --beam_options direct_running_mode=multi_processing,direct_num_workers=8
  sa1b stats archives --filter depth==0 --html wholes.html
  sa1b stats --merge monday.json tuesday.json --html both.html
  sa1b stats sa_000020.tar --against machine/ --png both.png

Counts are exact; results of several runs can be added up.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        'paths',
        nargs='*',
        metavar='PATH',
        help='an archive, a folder of archives, an extracted archive, or a prepared dataset',
    )
    terminal.add_archives(parser)
    parser.add_argument(
        '--filter',
        metavar='RULES',
        help="count only what obeys all rules, such as 'depth==0, predicted_iou>0.9'; as those of"
        ' `sa1b export`',
    )
    parser.add_argument(
        '--merge', nargs='+', default=[], metavar='FILE', help='add what earlier runs wrote'
    )
    parser.add_argument(
        '--against',
        metavar='PATH',
        help='draw the curves of another dataset, or of what an earlier run wrote, over these',
    )
    parser.add_argument(
        '--on_error',
        choices=['fail', 'skip'],
        default='fail',
        help='where records break rules, they are left out and listed; the exit code is then 1,'
        ' or with `skip` 0 (default: %(default)s)',
    )
    parser.add_argument('--out', metavar='FILE', help='write the numbers, as JSON; may be remote')
    parser.add_argument('--png', metavar='FILE', help='write all plots')
    parser.add_argument('--html', metavar='FILE', help='write a page')
    parser.add_argument(
        '--beam_options',
        default='',
        metavar='OPTIONS',
        help="options for Beam, joined by commas: 'runner=DataflowRunner,project=...'",
    )
    terminal.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Counts; returns the exit code."""
    from segment_anything_tfds.actions import count_stats

    if args.paths:
        reading.find_quietly(args)
    statistics = count_stats.stats(
        args.paths,
        archives=args.archives,
        filter=args.filter,
        merge=args.merge,
        against=args.against,
        on_error=args.on_error,
        out=args.out,
        png=args.png,
        html=args.html,
        beam_options=args.beam_options,
    )
    for text in statistics.first_faults:
        terminal.say(text)
    if args.json:
        terminal.show(statistics.to_json(), indent=None)
    else:
        _print(statistics)
    return 1 if statistics.faults and args.on_error == 'fail' else 0


def _print(statistics) -> None:
    from segment_anything_tfds.report import dataset_stats

    masks_per_image = statistics.masks / max(1, statistics.images)
    print(
        f'{statistics.images:,} images, {statistics.masks:,} masks '
        f'({masks_per_image:.1f} an image, {statistics.empty_masks:,} empty, '
        f'{statistics.unscored_masks:,} without scores)'
    )
    for name in ('depth', 'children'):
        print(f'masks by {name}: {_shares(getattr(statistics, name))}')
    for reason, count in statistics.faults.most_common():
        print(f'left out: {count:,} {reason}')
    rows = [
        [name, f'{statistics.mean(name):.4f}']
        + [f'{statistics.quantile(name, share):.4f}' for share in dataset_stats.QUANTILES]
        for name in dataset_stats.AXES
    ]
    header = ['', 'mean', *(f'{share:.0%}' for share in dataset_stats.QUANTILES)]
    print(terminal.table(header, rows))


def _shares(counts) -> str:
    """Gives a text such as `'0: 61.2 %, 1: 30.0 %'`, up to 3 and more."""
    joined = Counter()
    for number, masks in counts.items():
        joined[min(number, 3)] += masks
    total = max(1, sum(joined.values()))
    return ', '.join(
        f'{number}{" or more" if number == 3 else ""}: {joined[number] / total:.1%}'
        for number in range(4)
    )
