"""Drives a run: finds the pictures, has archives made of them, and accounts for each."""

from __future__ import annotations

import dataclasses
import itertools
import json
import logging
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from etils import epath

from segment_anything_tfds.annotate import precision as precision_lib
from segment_anything_tfds.annotate import settings as settings_lib
from segment_anything_tfds.annotate.archives import (
    archive_pieces,
    archive_task,
    mask_rate,
    model_source,
    picture_file,
    picture_lists,
)
from segment_anything_tfds.prepare.shards import fault_log
from segment_anything_tfds.prepare.staging import driver, place
from segment_anything_tfds.source import faults, meter
from segment_anything_tfds.source.archive import paths as paths_lib
from segment_anything_tfds.source.archive import wholeness

STAGING = wholeness.ANNOTATED
TABLE = 'sources.csv'
_ATTEMPTS = 2
_FAULTS_SHOWN = 20
_FAULTS_KEPT = 100


@dataclasses.dataclass(frozen=True)
class Summary:
    """What a run did.

    Attributes:
      archives: the archives that are there now.
      images: pictures in them.
      masks: masks of these pictures.
      reused: how many archives an earlier run had finished.
      left_out: pictures that were skipped, by reason.
      skipped: which pictures these are, and why; the first 100.
      passed_over: files of folders that are no pictures, by suffix.
    """

    archives: list[str]
    images: int
    masks: int
    reused: int
    left_out: dict[str, int]
    passed_over: dict[str, int]
    skipped: tuple[faults.Fault, ...] = ()


def write_archives(
    paths: str | os.PathLike | Sequence[str | os.PathLike],
    model: Any,
    out: str | os.PathLike,
    *,
    settings: settings_lib.Settings | str = 'sa1b',
    archive_size: int = picture_lists.ARCHIVE_SIZE,
    first_id: int | None = None,
    first_number: int = 0,
    short_side: int | None = 1500,
    max_side: int | None = None,
    on_error: str = 'fail',
    precision: str = 'auto',
    beam_runner: Any = None,
    beam_options: Any = None,
    progress: meter.Show = True,
) -> Summary:
    """Finds the masks of pictures and writes both as archives in the format of SA-1B.

    Each archive appears under its name when it is whole. A run that was stopped goes on from the
    last eight pictures when it is called again in the same way. `sources.csv` beside the archives
    says which picture each `sa_<id>.jpg` was.

    Args:
      paths: picture files and folders of them, or archives, extracted archives and prepared data
        sets of SA-1B.
      model: a `training.PromptableSegmenter`, or a name as `sa1b annotate --model` takes it; on a
        Beam runner, a name that workers can load.
      out: the folder of the archives; may be in a bucket.
      settings: of the generator.
      archive_size: picture files an archive.
      first_id: image id of the first picture file, 1 if not given.
      first_number: number of the first archive.
      short_side: pictures whose shorter side is longer are made smaller; `None` leaves them.
      max_side: as `short_side`, for the longer side.
      on_error: `'fail'`: an archive stops at a picture that cannot be annotated, the others go on.
        `'skip'`: such pictures are left out, and named in the summary's folder.
      precision: of the model's image encoder, as `annotate.with_precision` takes it.
      beam_runner: a Beam runner or its name; in this process if not given.
      beam_options: Beam's options, or a text with options joined by commas, such as
        `'runner=DataflowRunner,project=...'`; with them the work runs on Beam.
      progress: whether and how to show progress.

    Returns:
      What is there now.

    Raises:
      FileNotFoundError: a path does not exist.
      FileExistsError: `out` holds archives of these numbers that this call would not have made.
      ValueError: an argument is out of its range, the paths hold no pictures, or `out` is one of
        them.
      faults.DataError: archives could not be finished; the others are, and stay.
      RuntimeError: another run is writing there.
    """
    given = [paths] if isinstance(paths, (str, os.PathLike)) else list(paths)
    on_beam = beam_runner is not None or beam_options is not None
    limits = picture_file.Limits(short_side, max_side)
    plan, masks = _plan(model, out, settings, limits, on_error, precision)
    if on_beam and masks is not None:
        raise ValueError(
            '`annotate.write_archives`: expected `model` to be a name, with Beam; got a '
            f'{type(model).__name__}. Save it with `model.save`, and give the file.'
        )
    _check_apart(given, plan.out)
    found = picture_lists.find(
        given,
        archive_size=archive_size,
        first_id=first_id,
        first_number=first_number,
        without=plan.out,
    )
    with driver.hold(plan.staging.folder) as runs:
        run = _Run(plan, found, runs, masks, (beam_runner, beam_options) if on_beam else None)
        run.all(progress)
        return run.finish()


