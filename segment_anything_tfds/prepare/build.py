"""Drives a build: finds the archives, has them turned into shards, and accounts for each."""

from __future__ import annotations

import dataclasses
import logging
import os
from collections import Counter
from collections.abc import Sequence

from etils import epath
from tensorflow_datasets.core import download, file_adapters, naming, splits

from segment_anything_tfds.prepare import progress, publish, runner
from segment_anything_tfds.prepare.shards import fault_log, shard, transform
from segment_anything_tfds.prepare.staging import driver, place
from segment_anything_tfds.source import checksums, faults, selection
from segment_anything_tfds.source.archive import pair_stream
from segment_anything_tfds.source.remote import links_file

_ATTEMPTS = 2
_IGNORED_SETTINGS = ('num_shards', 'min_shard_size', 'max_shard_size', 'nondeterministic_order')
_FAULTS_LISTED = 1000
_FAULTS_SHOWN = 20


@dataclasses.dataclass(frozen=True)
class Options:
    """What a user may choose about a build; see the builder's arguments."""

    on_error: str = 'fail'
    decode_images: bool = False
    shards_per_archive: int = 1
    digests: str | None = None

    def __post_init__(self):
        if self.on_error not in ('fail', 'skip'):
            raise ValueError(
                f"Builder: expected `on_error` to be 'fail' or 'skip'; got {self.on_error!r}."
            )
        if type(self.shards_per_archive) is not int or not 1 <= self.shards_per_archive <= 1000:
            raise ValueError(
                'Builder: expected `shards_per_archive` from 1 to 1000; got'
                f' {self.shards_per_archive!r}.'
            )


@dataclasses.dataclass(frozen=True)
class Summary:
    """What a build did.

    Attributes:
      sidecars: one a finished archive, in numeric order.
      reused: how many archives an earlier run had finished.
      split_info: the split, for TFDS.
    """

    sidecars: tuple[place.Sidecar, ...]
    reused: int
    split_info: splits.SplitInfo

    def metadata(self) -> dict:
        """What the data set remembers of its build, as JSON values."""
        numbers = selection.parse('+'.join(sidecar.archive for sidecar in self.sidecars))
        skipped = sum((Counter(sidecar.faults) for sidecar in self.sidecars), Counter())
        return {
            'archives': selection.format(numbers),
            'archives_built': len(self.sidecars) - self.reused,
            'archives_reused': self.reused,
            'skipped': dict(skipped),
        }


def staging_folder(dataset_dir: epath.Path) -> epath.Path:
    """The staging place of a data set: a sibling, which TFDS takes for an unfinished data set."""
    return dataset_dir.parent / f'incomplete.shards_{dataset_dir.name}'


def clear_staging(dataset_dir: epath.Path) -> None:
    """Removes the staging place of a finished data set, unless another process builds there."""
    folder = staging_folder(dataset_dir)
    if not driver.is_held(str(folder)):
        folder.rmtree(missing_ok=True)


def build_split(
    *,
    manual_dir: epath.Path,
    numbers: Sequence[int] | None,
    options: Options,
    file_format: file_adapters.FileFormat,
    filename_template: naming.ShardedFileTemplate,
    dataset_dir: epath.Path,
    download_config: download.DownloadConfig,
) -> Summary:
    """Builds the split, going on from what an earlier run finished.

    Args:
      manual_dir: folder with the links file, archives, or extracted archives.
      numbers: the archives to build, None for all that are listed or present.
      options: what the user chose.
      file_format: TFDS's file format of the shards.
      filename_template: where the finished shards go, and their names.
      dataset_dir: the final folder of the data set; the staging place is its sibling.
      download_config: TFDS's configuration; its Beam runner and options and
        `max_examples_per_split` are honoured.

    Returns:
      What was done.

    Raises:
      ValueError: where an archive is neither present nor listed, or its link has expired.
      faults.DataError: where archives have faults; the other archives are finished and kept.
    """
    _warn_of_ignored_settings(download_config)
    listed = _read_links(manual_dir)
    plan = shard.Plan(
        staging=place.Staging(str(staging_folder(dataset_dir)), file_format.file_suffix),
        file_format=file_format.value,
        max_examples=download_config.max_examples_per_split,
        on_error=options.on_error,
        decode_images=options.decode_images,
        shards_per_archive=options.shards_per_archive,
        checksums=checksums.load([os.path.expanduser(options.digests)] if options.digests else []),
        links_path=listed.path,
    )
    sources = pair_stream.locate(manual_dir, listed, numbers)
    _warn_of_missing_digests(sources, plan, options)
    plan.staging.create()
    with driver.hold(plan.staging, filename_template.data_dir) as runs:
        build = _Build(plan, listed, download_config, runs)
        sidecars = build.first_examples(sources) if plan.max_examples else build.all(sources)
        if not any(sum(sidecar.shard_examples) for sidecar in sidecars):
            raise faults.DataError(
                [], f'There is no example without faults in {len(sources)} archives.'
            )
        split_info = publish.publish(sidecars, plan.staging, filename_template)
    return Summary(sidecars, build.reused, split_info)


def _read_links(manual_dir: epath.Path) -> links_file.Links:
    """The links file; no links where there is none, since all archives may be at hand."""
    path = manual_dir / links_file.FILE_NAME
    return links_file.read(path) if path.exists() else links_file.Links({}, path=str(path))


