"""`sa1b.records`, which reads records, with `sa1b.records.write`, which makes them of own data."""

from __future__ import annotations

from segment_anything_tfds.actions.choosing import records
from segment_anything_tfds.actions.import_data import write

__all__ = ['records', 'write']

records.write = write
