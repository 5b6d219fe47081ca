"""`sa1b stats`: what the images and masks are like, counted by Beam."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import logging
import pathlib
import signal
import tempfile
import threading
from collections.abc import Iterator

from segment_anything_tfds.cli import reading, terminal

HELP = """\
count: where masks lie, how large and how concave they are, their scores

The analysis of section 5 of the SAM paper, on any selection: mask centres (figure 5), masks an
image, relative mask size, concavity, predicted_iou and stability_score, image sizes. One archive or
shard is one unit of work for Beam, so the same command covers the whole data on many machines.

  sa1b stats archives --html stats.html --png stats.png
  sa1b stats prepared/segment_anything/1.0.0 --out stats.json
  sa1b stats archives --beam_options direct_running_mode=multi_processing,direct_num_workers=8
  sa1b stats --merge monday.json tuesday.json --html both.html

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
        '--merge', nargs='+', default=[], metavar='FILE', help='add what earlier runs wrote'
    )
    parser.add_argument(
        '--on_error',
        choices=['fail', 'skip'],
        default='fail',
        help='where records break rules, they are left out and listed; the exit code is then 1,'
        ' or with `skip` 0 (default: %(default)s)',
    )
    parser.add_argument('--out', metavar='FILE', help='write the numbers, as JSON; may be remote')
    parser.add_argument('--png', type=pathlib.Path, metavar='FILE', help='write all plots')
    parser.add_argument('--html', type=pathlib.Path, metavar='FILE', help='write a page')
    parser.add_argument(
        '--beam_options',
        default='',
        metavar='OPTIONS',
        help="options for Beam, joined by commas: 'runner=DataflowRunner,project=...'",
    )
    terminal.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Counts; returns the exit code."""
    from segment_anything_tfds.report import dataset_stats

    if not args.paths and not args.merge:
        raise terminal.UsageError('expected PATH or --merge FILE; got neither')
    if args.png is not None or args.html is not None:
        importlib.import_module('matplotlib')  # where it is missing, that is said first
    parts = [_read(path) for path in args.merge]
    if args.paths:
        parts.append(_count(args))
    statistics = dataset_stats.total(parts)
    _write(statistics, args)
    for text in statistics.first_faults:
        terminal.say(text)
    if args.json:
        terminal.show(statistics.to_json(), indent=None)
    else:
        _print(statistics)
    return 1 if statistics.faults and args.on_error == 'fail' else 0


def _read(path: str):
    from segment_anything_tfds.report import dataset_stats

    try:
        return dataset_stats.Statistics.from_json(json.loads(pathlib.Path(path).read_bytes()))
    except ValueError as error:
        raise ValueError(
            f'--merge: expected what `sa1b stats --out` writes in {path}; got: {error}'
        ) from None


def _count(args: argparse.Namespace):
    units = reading.find(args)
    terminal.say(f'archives or shards to count: {len(units)}')
    logging.disable(logging.WARNING)  # Beam warns of what it has not, when it is imported
    from segment_anything_tfds.prepare import runner
    from segment_anything_tfds.report import counting

    logging.disable(logging.NOTSET)
    with tempfile.TemporaryDirectory() as folder, runner.quiet(), _interruptible():
        path = args.out or f'{folder}/stats.json'
        return counting.run(units, count_unit, runner.pipeline(options=_beam_options(args)), path)


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Gives back the `KeyboardInterrupt` that Beam logs and wraps like any other error."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    interrupted = threading.Event()

    def interrupt(*_):
        interrupted.set()
        logging.disable(logging.CRITICAL)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    except Exception:
        if interrupted.is_set():
            raise KeyboardInterrupt from None
        raise
    finally:
        signal.signal(signal.SIGINT, before)
        logging.disable(logging.NOTSET)


def count_unit(unit):
    """The statistics of one archive or shard; runs in Beam's workers."""
    from segment_anything_tfds.export import records
    from segment_anything_tfds.report import dataset_stats
    from segment_anything_tfds.source import faults

    statistics = dataset_stats.Statistics()
    try:
        for record in records.read(unit, on_fault=statistics.add_fault):
            image, columns = record.example.image, record.example.annotations
            statistics.add(
                (image['height'], image['width']),
                columns['counts'],
                columns['predicted_iou'],
                columns['stability_score'],
            )
    except faults.DataError as error:  # what came before still counts
        for fault in error.faults:
            statistics.add_fault(fault)
    return statistics


def _beam_options(args: argparse.Namespace):
    from apache_beam.options import pipeline_options

    flags = [f'--{flag.strip()}' for flag in args.beam_options.split(',') if flag.strip()]
    return pipeline_options.PipelineOptions(flags=flags)


def _write(statistics, args: argparse.Namespace) -> None:
    if args.out and args.merge:
        _save(pathlib.Path(args.out), json.dumps(statistics.to_json()).encode())
    if args.png is None and args.html is None:
        return
    from segment_anything_tfds.report import plots

    if args.png is not None:
        _save(args.png, plots.to_png(statistics))
    if args.html is not None:
        title = ', '.join([*args.paths, *args.merge])
        title += f'; archives {args.archives}' if args.archives else ''
        _save(args.html, plots.to_html(statistics, title).encode(errors='backslashreplace'))


def _save(path: pathlib.Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def _print(statistics) -> None:
    from segment_anything_tfds.report import dataset_stats

    masks_per_image = statistics.masks / max(1, statistics.images)
    print(
        f'{statistics.images:,} images, {statistics.masks:,} masks '
        f'({masks_per_image:.1f} an image, {statistics.empty_masks:,} empty)'
    )
    for reason, count in statistics.faults.most_common():
        print(f'left out: {count:,} {reason}')
    rows = [
        [name, f'{statistics.mean(name):.4f}']
        + [f'{statistics.quantile(name, share):.4f}' for share in dataset_stats.QUANTILES]
        for name in dataset_stats.AXES
    ]
    header = ['', 'mean', *(f'{share:.0%}' for share in dataset_stats.QUANTILES)]
    print(terminal.table(header, rows))