def _warn_of_ignored_settings(config: download.DownloadConfig) -> None:
    defaults = download.DownloadConfig()
    for name in _IGNORED_SETTINGS:
        if getattr(config, name, None) != getattr(defaults, name, None):
            logging.warning('`%s` is ignored: see the argument `shards_per_archive`.', name)


def _warn_of_missing_digests(
    sources: Sequence[pair_stream.Source], plan: shard.Plan, options: Options
) -> None:
    extracted = [s.number for s in sources if s.kind == 'folder' and s.name in plan.checksums]
    if options.digests and extracted:
        logging.warning(
            'Archives %s are extracted, so there is no digest of them to compare with %s.',
            selection.format(extracted),
            options.digests,
        )


class _Build:
    """Has archives turned into shards until every one of them is accounted for."""

    def __init__(
        self,
        plan: shard.Plan,
        listed: links_file.Links,
        download_config: download.DownloadConfig,
        runs: driver.Runs,
    ):
        self._plan = plan
        self._staging = plan.staging
        self._links = listed
        self._config = download_config
        self._runs = runs
        self.reused = 0

    def all(self, sources: Sequence[pair_stream.Source]) -> tuple[place.Sidecar, ...]:
        """Finishes all archives, or raises an error that lists the faults of those that failed."""
        todo = [source for source in sources if not self._is_finished(source)]
        self.reused += len(sources) - len(todo)
        links_file.check_expiry(self._links, [s.number for s in todo if s.kind == 'link'])
        with progress.bar(self._staging, sources):
            missing = todo
            for attempt in range(_ATTEMPTS):
                if missing:
                    self._run(missing, last=attempt == _ATTEMPTS - 1)
                missing = [source for source in missing if not self._is_settled(source)]
        self._raise_failures(todo, len(sources))
        return tuple(self._staging.finished(source.name) for source in sources)

    def first_examples(self, sources: Sequence[pair_stream.Source]) -> tuple[place.Sidecar, ...]:
        """Finishes archives one after another until there are `max_examples` examples."""
        wanted = self._plan.max_examples
        sidecars: list[place.Sidecar] = []
        for source in sources:
            self._plan = dataclasses.replace(self._plan, max_examples=wanted)
            sidecars += self.all([source])
            wanted -= sum(sidecars[-1].shard_examples)
            if wanted == 0:
                break
        return tuple(sidecars)

    def _run(self, sources: Sequence[pair_stream.Source], *, last: bool) -> None:
        for source in sources:
            self._staging.forget(
                source.name, 'json', 'failed.jsonl', 'faults.jsonl', 'progress.json'
            )
        plan = dataclasses.replace(self._plan, run=self._runs.start())
        try:
            transform.run(sources, plan, self._config.beam_runner, self._config.beam_options)
        except Exception as error:
            if runner.is_interrupt(error):
                raise KeyboardInterrupt from None
            if last:
                raise
            logging.warning(
                'The pipeline stopped (%s); going on with what is missing.',
                links_file.redact(f'{type(error).__name__}: {error}'),
            )

    def _is_finished(self, source: pair_stream.Source) -> bool:
        sidecar = self._staging.finished(source.name)
        return (
            sidecar is not None
            and sidecar.fingerprint == self._plan.fingerprint
            and sidecar.source == source.identity()
            and (self._plan.on_error == 'skip' or not sidecar.faults)
            and self._digest_is_judged(source, sidecar)
        )

    def _digest_is_judged(self, source: pair_stream.Source, sidecar: place.Sidecar) -> bool:
        """Whether the sidecar says of the archive's digest what the lists say now."""
        known = self._plan.checksums
        if source.kind == 'folder' or self._plan.max_examples or source.name not in known:
            return True  # there is no digest of it
        if sidecar.md5 is None:
            return False
        rejected = known.check(source.name, sidecar.md5).level == 'error'
        return rejected == (shard.DIGEST in sidecar.faults)

    def _is_settled(self, source: pair_stream.Source) -> bool:
        """Whether another attempt at the archive would change nothing."""
        return self._is_finished(source) or any(
            fault.reason != fault_log.UNFINISHED for fault in self._failure(source, limit=1)
        )

    def _failure(self, source: pair_stream.Source, limit: int) -> list[faults.Fault]:
        return fault_log.read(self._staging.path(source.name, 'failed.jsonl'), limit)

    def _raise_failures(self, todo: Sequence[pair_stream.Source], total: int) -> None:
        failed = [source for source in todo if not self._is_finished(source)]
        if not failed:
            return
        found: list[faults.Fault] = []
        for source in failed:
            no_word = faults.Fault(source.name, fault_log.UNFINISHED, 'no worker finished it')
            found += self._failure(source, _FAULTS_LISTED) or [no_word]
        lines = [f'  {fault}' for fault in found[:_FAULTS_SHOWN]]
        if len(found) > _FAULTS_SHOWN:
            lines.append(f'  and more: see `*.failed.jsonl` in {self._staging.folder}')
        if any(fault.reason != fault_log.UNFINISHED for fault in found):
            lines.append(
                "Pass `builder_kwargs={'on_error': 'skip'}` to leave out records with faults, each"
                ' of them reported.'
            )
        raise faults.DataError(
            found,
            f'{len(failed)} of {total} archives could not be finished; the other'
            f' {total - len(failed)} are kept, and a rerun does not read them again.\n'
            + '\n'.join(lines),
        )
