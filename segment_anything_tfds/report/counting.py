"""Statistics of many archives and shards, counted by Beam."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Sequence
from typing import Any

import apache_beam as beam
from apache_beam.io import filesystems

from segment_anything_tfds.report import dataset_stats


def run(
    units: Sequence[Any], count: Callable[[Any], dataset_stats.Statistics], pipeline, path: str
) -> dataset_stats.Statistics:
    """Counts all units in a Beam pipeline: one partial result a unit, added up as they come.

    Args:
      units: archives and shards, as `inputs.find` gives them.
      count: gives the statistics of one unit; picklable.
      pipeline: a `beam.Pipeline`, not yet run.
      path: where the workers write the result, as JSON; remote where the workers are.

    Returns:
      The statistics of all units.

    Raises:
      RuntimeError: the runner lost units, so the numbers would be wrong.
    """
    with pipeline:
        _ = (
            pipeline
            | 'Units' >> beam.Create(list(units))
            | 'Spread' >> beam.Reshuffle()
            | 'Count' >> beam.Map(_count, count)
            | 'AddUp' >> beam.CombineGlobally(dataset_stats.total)
            | 'Write' >> beam.Map(_write, path)
        )
    with filesystems.FileSystems.open(path) as file:
        found = dataset_stats.Statistics.from_json(json.load(file))
    if found.units != len(units):
        raise RuntimeError(
            f'`counting.run`: expected {len(units)} units to be counted; got {found.units}. The '
            'runner lost some: count again, with another runner.'
        )
    return found


def _count(unit: Any, count: Callable[[Any], dataset_stats.Statistics]) -> dataset_stats.Statistics:
    statistics = count(unit)
    statistics.units = 1
    return statistics


def _write(statistics: dataset_stats.Statistics, path: str) -> None:
    text = json.dumps(statistics.to_json())
    temporary = f'{path}.{uuid.uuid4().hex}.part'
    with filesystems.FileSystems.create(temporary, 'application/json') as file:
        file.write(text.encode())
    if filesystems.FileSystems.exists(path):
        filesystems.FileSystems.delete([path])
    filesystems.FileSystems.rename([temporary], [path])
