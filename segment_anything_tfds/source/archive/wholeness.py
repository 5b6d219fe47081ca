"""Tells whether an archive without faults may still be incomplete."""

from __future__ import annotations

import json
import os

from segment_anything_tfds.source import released
from segment_anything_tfds.source.archive import locations, paths

EXPECTED_PAIRS = released.PAIRS_AN_ARCHIVE
ANNOTATED = '.sa1b_annotate'  # the folder of notes beside archives that `sa1b annotate` wrote


def doubts(source: locations.Source, pairs: int, expected: int | None = EXPECTED_PAIRS) -> dict:
    """Gives the signs that an archive is incomplete.

    A tar has an end mark; a folder has nothing of the kind, unless `sa1b` extracted it and left a
    note beside it. Subsets are made on purpose, so none of this is a fault. An archive that
    `sa1b annotate` wrote should hold what its note says, not what one of SA-1B does.

    Args:
      source: the archive.
      pairs: how many images with a record it holds.
      expected: how many it should hold; `None` for any number.

    Returns:
      A sentence for each doubt: `'pairs'` about their number, `'folder'` about the extraction.
    """
    found = {}
    reason = 'as all known archives of SA-1B have'
    if expected == EXPECTED_PAIRS != pairs and (noted := _annotated_pairs(source)) is not None:
        expected, reason = noted, 'as `sa1b annotate` wrote'
    if expected is not None and pairs != expected:
        found['pairs'] = f'expected {expected:,} pairs, {reason}; got {pairs:,}'
    if source.kind == 'folder' and (doubt := _doubt_of_folder(source.location, pairs)):
        found['folder'] = doubt
    return found


def _annotated_pairs(source: locations.Source) -> int | None:
    """Gives how many pairs `sa1b annotate` wrote into the archive; `None` where nothing says so."""
    if source.kind == 'link':
        return None
    folder, name = os.path.split(source.location.rstrip('/'))
    try:
        note = paths.open_path(folder) / ANNOTATED / f'{name.partition(".")[0]}.json'
        return int(json.loads(note.read_text())['counts']['images'])
    except Exception:  # no note, or none of ours; stores have errors of their own kinds
        return None


def _doubt_of_folder(folder: str, pairs: int) -> str | None:
    from segment_anything_tfds.source.archive import extract  # imports what downloads need

    parent, name = os.path.split(os.path.normpath(folder)) if '://' not in folder else ('', '')
    noted = extract.extracted_pairs(parent, name) if name else None
    if noted is None:
        return 'was read from a folder that `sa1b` did not extract, so nothing says it is whole'
    if noted != pairs:
        return f'was extracted with {noted:,} pairs, of which {pairs:,} are left'
    return None
