"""How commands that read data are told what to read, and what to do with faults."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator

from segment_anything_tfds.cli import terminal
from segment_anything_tfds.source import faults, selection
from segment_anything_tfds.source.archive import inputs


def add_arguments(parser: argparse.ArgumentParser, *, on_error: str = 'fail') -> None:
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
        ' of masks: area, relative_area, predicted_iou, stability_score, id;'
        ' of images: width, height, image_id, num_masks',
    )
    parser.add_argument(
        '--limit', type=terminal.positive_int, metavar='N', help='stop after N images'
    )
    parser.add_argument(
        '--on_error',
        choices=['fail', 'skip'],
        default=on_error,
        help='what to do with a record that breaks a rule: stop, or leave it out and count it'
        ' (default: %(default)s)',
    )


def numbers(args: argparse.Namespace) -> tuple[int, ...] | None:
    """The archives that `--archives` names; `None` for all."""
    if args.archives is None:
        return None
    try:
        return selection.parse(args.archives)
    except ValueError as error:
        raise terminal.UsageError(f'--archives: {error}') from None


def find(args: argparse.Namespace) -> list[inputs.Input]:
    """The archives and shards that the arguments name."""
    wanted = numbers(args)
    try:
        return inputs.find(args.paths, wanted)
    except ValueError as error:
        raise terminal.UsageError(str(error)) from None


class Skipped:
    """An `on_fault` that obeys `--on_error`, and counts."""

    def __init__(self, on_error: str):
        self.reasons: Counter = Counter()
        self._fail = on_error == 'fail'

    def __call__(self, fault: faults.Fault) -> None:
        if self._fail:
            raise faults.DataError(
                [fault], f'{fault}\nNothing was kept; `--on_error skip` leaves such records out.'
            )
        self.reasons[fault.reason] += 1

    def report(self) -> None:
        """Says what was left out, if anything was."""
        if self.reasons:
            parts = ', '.join(f'{count} {reason}' for reason, count in self.reasons.most_common())
            terminal.say(f'left out, because of faults: {parts}')


def records(args: argparse.Namespace, skipped: Skipped) -> Iterator:
    """The records that the arguments name: of all inputs, filtered, no more than `--limit`."""
    from segment_anything_tfds.export import filters
    from segment_anything_tfds.export import records as records_lib

    try:
        keep = filters.parse(args.filter or '')
    except ValueError as error:
        raise terminal.UsageError(f'--filter: {error}') from None
    units, left = find(args), args.limit
    for unit in units:
        for record in records_lib.read(unit, on_fault=skipped):
            kept = keep(record)
            if kept is None:
                continue
            yield kept
            left = None if left is None else left - 1
            if left == 0:
                return
