"""`sa1b verify`: are archives whole, and is what they hold sound?"""

from __future__ import annotations

import argparse
import dataclasses
import json
import multiprocessing
import os
import pathlib
import signal
from collections.abc import Iterator, Sequence
from concurrent import futures

from segment_anything_tfds.cli import reading, terminal

HELP = """\
read archives or extracted folders to their end, and check all there is to check

Checked: gzip's checksums, the tar, pairs, the structure of each JPEG (--decode: its pixels), each
record's keys and values, run lengths, areas, boxes; digests where any are known.

  sa1b verify archives
  sa1b verify sa_000020.tar sa_000021.tar --digests my_archives.md5
  sa1b verify archives --record my_archives.md5        keep the digests of what is good

An archive is good, doubtful (another number of pairs than SA-1B's 11,186; a digest that differs
from one that others published) or bad. The exit code is 1 where any is bad.
"""
_counter = _stop = None  # shared by the processes of one run


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        'paths', nargs='+', metavar='PATH', help='an archive, a folder of archives, or extracted'
    )
    terminal.add_archives(parser)
    parser.add_argument(
        '--jobs',
        type=terminal.positive_int,
        default=os.cpu_count() or 1,
        metavar='N',
        help='archives at a time (default: one for each processor)',
    )
    parser.add_argument('--decode', action='store_true', help='decode the pixels too (slow)')
    parser.add_argument(
        '--digests', metavar='FILE', help='MD5 digests to check against, as `md5sum` writes them'
    )
    parser.add_argument(
        '--record', metavar='FILE', help='add the digests of archives that are not bad'
    )
    parser.add_argument(
        '--expected',
        type=terminal.natural_int,
        metavar='N',
        help='pairs that each archive should have; 0 for any number (default: 11186)',
    )
    parser.add_argument('--strict', action='store_true', help='take doubtful for bad')
    parser.add_argument('--report', type=pathlib.Path, metavar='FILE', help='write all as JSON')
    terminal.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Verifies; returns the exit code."""
    from segment_anything_tfds.source import checksums
    from segment_anything_tfds.source.archive import inputs

    units = reading.find(args)
    if any(isinstance(unit, inputs.Shard) for unit in units):
        raise terminal.UsageError(
            'expected archives or extracted folders; got a prepared dataset. '
            'Its shards have checksums of their own.'
        )
    _check_places(args)
    reports = []
    for report in _verify_all(units, args):
        reports.append(report)
        if not args.json:
            _say_problems(report)
    bad = {'bad', 'doubtful'} if args.strict else {'bad'}
    _output(reports, args)
    if args.record:
        good = {os.path.basename(r.path): r.md5 for r in reports if r.md5 and r.state not in bad}
        checksums.record(args.record, good)
    return 1 if any(report.state in bad for report in reports) else 0


def _check_places(args: argparse.Namespace) -> None:
    """Says what is wrong with lists and folders before the work begins."""
    from segment_anything_tfds.source import checksums

    checksums.load(_lists(args))
    if args.record and os.path.exists(args.record):
        checksums.read(args.record)
    for path in filter(None, (args.record, args.report)):
        pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)


def _lists(args: argparse.Namespace) -> list[str]:
    return [args.digests] if args.digests else []


def _verify_all(units: Sequence, args: argparse.Namespace) -> Iterator:
    """Reports, in order, from several processes."""
    from segment_anything_tfds.source import meter

    spawn = multiprocessing.get_context('spawn')
    counter, stop = spawn.Value('Q', 0), spawn.Event()
    options = {'lists': _lists(args), 'decode': args.decode, 'expected': args.expected}
    with (
        meter.show('verify', total=_total_bytes(units)) as shown,
        futures.ProcessPoolExecutor(
            min(args.jobs, len(units)),
            mp_context=spawn,
            initializer=_share,
            initargs=(counter, stop),
        ) as pool,
    ):
        running = [pool.submit(verify_one, unit, **options) for unit in units]
        try:
            for future in running:
                while not future.done():
                    futures.wait([future], timeout=0.2)
                    shown.update(done=counter.value)
                yield future.result()
        except BaseException:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _share(counter, stop) -> None:
    """Begins a worker; an interrupt is the main process's to act on."""
    global _counter, _stop
    _counter, _stop = counter, stop
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _count(size: int) -> None:
    if _stop.is_set():
        raise KeyboardInterrupt
    with _counter.get_lock():
        _counter.value += size


def verify_one(unit, *, lists: list[str], decode: bool, expected: int | None):
    """Verifies one archive, in a process of its own."""
    from segment_anything_tfds.source import checksums
    from segment_anything_tfds.source.archive import verification

    expected = verification.EXPECTED_PAIRS if expected is None else expected or None
    return verification.verify(
        unit,
        known=checksums.load(lists),
        expected_pairs=expected,
        decode_images=decode,
        on_bytes=_count if _counter is not None else None,
    )


def _total_bytes(units: Sequence) -> int | None:
    """Bytes to read, where all are local files."""
    if all(unit.kind == 'file' and os.path.exists(unit.location) for unit in units):
        return sum(os.path.getsize(unit.location) for unit in units)
    return None


def _say_problems(report) -> None:
    for text in [*report.errors, *report.warnings]:
        terminal.say(text)
    for text in report.first_faults:
        if text not in report.errors:
            terminal.say(text)
    left = sum(report.faults.values()) - len(report.first_faults)
    if left > 0:
        terminal.say(f'{report.archive}: and {left} more faults')


def _output(reports: Sequence, args: argparse.Namespace) -> None:
    content = [dataclasses.asdict(report) for report in reports]
    if args.report is not None:
        args.report.write_text(json.dumps(content, indent=2), encoding='utf-8')
    if args.json:
        terminal.show(content)
        return
    rows = [
        [
            report.archive,
            report.state,
            report.pairs,
            report.masks,
            sum(report.faults.values()),
            report.digest,
            terminal.human_bytes(report.bytes),
            f'{terminal.human_bytes(report.bytes / max(report.seconds, 1e-3))}/s',
        ]
        for report in reports
    ]
    header = ['archive', 'state', 'pairs', 'masks', 'faults', 'digest', 'bytes', 'rate']
    print(terminal.table(header, rows))
