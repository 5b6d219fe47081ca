"""Verifies archives, several at a time: each is read to its end, and all of it checked."""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import os
import signal
from collections.abc import Iterator, Sequence
from concurrent import futures

from segment_anything_tfds.actions import choosing, places
from segment_anything_tfds.source import checksums, meter
from segment_anything_tfds.source.archive import inputs, verification

_counter = _stop = None  # shared by the processes of one run


def verify(
    paths: choosing.Paths,
    *,
    archives: choosing.Archives = None,
    jobs: int = 1,
    decode: bool = False,
    digests: choosing.Path | None = None,
    record: choosing.Path | None = None,
    expected: int | None = None,
    strict: bool = False,
    report: choosing.Path | None = None,
    progress: meter.Show = True,
) -> list[verification.Report]:
    """Reads archives or extracted folders to their end, and checks all there is to check.

    Args:
      paths: an archive, a folder of archives, or an extracted archive; or several of them.
      archives: numbers of the archives that are wanted, such as `'20-29,130'`; all by default.
      jobs: processes, which each verify an archive at a time. With more than one, a script calls
        this under `if __name__ == '__main__':`, as `multiprocessing` asks.
      decode: decode the pixels too, which is slow.
      digests: a file of MD5 digests to check against, as `md5sum` writes them.
      record: a file to which the digests of archives that are not bad are added.
      expected: pairs that each archive should have; 0 for any number; by default 11,186.
      strict: take doubtful for bad.
      report: a file to write all as JSON.
      progress: whether and how to show progress: `True`, nothing, or a function that is called
        with a `Progress` in bytes.

    Returns:
      A report on each archive: `state` is `'good'`, `'doubtful'` or `'bad'`, and `errors`,
      `warnings`, `faults` and `first_faults` say why. Nothing is raised for bad data.

    Raises:
      FileNotFoundError: a path does not exist.
      ValueError: an argument is malformed, or a path holds no archive.
    """
    reports = list(
        iterate(
            paths,
            archives=archives,
            jobs=jobs,
            decode=decode,
            digests=digests,
            record=record,
            expected=expected,
            report=report,
            progress=progress,
            here=jobs == 1,
        )
    )
    keep(reports, record=record, report=report, strict=strict)
    return reports


def iterate(
    paths: choosing.Paths,
    *,
    archives: choosing.Archives,
    jobs: int,
    decode: bool,
    digests: choosing.Path | None,
    record: choosing.Path | None,
    expected: int | None,
    report: choosing.Path | None,
    progress: meter.Show,
    here: bool,
) -> Iterator[verification.Report]:
    """Gives the reports of `verify`, one by one as they come; arguments are checked first.

    Work in this process, `here`, is interrupted between two reads alone; other processes are left.
    """
    units = choosing.find(paths, archives)
    if any(isinstance(unit, inputs.Shard) for unit in units):
        raise choosing.ArgumentError(
            'expected archives or extracted folders; got a prepared dataset. '
            'Its shards have checksums of their own.'
        )
    lists = [os.fspath(digests)] if digests else []
    checksums.load(lists)
    if record is not None:
        folder = places.local_folder('record', record).parent
        if os.path.exists(record):
            checksums.read(record)
        folder.mkdir(parents=True, exist_ok=True)
    places.check_file('report', report)
    options = {'lists': lists, 'decode': decode, 'expected': expected}
    with meter.show('verify', total=_total_bytes(units), progress=progress) as shown:
        if here:
            for unit in units:
                yield verify_one(unit, **options, on_bytes=shown.add)
        else:
            yield from _in_processes(units, options, jobs, shown)


def keep(
    reports: Sequence[verification.Report],
    *,
    record: choosing.Path | None,
    report: choosing.Path | None,
    strict: bool,
) -> None:
    """Writes the files that `verify` is asked for."""
    if report is not None:
        content = [dataclasses.asdict(one) for one in reports]
        places.save(report, json.dumps(content, indent=2).encode())
    if record is not None:
        bad = bad_states(strict)
        good = {os.path.basename(r.path): r.md5 for r in reports if r.md5 and r.state not in bad}
        checksums.record(record, good)


def bad_states(strict: bool) -> set[str]:
    """Gives the states of archives that count as bad."""
    return {'bad', 'doubtful'} if strict else {'bad'}


def _in_processes(
    units: Sequence[inputs.Input], options: dict, jobs: int, shown: meter.Meter
) -> Iterator[verification.Report]:
    """Gives reports, in order, from several processes."""
    spawn = multiprocessing.get_context('spawn')
    counter, stop = spawn.Value('Q', 0), spawn.Event()
    with futures.ProcessPoolExecutor(
        min(jobs, len(units)), mp_context=spawn, initializer=_share, initargs=(counter, stop)
    ) as pool:
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


def verify_one(
    unit, *, lists: list[str], decode: bool, expected: int | None, on_bytes=None
) -> verification.Report:
    """Verifies one archive; in a process of its own, unless it is told what to count with."""
    expected = verification.EXPECTED_PAIRS if expected is None else expected or None
    return verification.verify(
        unit,
        known=checksums.load(lists),
        expected_pairs=expected,
        decode_images=decode,
        on_bytes=on_bytes or (_count if _counter is not None else None),
    )


def _total_bytes(units: Sequence) -> int | None:
    """Counts the bytes to read, where all are local files."""
    if all(unit.kind == 'file' and os.path.exists(unit.location) for unit in units):
        return sum(os.path.getsize(unit.location) for unit in units)
    return None