def _check_apart(given: Sequence[str | os.PathLike], out: str) -> None:
    """Refuses to write where the pictures are: another run would take its archives for them."""

    def place_of(path):
        return path.rstrip('/') if '://' in path else os.path.realpath(path)

    for path in map(os.fspath, given):
        if place_of(path) == place_of(out):
            raise ValueError(
                '`annotate.write_archives`: expected `out` to be another folder than those of '
                f'`paths`; got {out} for both. Choose a new one.'
            )


def _plan(model, out, settings, limits, on_error, precision) -> tuple[archive_task.Plan, Any]:
    """Gives the plan, and the generator where the model is one in memory."""
    if isinstance(settings, str):
        settings = settings_lib.get(settings)
    settings = dataclasses.replace(settings, output_mode='coco_rle')  # the only one of SA-1B
    if on_error not in ('fail', 'skip'):
        raise ValueError(
            "`annotate.write_archives`: expected `on_error` to be 'fail' or 'skip'; got "
            f'{on_error!r}.'
        )
    precision_lib.check(precision)
    out = os.fspath(out)
    paths_lib.open_path(out)  # refuses what is no place, before anything is loaded
    out = out if '://' in out else os.path.abspath(os.path.expanduser(out))
    masks = None
    if isinstance(model, (str, os.PathLike)):
        name = os.fspath(model)
        identity = model_source.identity(name)
    else:
        from segment_anything_tfds.annotate import generator

        identity, name = model_source.identity_of_weights(model), ''
        masks = generator.MaskGenerator(precision_lib.with_precision(model, precision), settings)
    staging = place.Staging(f'{out}/{STAGING}', 'piece')
    choices = (settings, limits, on_error, precision)
    return archive_task.Plan(staging, out, name, identity, *choices), masks


