"""Makes one archive: what this process, or a Beam worker, does with one unit of pictures."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import logging
import threading
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

from etils import epath

from segment_anything_tfds.annotate import candidates, generator
from segment_anything_tfds.annotate import precision as precision_lib
from segment_anything_tfds.annotate import settings as settings_lib
from segment_anything_tfds.annotate.archives import (
    archive_pieces,
    model_source,
    picture_file,
    picture_lists,
    picture_stream,
)
from segment_anything_tfds.prepare.shards import fault_log
from segment_anything_tfds.prepare.staging import driver, place
from segment_anything_tfds.source import faults

IDS_PER_IMAGE = 100_000  # so that ids of masks are unique, whoever makes which archive
_LAYOUT_VERSION = 1
_SECONDS = 1.0
_REMOTE_SECONDS = 20.0
_loading = threading.Lock()


@dataclasses.dataclass(frozen=True)
class Plan:
    """How every archive of a run is made; picklable.

    Attributes:
      staging: where pieces and notes go.
      out: the folder of the archives.
      model: what `model_source.load` takes.
      model_identity: of its weights.
      settings: of the generator.
      limits: how large pictures may be.
      on_error: `'fail'` or `'skip'`.
      precision: of the image encoder, as `annotate.with_precision` takes it.
      run: which run a worker works for; see `driver.is_over`.
    """

    staging: place.Staging
    out: str
    model: str
    model_identity: str
    settings: settings_lib.Settings
    limits: picture_file.Limits
    on_error: str
    precision: str = 'auto'
    run: str = ''

    @property
    def fingerprint(self) -> str:
        """Identity of the choices that shape the masks."""
        shape = {
            'version': _LAYOUT_VERSION,
            'model': self.model_identity,
            'precision': self.precision,
            'settings': self.settings.to_json(),
            'limits': dataclasses.asdict(self.limits),
        }
        return json.dumps(shape, sort_keys=True)

    def target(self, unit: picture_lists.Unit) -> epath.Path:
        """Tells where the archive of a unit goes."""
        return epath.Path(self.out) / f'{unit.name}.tar'

    def finished(self, unit: picture_lists.Unit) -> dict[str, Any] | None:
        """Gives the note on a unit whose archive is there, else None."""
        note = place.read_json(self.staging.path(unit.name, 'json'))
        if note is None or not {'fingerprint', 'identity', 'bytes'} <= note.keys():
            return None
        target = self.target(unit)
        is_there = target.exists() and target.stat().length == note['bytes']
        return note if is_there else None


def pieces(unit: picture_lists.Unit, plan: Plan) -> archive_pieces.Pieces:
    """Gives the pieces of a unit's archive that this plan makes."""
    identity = f'{unit.identity} {plan.fingerprint}'
    return archive_pieces.Pieces(plan.staging, unit.name, identity)


def interval(staging: place.Staging) -> float:
    """Gives the seconds between two looks at how far a worker has come."""
    return _REMOTE_SECONDS if '://' in staging.folder else _SECONDS


class _Stopped(Exception):
    """Ends the work on an archive that nobody waits for any more."""


class _Failed(Exception):
    """Ends the work on an archive with a fault, which is in its log."""


def annotate_archive(
    unit: picture_lists.Unit, plan: Plan, masks: generator.MaskGenerator | None = None
) -> Counter:
    """Makes the archive of one unit, going on from the pieces that are there.

    No error leaves this function: the driver finds in the staging place what became of each
    archive, on any runner, so one archive never stops the others.

    Args:
      unit: the pictures.
      plan: how to annotate them.
      masks: the generator; where not given, the one of `plan.model`, loaded once a process.

    Returns:
      Counts for Beam's counters: archives, images, masks, and pictures skipped, by reason.
    """
    try:
        with fault_log.FaultLog(plan.staging, unit.name) as log:
            return _annotate(unit, plan, masks, log)
    except _Stopped:
        return Counter(archives_stopped=1)
    except Exception as error:  # on a full disk not even a report can be written
        logging.warning('%s was not finished. %r', unit.name, error)
        return Counter(archives_unfinished=1)


def _annotate(unit, plan, masks, log) -> Counter:
    try:
        _check_run(plan)
        masks = masks or load(plan)
        notes = _Task(unit, plan, masks, log).run()
        counts = _publish(unit, plan, notes)
    except _Failed:
        log.keep_failed()
        return Counter(archives_failed=1)
    except _Stopped:
        raise
    except Exception as error:
        _check_run(plan)
        logging.warning('%s was not finished. %r', unit.name, error)
        with contextlib.suppress(OSError):  # on a full disk not even this can be written
            detail = f'{type(error).__name__}: {error}'
            log.add(faults.Fault(unit.name, fault_log.UNFINISHED, detail))
            log.keep_failed()
        return Counter(archives_unfinished=1)
    return counts + Counter(archives=1)


def _check_run(plan: Plan) -> None:
    if driver.is_over(plan.staging.folder, plan.run):
        raise _Stopped


def load(plan: Plan) -> generator.MaskGenerator:
    """Loads the generator of this process; threads that come first wait for one another."""
    with _loading:
        settings = json.dumps(plan.settings.to_json())
        return _load_once(plan.model, plan.model_identity, plan.precision, settings)


