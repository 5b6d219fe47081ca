"""Which Beam runner a pipeline runs on, and with which options."""

from __future__ import annotations

import contextlib
import logging
import queue
import threading

import apache_beam as beam
from apache_beam.options import pipeline_options
from apache_beam.runners.portability import fn_api_runner

_IN_PROCESS = (None, 'DirectRunner', 'FnApiRunner')
_WATCHES_A_WORKER = 'run_worker'  # name of the threads in which Beam starts worker processes


class WorkerLostError(RuntimeError):
    """A worker process of a runner on this machine died."""


class _Pipeline(beam.Pipeline):
    """A pipeline that is put together in a notebook as anywhere else.

    In IPython, Beam asks whether a cell holds the pipeline, to put the cell's number before the
    label of what stands at its root. For that it imports its interactive runner with data frames of
    its own, which fails beside pandas 3: `type object 'DataFrame' has no attribute 'first'`.
    """

    def apply(self, *args, **kwargs):
        self.transforms_stack.insert(0, None)  # so nothing stands at the root
        try:
            return super().apply(*args, **kwargs)
        finally:
            del self.transforms_stack[0]


def pipeline(
    runner=None, options: pipeline_options.PipelineOptions | str | None = None
) -> beam.Pipeline:
    """Makes a pipeline that runs in this process, unless `runner` or `options` name another runner.

    Beam's own default first looks for a Go binary to download, and takes options from the
    program's command line; this one does neither.

    Args:
      runner: a Beam runner or its name; overrides the one that `options` name.
      options: Beam's options, for example from `tfds build --beam_pipeline_options`; or a text with
        options joined by commas, such as `'runner=DataflowRunner,project=...'`.

    Returns:
      A `beam.Pipeline`, not yet run.
    """
    if not isinstance(options, pipeline_options.PipelineOptions):
        named = [name.strip() for name in (options or '').split(',')]
        options = pipeline_options.PipelineOptions([f'--{name}' for name in named if name])
    if runner is None:
        runner = options.view_as(pipeline_options.StandardOptions).runner
    if runner in _IN_PROCESS:
        runner = fn_api_runner.FnApiRunner()
    return _Pipeline(runner=runner, options=options)


def run(pipeline: beam.Pipeline) -> None:
    """Runs a pipeline to its end.

    Where a worker process is killed, for example since memory is short, Beam's runners on one
    machine wait for it for ever: the thread that started the process ends with an error that nobody
    hears. So a pipeline with such workers runs in a thread, and that error ends the wait.

    Args:
      pipeline: the pipeline.

    Raises:
      WorkerLostError: a worker process died.
    """
    options = pipeline.options.view_as(pipeline_options.DirectOptions)
    local = isinstance(pipeline.runner, fn_api_runner.FnApiRunner)
    if local and options.direct_running_mode != 'multi_processing':
        pipeline.run().wait_until_finish()
        return
    outcomes: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()
    with _hear_of_lost_workers(outcomes):
        threading.Thread(target=_run, args=(pipeline, outcomes), daemon=True).start()
        error = outcomes.get()
    if error is not None:
        raise error


def is_interrupt(error: BaseException | None) -> bool:
    """Tells whether an error is what Beam made of a `KeyboardInterrupt` in a worker here."""
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return True
        error = error.__cause__ or error.__context__
    return False


def _run(pipeline: beam.Pipeline, outcomes: queue.SimpleQueue) -> None:
    try:
        pipeline.run().wait_until_finish()
    except BaseException as error:
        outcomes.put(error)
    else:
        outcomes.put(None)


@contextlib.contextmanager
def _hear_of_lost_workers(outcomes: queue.SimpleQueue):
    earlier = threading.excepthook

    def hear(args):
        if args.thread is not None and args.thread.name == _WATCHES_A_WORKER:
            outcomes.put(WorkerLostError(str(args.exc_value)))
        else:
            earlier(args)

    threading.excepthook = hear
    try:
        yield
    finally:
        threading.excepthook = earlier


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
