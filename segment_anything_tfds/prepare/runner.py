"""Which Beam runner a pipeline runs on, and with which options."""

from __future__ import annotations

import contextlib
import logging

import apache_beam as beam
from apache_beam.options import pipeline_options
from apache_beam.runners.portability import fn_api_runner

_IN_PROCESS = (None, 'DirectRunner', 'FnApiRunner')


def pipeline(runner=None, options: pipeline_options.PipelineOptions | None = None) -> beam.Pipeline:
    """A pipeline that runs in this process, unless `runner` or `options` name another runner.

    Beam's own default first looks for a Go binary to download, and takes options from the
    program's command line; this one does neither.

    Args:
      runner: a Beam runner or its name; overrides the one that `options` name.
      options: Beam's options, for example from `tfds build --beam_pipeline_options`.

    Returns:
      A `beam.Pipeline`, not yet run.
    """
    options = options or pipeline_options.PipelineOptions(flags=[])
    if runner is None:
        runner = options.view_as(pipeline_options.StandardOptions).runner
    if runner in _IN_PROCESS:
        runner = fn_api_runner.FnApiRunner()
    return beam.Pipeline(runner=runner, options=options)


@contextlib.contextmanager
def quiet():
    """Keeps Beam from logging its start-up details while a pipeline runs."""
    logger = logging.getLogger('apache_beam')
    level = logger.level
    logger.setLevel(max(level, logging.WARNING))
    try:
        yield
    finally:
        logger.setLevel(level)
