"""Drives a build: has archives turned into shards, and accounts for each."""

from __future__ import annotations

import dataclasses
import logging
import os
from collections.abc import Sequence

import tensorflow_datasets.public_api as tfds
from etils import epath

from segment_anything_tfds import tfds_parts
from segment_anything_tfds.prepare import (
    accounts,
    builder_options,
    failures,
    finding,
    prepared,
    progress,
    publish,
    runner,
    summary,
)
from segment_anything_tfds.prepare.shards import fault_log, shard, transform
from segment_anything_tfds.prepare.staging import driver, object_store, place
from segment_anything_tfds.source import checksums, faults, selection
from segment_anything_tfds.source.archive import pair_stream
from segment_anything_tfds.source.remote import links_file

_ATTEMPTS = 2
_IGNORED_SETTINGS = ('num_shards', 'min_shard_size', 'max_shard_size', 'nondeterministic_order')
_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Request:
    """What is to be built.

    Attributes:
      config: the config, `None` for all archives.
      options: what the user chose.
      download_config: TFDS's configuration; its Beam runner and options and
        `max_examples_per_split` are honoured.
      template: the names of the shards, in the folder where they are to be put.
      dataset_dir: the final folder of the data set.
      file_format: TFDS's file format of the shards.
    """

    config: str | None
    options: builder_options.Options
    download_config: tfds.download.DownloadConfig
    template: tfds_parts.ShardedFileTemplate
    dataset_dir: epath.Path
    file_format: tfds_parts.FileFormat

    @property
    def numbers(self) -> tuple[int, ...] | None:
        """The archives of the selection, `None` for all that are listed or present."""
        return tuple(selection.parse(self.config)) if self.config else None


def build_split(
    request: Request, manual_dir: epath.Path | None, runs: driver.Runs
) -> summary.Summary:
    """Builds the split, going on from what earlier builds finished, and publishes its shards.

    Args:
      request: what is to be built.
      manual_dir: folder with the links file, archives, or extracted archives; `None` for none.
      runs: of this driver.

    Returns:
      What was done.

    Raises:
      ValueError: where an archive is nowhere, or its link has expired.
      OSError: where the disk has no room for it.
      faults.DataError: where archives have faults; the other archives are finished and kept.
    """
    _warn_of_ignored_settings(request.download_config)
    listed = finding.read_links(manual_dir)
    plan = _plan(request, runs.folder, listed.path)
    others = prepared.find(request.dataset_dir, request.config)
    have = {}
    if plan.max_examples is None and not request.download_config.download_mode.overwrite_dataset:
        have = prepared.archives(others, accounts.Demands.of(plan), request.template)
    where = os.fspath(request.download_config.manual_dir or 'the folder `manual` of the downloads')
    found = finding.locate(manual_dir, listed, request.numbers, have, others, where)
    finding.warn_of_missing_digests(found.sources, plan.checksums, request.options.digests)
    build = _Build(request, plan, found, runs)
    finished = build.first_examples() if plan.max_examples else build.all(found.sources)
    if not any(sum(one.sidecar.shard_examples) for one in finished):
        raise faults.DataError(
            [], f'There is no example without faults in {len(found.sources)} archives.'
        )
    runs.check()
    if object_store.is_remote(request.dataset_dir):
        publish.remove(request.dataset_dir)  # what a build that was stopped has left there
    split_info = publish.publish(finished, request.template)
    return summary.Summary(finished, frozenset(build.reused), split_info)


def _plan(request: Request, folder: str, links_path: str) -> shard.Plan:
    chosen = request.options
    return shard.Plan(
        staging=place.Staging(folder, request.file_format.file_suffix),
        file_format=request.file_format.value,
        max_examples=request.download_config.max_examples_per_split,
        on_error=chosen.on_error,
        decode_images=chosen.decode_images,
        shards_per_archive=chosen.shards_per_archive,
        checksums=checksums.load([os.path.expanduser(chosen.digests)] if chosen.digests else []),
        links_path=links_path,
    )


def _warn_of_ignored_settings(config: tfds.download.DownloadConfig) -> None:
    defaults = tfds.download.DownloadConfig()
    for name in _IGNORED_SETTINGS:
        if getattr(config, name, None) != getattr(defaults, name, None):
            _log.warning('`%s` is ignored: see the argument `shards_per_archive`.', name)