@functools.lru_cache(maxsize=1)
def _load_once(model: str, identity: str, precision: str, settings: str) -> generator.MaskGenerator:
    del identity  # a file of the same name may have other weights by now
    values = json.loads(settings)
    loaded = precision_lib.with_precision(model_source.load(model), precision)
    return generator.MaskGenerator(loaded, settings_lib.Settings(**values))


class _Task:
    """The work on one unit."""

    def __init__(self, unit, plan, masks, log):
        self._unit, self._plan, self._masks, self._log = unit, plan, masks, log
        self._pieces = pieces(unit, plan)
        self._notes: list[dict[str, Any]] = []
        self._interval = interval(plan.staging)
        self._next = 0.0

    def run(self) -> list[dict[str, Any]]:
        """Makes the pieces that are missing; gives the notes of all."""
        self._notes = self._pieces.notes()
        done = sum(note['seen'] for note in self._notes)
        files = read_list(self._plan.staging, self._unit)
        piece = archive_pieces.Piece()
        for position, entry in enumerate(picture_stream.read(self._unit, files)):
            if position < done:  # it is in a piece that is kept, or was left out there
                continue
            self._take(entry, piece)
            if piece.seen == archive_pieces.PIECE_IMAGES:
                self._keep(piece)
                piece = archive_pieces.Piece()
        if piece.seen:
            self._keep(piece)
        if not any(note['rows'] for note in self._notes):
            self._fail_all()
        return self._notes

    def _fail_all(self) -> None:
        """Fails the unit: no picture is left, so there is no archive; the faults say why."""
        for note in self._notes:
            for values in note['faults']:
                self._log.add(faults.Fault(**values))
        raise _Failed

    def _take(
        self, entry: picture_stream.Entry | faults.Fault, piece: archive_pieces.Piece
    ) -> None:
        piece.seen += 1
        if isinstance(entry, faults.Fault):
            return self._leave_out(entry, piece)
        try:
            found = picture_file.load(entry.data, self._plan.limits)
        except picture_file.PictureError as error:
            fault = faults.Fault(self._unit.name, error.reason, str(error), entry.source)
            return self._leave_out(fault, piece)
        try:
            rows = self._masks.generate(found.pixels, first_id=entry.image_id * IDS_PER_IMAGE)
        except candidates.NotFiniteError as error:
            fault = faults.Fault(self._unit.name, 'masks_not_finite', str(error), entry.source)
            return self._leave_out(fault, piece)
        piece.add(*_pair(entry, found, [row for row in rows if row['area']]))
        self._report(piece)

    def _leave_out(self, fault: faults.Fault, piece: archive_pieces.Piece) -> None:
        if self._plan.on_error == 'fail':
            self._log.add(fault)
            raise _Failed
        piece.faults.append(dataclasses.asdict(fault))

    def _keep(self, piece: archive_pieces.Piece) -> None:
        _check_run(self._plan)
        self._pieces.write(len(self._notes), piece)
        self._notes.append({'seen': piece.seen, 'rows': piece.rows, 'faults': piece.faults})

    def _report(self, piece: archive_pieces.Piece) -> None:
        """Tells the driver how far this is, every second or so."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + self._interval
        counts = archive_pieces.count(self._notes) + Counter(
            images=len(piece.rows), masks=piece.masks
        )
        with contextlib.suppress(Exception):  # stores have errors of their own kinds
            path = self._plan.staging.path(self._unit.name, 'progress.json')
            place.write_text(path, json.dumps(counts))


def _pair(entry, found: picture_file.Picture, rows: list[dict]) -> tuple[bytes, dict, list]:
    """Makes the two halves of a picture's pair, and its row of the side table."""
    height, width = found.pixels.shape[:2]
    name = f'sa_{entry.image_id}.jpg'
    image = {'image_id': entry.image_id, 'width': width, 'height': height, 'file_name': name}
    original_height, original_width = found.original_size
    row = [name, entry.source, width, height, original_width, original_height, len(rows)]
    return found.jpeg, {'image': image, 'annotations': rows}, row


def _publish(unit: picture_lists.Unit, plan: Plan, notes: Sequence[dict[str, Any]]) -> Counter:
    """Gives the archive its name, and notes that it is whole; then the pieces may go."""
    counts = archive_pieces.count(notes)
    made = pieces(unit, plan)
    size = made.assemble(len(notes), plan.target(unit))
    found = [json.dumps(fault) for note in notes for fault in note['faults']]
    if found:
        place.write_text(plan.staging.path(unit.name, 'faults.jsonl'), '\n'.join(found) + '\n')
    rows = [row for note in notes for row in note['rows']]
    place.write_text(plan.staging.path(unit.name, 'csv'), archive_pieces.table(rows))
    note = {
        'fingerprint': plan.fingerprint,
        'identity': unit.identity,
        'bytes': size,
        'counts': counts,
    }
    place.write_text(plan.staging.path(unit.name, 'json'), json.dumps(note))
    made.clear(len(notes))
    plan.staging.forget(unit.name, 'progress.json')
    return counts


def write_list(staging: place.Staging, unit: picture_lists.Unit, files: list[str]) -> None:
    """Keeps the names of a unit's files where workers find them."""
    place.write_text(staging.path(unit.name, 'list.json'), json.dumps(files))


def read_list(staging: place.Staging, unit: picture_lists.Unit) -> list[str] | None:
    """Gives the names of a unit's files; `None` for a unit without."""
    if unit.origin is not None:
        return None
    return json.loads(staging.path(unit.name, 'list.json').read_text())
