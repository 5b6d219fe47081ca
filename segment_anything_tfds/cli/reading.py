"""How commands that read data are told what to read, and what to do with faults."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from segment_anything_tfds.actions import choosing
from segment_anything_tfds.cli import quiet, terminal
from segment_anything_tfds.source.archive import inputs


def add_arguments(
    parser: argparse.ArgumentParser, *, on_error: str = 'fail', limit: int | None = None
) -> None:
    """Adds PATH..., `--archives`, `--filter`, `--limit` and `--on_error`."""
    parser.add_argument(
        'paths',
        nargs='+',
        metavar='PATH',
        help='an archive, a folder of archives, an extracted archive, or a prepared dataset',
    )
    terminal.add_archives(parser)
    parser.add_argument(
        '--filter',
        metavar='RULES',
        help="keep only what obeys all rules, such as 'area>=1000, predicted_iou>0.9, width>=2000';"
        ' of masks: area, relative_area, predicted_iou, stability_score, id, scored, depth,'
        ' children, level (whole, part or subpart), and columns of --labels;'
        ' of images: width, height, image_id, num_masks',
    )
    parser.add_argument(
        '--labels',
        metavar='TABLE',
        help='CSV or Parquet with a column id, of annotations, and any others: label, score, ...',
    )
    parser.add_argument(
        '--limit',
        type=terminal.positive_int,
        default=limit,
        metavar='N',
        help='stop after N images' + (' (default: %(default)s)' if limit else ''),
    )
    parser.add_argument(
        '--on_error',
        choices=['fail', 'skip'],
        default=on_error,
        help='what to do with a record that breaks a rule: stop, or leave it out and count it'
        ' (default: %(default)s)',
    )


def find_quietly(args: argparse.Namespace) -> list[inputs.Input]:
    """Finds as `find`, with TensorFlow imported without its chatter where shards need it."""
    units = find(args)
    if any(isinstance(unit, inputs.Shard) for unit in units):
        quiet.import_tensorflow()
    return units


def find(args: argparse.Namespace) -> list[inputs.Input]:
    """Finds the archives and shards that the arguments name."""
    return choosing.find(args.paths, args.archives)


class Skipped(choosing.Policy):
    """An `on_fault` that obeys `--on_error`, and counts."""

    def __init__(self, on_error: str):
        super().__init__(on_error, advice='`--on_error skip` leaves such records out.')

    def report(self) -> None:
        """Says what was left out, if anything was."""
        if self.reasons:
            parts = ', '.join(f'{count} {reason}' for reason, count in self.reasons.most_common())
            terminal.say(f'left out, because of faults: {parts}')


def records(args: argparse.Namespace, skipped: Skipped) -> Iterator:
    """Reads the records that the arguments name: of all inputs, filtered, at most `--limit`."""
    return choosing.read(
        args.paths,
        skipped,
        archives=args.archives,
        filter=args.filter,
        limit=args.limit,
        labels=args.labels,
    )
