"""The Beam transform from archives to shards: one element an archive, no shuffle of the data."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import apache_beam as beam

from segment_anything_tfds.prepare import runner
from segment_anything_tfds.prepare.shards import shard
from segment_anything_tfds.source.archive import pair_stream

_COUNTERS = 'segment_anything'


class _BuildArchive(beam.DoFn):
    def __init__(self, plan: shard.Plan):
        self._plan = plan

    def process(self, source: pair_stream.Source):
        for name, value in shard.build_archive(source, self._plan).items():
            beam.metrics.Metrics.counter(_COUNTERS, name).inc(value)
        yield source.name


class BuildShards(beam.PTransform):
    """Writes the shards of each archive to the staging place.

    The archives are dealt out to the workers; a worker reads its archive and writes its shards
    itself, so nothing larger than a name ever moves between workers. Links are signed, so they
    stay out of the elements, which a runner stores and may show: a worker looks up its own.
    """

    def __init__(self, sources: Sequence[pair_stream.Source], plan: shard.Plan):
        super().__init__()
        self._sources = [_without_link(source) for source in sources]
        self._plan = plan

    def expand(self, pipeline):
        return (
            pipeline
            | 'Archives' >> beam.Create(self._sources, reshuffle=False)
            | 'DealOut' >> beam.Reshuffle()
            | 'BuildShards' >> beam.ParDo(_BuildArchive(self._plan))
        )


def _without_link(source: pair_stream.Source) -> pair_stream.Source:
    return dataclasses.replace(source, location='') if source.kind == 'link' else source


def run(sources: Sequence[pair_stream.Source], plan: shard.Plan, beam_runner, beam_options) -> None:
    """Runs the transform to its end, on the given runner or in this process."""
    pipeline = runner.pipeline(beam_runner, beam_options)
    _ = pipeline | BuildShards(sources, plan)
    with runner.quiet():
        runner.run(pipeline)
