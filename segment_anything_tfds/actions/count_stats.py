"""What images and masks are like, counted by Beam: section 5 of the SAM paper."""

from __future__ import annotations

import contextlib
import functools
import importlib
import json
import logging
import os
import signal
import tempfile
import threading
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from segment_anything_tfds.actions import choosing, places
from segment_anything_tfds.source.archive import paths as paths_lib

if TYPE_CHECKING:
    from segment_anything_tfds.report.dataset_stats import Statistics


def stats(
    paths: choosing.Paths = (),
    *,
    archives: choosing.Archives = None,
    filter: str | None = None,
    merge: choosing.Paths = (),
    against: choosing.Path | None = None,
    on_error: str = 'fail',
    out: choosing.Path | None = None,
    png: choosing.Path | None = None,
    html: choosing.Path | None = None,
    beam_options: str = '',
) -> Statistics:
    """Counts where masks lie, how large and how concave they are, and their scores.

    One archive or shard is one unit of work for Beam, so the same call covers the whole data on
    many machines. Counts are exact; results of several runs can be added up.

    Args:
      paths: archives, folders of archives, extracted archives, or prepared datasets.
      archives: numbers of the archives that are wanted, such as `'20-29,130'`; all by default.
      filter: rules joined by commas, such as `'depth==0, predicted_iou>0.9'`: only what obeys all
        of them is counted, of `paths` and of `against`.
      merge: files that earlier runs wrote, to be added.
      against: another data set, or a `.json` file that an earlier run wrote: its curves are drawn
        over these in `png` and `html`, as people's masks beside a machine's.
      on_error: records that break rules are left out and listed in `faults` and `first_faults`;
        with `'fail'` the command ends with 1 then. Nothing is raised for them.
      out: a file for the numbers, as JSON; may be remote.
      png: a file for all plots.
      html: a file for a page.
      beam_options: options for Beam, joined by commas: `'runner=DataflowRunner,project=...'`.

    Returns:
      The numbers: `images`, `masks`, `mean(name)`, `quantile(name, share)`, `to_json()` and so on.

    Raises:
      FileNotFoundError: a path does not exist.
      ValueError: an argument is malformed, or a file to merge is no result of this.
    """
    from segment_anything_tfds.report import dataset_stats

    choosing.one_of('on_error', on_error, ('fail', 'skip'))
    choosing.parse_filter(filter)
    named, merged = choosing.listed(paths), choosing.listed(merge)
    if not named and not merged:
        raise choosing.ArgumentError('expected PATH or --merge FILE; got neither')
    for option, path in {'out': out, 'png': png, 'html': html}.items():
        places.check_file(option, path)
    if against is not None and png is None and html is None:
        raise choosing.ArgumentError('expected --png or --html beside --against; got neither')
    if png is not None or html is not None:
        importlib.import_module('matplotlib')  # fails at once where it is missing
    parts = [_read(path, '--merge') for path in merged]
    if named:
        parts.append(_count(choosing.find(named, archives), filter, out, beam_options))
    found = dataset_stats.total(parts)
    if out is not None and merged:
        places.save(out, json.dumps(found.to_json()).encode())
    other = None
    if against is not None:
        other = os.fspath(against), _other(against, filter, beam_options)
    _draw(found, png, html, _title([*named, *merged], archives, filter), other)
    return found


def _other(path: choosing.Path, filter: str | None, beam_options: str) -> Statistics:
    """Counts on the other data set: all of its archives, by the same rules."""
    if os.fspath(path).endswith('.json'):
        return _read(path, '--against')
    return _count(choosing.find([path], None), filter, None, beam_options)


def _title(
    sources: Sequence[choosing.Path], archives: choosing.Archives, filter: str | None
) -> str:
    title = ', '.join(map(os.fspath, sources))
    title = f'{title}; archives {archives}' if archives is not None else title
    return f'{title}; {filter}' if filter else title


def _draw(
    found: Statistics,
    png: choosing.Path | None,
    html: choosing.Path | None,
    title: str,
    other: tuple[str, Statistics] | None,
) -> None:
    if png is None and html is None:
        return
    from segment_anything_tfds.report import plots

    if png is not None:
        places.save(png, plots.to_png(found, name=title, against=other))
    if html is not None:
        page = plots.to_html(found, title, other)
        places.save(html, page.encode(errors='backslashreplace'))


def _read(path: choosing.Path, option: str) -> Statistics:
    from segment_anything_tfds.report import dataset_stats

    try:
        return dataset_stats.Statistics.from_json(
            json.loads(paths_lib.open_path(os.fspath(path)).read_bytes())
        )
    except ValueError as error:
        raise ValueError(
            f'{option}: expected what `sa1b stats --out` writes in {path}; got: {error}'
        ) from None


def _count(
    units: Sequence, filter: str | None, out: choosing.Path | None, beam_options: str
) -> Statistics:
    logging.disable(logging.WARNING)  # Beam warns of each optional package that is absent
    from segment_anything_tfds.prepare import runner
    from segment_anything_tfds.report import counting

    logging.disable(logging.NOTSET)
    with tempfile.TemporaryDirectory() as folder, runner.quiet(), _interruptible():
        path = os.fspath(out) if out else f'{folder}/stats.json'
        pipeline = runner.pipeline(options=beam_options)
        count = functools.partial(count_unit, filter=filter)
        return counting.run(units, count, pipeline, path)


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


def count_unit(unit, filter: str | None = None):
    """Counts the statistics of one archive or shard; runs in Beam's workers."""
    from segment_anything_tfds.exchange import filters, records
    from segment_anything_tfds.report import dataset_stats
    from segment_anything_tfds.source import faults

    statistics = dataset_stats.Statistics()
    keep = filters.parse(filter or '')
    try:
        for record in records.read(unit, on_fault=statistics.add_fault):
            record = keep(record)
            if record is None:
                continue
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