class _Run:
    """Has archives made until every one of them is accounted for."""

    def __init__(self, plan, found, runs, masks, on_beam):
        self._plan, self._found, self._runs = plan, found, runs
        self._masks, self._on_beam = masks, on_beam
        self._reused = 0

    def all(self, progress: meter.Show) -> None:
        """Makes all archives, or raises an error that lists why some could not be."""
        todo = [unit for unit in self._found.units if not self._is_finished(unit)]
        self._reused = len(self._found.units) - len(todo)
        self._check_targets(todo)
        for unit in todo:
            if unit.origin is None:
                files = self._found.files[unit.number]
                archive_task.write_list(self._plan.staging, unit, files)
        with mask_rate.shown(self._plan, self._found.units, progress):
            missing = todo
            for attempt in range(_ATTEMPTS):
                if missing:
                    self._run(missing, last=attempt == _ATTEMPTS - 1)
                missing = [unit for unit in missing if not self._is_settled(unit)]
        self._raise_failures([unit for unit in todo if not self._is_finished(unit)])

    def finish(self) -> Summary:
        """Writes the table of sources; gives what is there."""
        counts: Counter = Counter()
        rows = [archive_pieces.table([], header=True)]
        for unit in self._found.units:
            counts += Counter(self._plan.finished(unit)['counts'])
            rows.append(self._plan.staging.path(unit.name, 'csv').read_text())
        place.write_text(epath.Path(self._plan.out) / TABLE, ''.join(rows))
        return Summary(
            [str(self._plan.target(unit)) for unit in self._found.units],
            counts['images'],
            counts['masks'],
            self._reused,
            {k.partition('/')[2]: n for k, n in counts.items() if k.startswith('skipped/')},
            dict(self._found.passed_over),
            tuple(itertools.islice(self._skipped(), _FAULTS_KEPT)),
        )

    def _skipped(self) -> Iterator[faults.Fault]:
        """Tells why pictures were left out, as their archives' reports say."""
        for unit in self._found.units:
            if any(name.startswith('skipped/') for name in self._plan.finished(unit)['counts']):
                report = self._plan.staging.path(unit.name, 'faults.jsonl').read_text()
                yield from (faults.Fault(**json.loads(line)) for line in report.splitlines())

    def _is_finished(self, unit: picture_lists.Unit) -> bool:
        note = self._plan.finished(unit)
        return note is not None and not self._differs(note, unit)

    def _differs(self, note: dict[str, Any], unit: picture_lists.Unit) -> bool:
        now = (self._plan.fingerprint, unit.identity)
        return (note['fingerprint'], note['identity']) != now

    def _check_targets(self, todo: Sequence[picture_lists.Unit]) -> None:
        """Refuses to replace archives that are not what an unfinished run has left."""
        for unit in todo:
            target, note = self._plan.target(unit), self._plan.finished(unit)
            begun = archive_task.pieces(unit, self._plan).notes(limit=1)
            if target.exists() and not begun:
                what = 'one' if note is None else 'one of other pictures, settings or weights'
                raise FileExistsError(
                    f'`annotate.write_archives`: expected `out` without another {target.name}; '
                    f'got {self._plan.out}, which has {what}. Choose another folder, or another '
                    '`first_number`.'
                )

    def _run(self, units: Sequence[picture_lists.Unit], *, last: bool) -> None:
        for unit in units:
            self._plan.staging.forget(unit.name, 'failed.json', 'failed.jsonl', 'progress.json')
        plan = dataclasses.replace(self._plan, run=self._runs.start())
        if self._on_beam is None:
            masks = self._masks or archive_task.load(plan)
            for unit in units:
                archive_task.annotate_archive(unit, plan, masks)
            return
        from segment_anything_tfds.annotate.archives import annotation_beam
        from segment_anything_tfds.prepare import runner

        try:
            annotation_beam.run(units, plan, *self._on_beam)
        except Exception as error:
            if runner.is_interrupt(error):
                raise KeyboardInterrupt from None
            if last:
                raise
            logging.warning('The pipeline stopped (%r); going on with what is missing.', error)

    def _is_settled(self, unit: picture_lists.Unit) -> bool:
        """Tells whether another attempt at the archive would change nothing."""
        failure = fault_log.read(self._plan.staging, unit.name)
        return self._is_finished(unit) or (failure is not None and not failure.may_pass)

    def _failure(self, unit: picture_lists.Unit) -> list[faults.Fault]:
        failure = fault_log.read(self._plan.staging, unit.name) or fault_log.Failure()
        return [*failure.roots, *failure.first]

    def _raise_failures(self, failed: Sequence[picture_lists.Unit]) -> None:
        if not failed:
            return
        found: list[faults.Fault] = []
        for unit in failed:
            no_word = faults.Fault(unit.name, fault_log.UNFINISHED, 'no worker finished it')
            found += self._failure(unit) or [no_word]
        lines = [f'  {fault}' for fault in found[:_FAULTS_SHOWN]]
        if len(found) > _FAULTS_SHOWN:
            lines.append(f'  and more: see `*.failed.jsonl` in {self._plan.staging.folder}')
        bad = any(fault.reason != fault_log.UNFINISHED for fault in found)
        if bad and self._plan.on_error == 'fail':
            lines.append("`on_error='skip'` leaves such pictures out, each of them reported.")
        total = len(self._found.units)
        raise faults.DataError(
            found,
            f'{len(failed)} of {total} archives could not be finished; what is done is kept, and '
            'another run goes on from there.\n' + '\n'.join(lines),
        )
