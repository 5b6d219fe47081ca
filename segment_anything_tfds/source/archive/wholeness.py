"""Tells whether an archive without faults may still be incomplete."""

from __future__ import annotations

import os

from segment_anything_tfds.source import released
from segment_anything_tfds.source.archive import locations

EXPECTED_PAIRS = released.PAIRS_AN_ARCHIVE


def doubts(source: locations.Source, pairs: int, expected: int | None = EXPECTED_PAIRS) -> dict:
    """Gives the signs that an archive is incomplete.

    A tar has an end mark; a folder has nothing of the kind, unless `sa1b` extracted it and left a
    note beside it. Subsets are made on purpose, so none of this is a fault.

    Args:
      source: the archive.
      pairs: how many images with a record it holds.
      expected: how many it should hold; `None` for any number.

    Returns:
      A sentence for each doubt: `'pairs'` about their number, `'folder'` about the extraction.
    """
    found = {}
    if expected is not None and pairs != expected:
        found['pairs'] = (
            f'expected {expected:,} pairs, as all known archives of SA-1B have; got {pairs:,}'
        )
    if source.kind == 'folder' and (doubt := _doubt_of_folder(source.location, pairs)):
        found['folder'] = doubt
    return found


def _doubt_of_folder(folder: str, pairs: int) -> str | None:
    from segment_anything_tfds.source.archive import extract  # imports what downloads need

    parent, name = os.path.split(os.path.normpath(folder)) if '://' not in folder else ('', '')
    noted = extract.extracted_pairs(parent, name) if name else None
    if noted is None:
        return 'was read from a folder that `sa1b` did not extract, so nothing says it is whole'
    if noted != pairs:
        return f'was extracted with {noted:,} pairs, of which {pairs:,} are left'
    return None
