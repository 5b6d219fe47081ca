"""The Beam transform from pictures to archives: one element an archive, no shuffle of the data."""

from __future__ import annotations

from collections.abc import Sequence

import apache_beam as beam

from segment_anything_tfds.annotate.archives import archive_task, picture_lists
from segment_anything_tfds.prepare import runner

_COUNTERS = 'segment_anything'


class _AnnotateArchive(beam.DoFn):
    def __init__(self, plan: archive_task.Plan):
        self._plan = plan

    def process(self, unit: picture_lists.Unit):
        for name, value in archive_task.annotate_archive(unit, self._plan).items():
            beam.metrics.Metrics.counter(_COUNTERS, name).inc(value)
        yield unit.name


class AnnotateArchives(beam.PTransform):
    """Makes the archive of each unit.

    The units are dealt out to the workers; a worker loads the model once a process, reads the
    pictures and writes the archive itself, so nothing larger than a name ever moves between
    workers. The names of pictures lie in the staging place.
    """

    def __init__(self, units: Sequence[picture_lists.Unit], plan: archive_task.Plan):
        super().__init__()
        self._units, self._plan = list(units), plan

    def expand(self, pipeline):
        return (
            pipeline
            | 'Archives' >> beam.Create(self._units, reshuffle=False)
            | 'DealOut' >> beam.Reshuffle()
            | 'Annotate' >> beam.ParDo(_AnnotateArchive(self._plan))
        )


def run(units, plan: archive_task.Plan, beam_runner, beam_options) -> None:
    """Runs the transform to its end, on the given runner or in this process."""
    pipeline = runner.pipeline(beam_runner, beam_options)
    _ = pipeline | AnnotateArchives(units, plan)
    with runner.quiet():
        runner.run(pipeline)
