"""Builds in processes of their own, watched from outside; for the benchmarks of builds."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import _report
import psutil

ROOT = pathlib.Path(__file__).resolve().parent.parent
SAMPLE_SECONDS = 0.05
CHILD = """
import json, sys, time
import segment_anything_tfds
import tensorflow_datasets as tfds
from apache_beam.options import pipeline_options
from segment_anything_tfds.prepare import runner
from segment_anything_tfds.prepare.shards import transform

if __name__ == '__main__':
    manual_dir, data_dir, config, kwargs, flags = json.loads(sys.argv[1])
    begin = time.perf_counter()
    cluster = None
    if any('DaskRunner' in flag for flag in flags):
        from dask import distributed
        cluster = distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        )
        flags.append(f'--dask_client_address={cluster.scheduler_address}')
    started, constructed = [], []
    run_all, run = transform.run, runner.run

    def start(*args):
        started.append(time.perf_counter())
        run_all(*args)

    def timed(pipeline):
        pipeline.to_runner_api()
        constructed.append(time.perf_counter() - started[-1])
        run(pipeline)

    transform.run, runner.run = start, timed
    builder = tfds.builder(
        'segment_anything/' + config if config else 'segment_anything', data_dir=data_dir, **kwargs
    )
    download_config = tfds.download.DownloadConfig(
        manual_dir=manual_dir, beam_options=pipeline_options.PipelineOptions(flags=flags)
    )
    builder.download_and_prepare(download_config=download_config)
    seconds = time.perf_counter() - begin
    print('RESULT', json.dumps({
        'build_seconds': seconds,
        'construction_seconds': constructed[0],
        'images': builder.info.splits['train'].num_examples,
        'runs': len(constructed),
    }))
    if cluster is not None:
        cluster.close()
"""


@dataclasses.dataclass(frozen=True)
class Job:
    """One build.

    Attributes:
      manual_dir: folder of the archives.
      config: the archives' numbers, empty for all.
      flags: Beam's options.
      kwargs: the builder's arguments.
    """

    manual_dir: pathlib.Path
    config: str = ''
    flags: tuple[str, ...] = ()
    kwargs: dict = dataclasses.field(default_factory=dict)

    def start(self, script: pathlib.Path, data_dir: str) -> subprocess.Popen:
        """Starts it; what it prints goes to a file beside the script."""
        script.write_text(CHILD)
        arguments = [str(self.manual_dir), data_dir, self.config, self.kwargs, list(self.flags)]
        return subprocess.Popen(
            [sys.executable, str(script), json.dumps(arguments)],
            stdout=script.with_suffix('.log').open('w'),
            stderr=subprocess.STDOUT,
            env=dict(os.environ, PYTHONPATH=str(ROOT), TF_CPP_MIN_LOG_LEVEL='2'),
        )


def measure(*jobs: Job, data_dir: str | None = None) -> dict:
    """Runs builds side by side.

    Args:
      *jobs: what to build.
      data_dir: where to; `None` for a folder that is removed again.

    Returns:
      `seconds` from the start of the first process to the end of the last, imports included;
      `cpu_seconds` and `peak_bytes` of memory of all processes; and of each build, what it
      printed, in `builds`.
    """
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(dir=jobs[0].manual_dir.parent))
        start, used = time.perf_counter(), _report.cpu_seconds()
        scripts = [pathlib.Path(folder, f'build{i}.py') for i in range(len(jobs))]
        running = [
            job.start(script, data_dir or f'{folder}/data')
            for job, script in zip(jobs, scripts, strict=True)
        ]
        peak, watched = 0, time.process_time()
        while any(process.poll() is None for process in running):
            peak = max(peak, sum(_resident(process.pid) for process in running))
            time.sleep(SAMPLE_SECONDS)
        seconds = time.perf_counter() - start
        watching = time.process_time() - watched
        return {
            'seconds': seconds,
            'cpu_seconds': _report.cpu_seconds() - used - watching,
            'peak_bytes': peak,
            'builds': list(map(_result, running, scripts)),
        }


def _resident(pid: int) -> int:
    """Bytes of memory of a process and its children; pages they share count once each."""
    total = 0
    with contextlib.suppress(psutil.Error):
        parent = psutil.Process(pid)
        for process in [parent, *parent.children(recursive=True)]:
            with contextlib.suppress(psutil.Error):
                total += process.memory_info().rss
    return total


def _result(process: subprocess.Popen, script: pathlib.Path) -> dict:
    output = script.with_suffix('.log').read_text()
    if process.wait():
        raise RuntimeError(f'exit code {process.returncode}\n{output}')
    line = next(line for line in output.splitlines() if line.startswith('RESULT '))
    return json.loads(line.removeprefix('RESULT '))