class _Build:
    """Has archives turned into shards until every one of them is accounted for."""

    def __init__(self, request: Request, plan: shard.Plan, found: finding.Found, runs: driver.Runs):
        self._request = request
        self._plan = plan
        self._found = found
        self._runs = runs
        self._accounts = accounts.Accounts(plan.staging, found.prepared)
        self.reused: set[int] = set()

    def all(self, sources: Sequence[pair_stream.Source]) -> tuple[accounts.Finished, ...]:
        """Finishes all archives, or raises an error that lists the faults of those that failed."""
        done = self._accounts.reusable(sources, self._demands)
        todo = [source for source in sources if source.number not in done]
        self.reused |= set(done)
        links_file.check_expiry(self._found.links, [s.number for s in todo if s.kind == 'link'])
        self._check_room(todo)
        with progress.show(self._plan.staging, sources, done):
            missing = todo
            for attempt in range(_ATTEMPTS):
                if missing:
                    self._run(missing, last=attempt == _ATTEMPTS - 1)
                done.update(self._finished(missing))
                missing = [s for s in missing if s.number not in done and self._may_pass(s)]
        self._raise_failures([s for s in todo if s.number not in done], len(sources))
        return tuple(done[source.number] for source in sources)

    def first_examples(self) -> tuple[accounts.Finished, ...]:
        """Finishes archives one after another until there are `max_examples` examples."""
        wanted = self._plan.max_examples
        finished: list[accounts.Finished] = []
        for source in self._found.sources:
            self._plan = dataclasses.replace(self._plan, max_examples=wanted)
            finished += self.all([source])
            wanted -= sum(finished[-1].sidecar.shard_examples)
            if wanted == 0:
                break
        return tuple(finished)

    @property
    def _demands(self) -> accounts.Demands:
        return accounts.Demands.of(self._plan)

    def _run(self, sources: Sequence[pair_stream.Source], *, last: bool) -> None:
        for source in sources:
            # the sidecar first: from then on, what is left of the archive counts as nothing
            self._plan.staging.forget(
                source.name, 'json', 'failed.json', 'failed.jsonl', 'faults.jsonl', 'progress.json'
            )
        plan = dataclasses.replace(self._plan, run=self._runs.start())
        config = self._request.download_config
        try:
            transform.run(sources, plan, config.beam_runner, config.beam_options)
        except Exception as error:
            if runner.is_interrupt(error):
                raise KeyboardInterrupt from None
            if last:
                raise
            _log.warning(
                'The pipeline stopped (%s); going on with what is missing.',
                links_file.redact(f'{type(error).__name__}: {error}'),
            )

    def _finished(self, sources: Sequence[pair_stream.Source]) -> dict[int, accounts.Finished]:
        found = {s.number: self._accounts.finished(s, self._demands) for s in sources}
        return {number: one for number, one in found.items() if one is not None}

    def _may_pass(self, source: pair_stream.Source) -> bool:
        """Tells whether another attempt at an archive that was not finished may help."""
        failure = self._accounts.failure(source)
        return failure is None or failure.may_pass

    def _check_room(self, sources: Sequence[pair_stream.Source]) -> None:
        """Asks TFDS whether there is room for the shards of archives that are to be read.

        Servers are asked for sizes only where archives of SA-1B's size would not fit.
        """
        if self._plan.max_examples is not None:
            return
        folder = self._request.dataset_dir
        for ask in (False, True):
            needed = self._found.size([source.number for source in sources], ask=ask)
            if tfds_parts.has_sufficient_disk_space(needed, folder):
                return
        raise OSError(
            f'Not enough disk space. Needed: {tfds.core.utils.Size(needed)} in {folder} for'
            f' {len(sources)} archives. Name fewer of them, or give another `data_dir`.'
        )

    def _raise_failures(self, failed: Sequence[pair_stream.Source], total: int) -> None:
        if not failed:
            return
        found = {source.name: self._accounts.failure(source) for source in failed}
        for name in [name for name, failure in found.items() if failure is None]:
            no_word = faults.Fault(name, fault_log.UNFINISHED, failures.NO_WORD)
            found[name] = fault_log.Failure((no_word,), (), {no_word.reason: 1})
        raise failures.describe(
            found,
            total,
            can_skip=self._plan.on_error == 'fail',
            folder=self._plan.staging.folder,
            config=self._request.config,
        )
