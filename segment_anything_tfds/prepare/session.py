"""One build of one data set, from the right to write there to the data set in its place.

TFDS writes a data set into a folder beside its place and renames it at the end. Here that happens
inside the staging place, so that whatever a killed build leaves lies there and is found by the next
one; in an object store, which cannot rename, TFDS writes its few files on this machine, and they
are copied last.
"""

from __future__ import annotations

import contextlib
import logging
import tempfile
import threading
from collections.abc import Iterator

import tensorflow_datasets.public_api as tfds
from etils import epath

from segment_anything_tfds import tfds_parts
from segment_anything_tfds.prepare import build, builder_options, finding, publish, summary
from segment_anything_tfds.prepare.staging import driver, object_store, place

_UPDATE = tfds.download.GenerateMode.UPDATE_DATASET_INFO
_log = logging.getLogger(__name__)


def is_for_tfds(dataset_dir: epath.Path, mode: tfds.download.GenerateMode) -> bool:
    """Tells whether there is nothing to build: the data set is there and is to be used."""
    if mode == _UPDATE:
        return True
    if object_store.is_remote(dataset_dir):  # a build that was stopped may have left shards there
        dataset_dir = dataset_dir / tfds_parts.INFO_FILE_NAME
    return dataset_dir.exists() and not mode.overwrite_dataset


def clear(dataset_dir: epath.Path) -> None:
    """Removes the staging place of a finished data set, unless another process builds there."""
    folder = place.folder_of(dataset_dir)
    if epath.Path(folder).exists():
        with contextlib.suppress(RuntimeError), driver.hold(folder):
            place.clear(folder)


@contextlib.contextmanager
def begin(dataset_dir: epath.Path) -> Iterator[Session]:
    """Makes this process the one that builds a data set, while the block runs.

    Args:
      dataset_dir: the final folder of the data set.

    Raises:
      RuntimeError: where another process builds it.
    """
    folder = place.folder_of(dataset_dir)
    with driver.hold(folder) as runs:
        if object_store.is_remote(dataset_dir):
            with tempfile.TemporaryDirectory(prefix='sa1b-') as local:
                yield Session(dataset_dir, epath.Path(local) / dataset_dir.name, runs)
            return
        workshop = epath.Path(folder) / 'tfds'
        workshop.rmtree(missing_ok=True)  # of a build that was killed
        try:
            yield Session(dataset_dir, workshop / dataset_dir.name, runs)
        finally:
            workshop.rmtree(missing_ok=True)


class Session:
    """A build under way. Made by `begin`.

    Attributes:
      workshop: where TFDS is to write the data set.
    """

    def __init__(self, dataset_dir: epath.Path, workshop: epath.Path, runs: driver.Runs):
        self.workshop = workshop
        self._dataset_dir = dataset_dir
        self._runs = runs
        self._summary: summary.Summary | None = None

    def build(
        self,
        dl_manager: tfds.download.DownloadManager,
        download_config: tfds.download.DownloadConfig,
        builder: tfds_parts.FileReaderBuilder,
        choices: builder_options.Options,
    ) -> summary.Summary:
        """Builds the split, while TFDS writes a data set; see `build.build_split`.

        Args:
          dl_manager: TFDS's, which knows `manual_dir`.
          download_config: TFDS's.
          builder: whose split it is; its folder is the one that TFDS writes to.
          choices: what the user chose.

        Returns:
          What was done.
        """
        is_remote = object_store.is_remote(self._dataset_dir)
        template = tfds_parts.filename_template(builder)
        request = build.Request(
            config=builder.builder_config_name,
            options=choices,
            download_config=download_config,
            template=template.replace(data_dir=self._dataset_dir) if is_remote else template,
            dataset_dir=self._dataset_dir,
            file_format=builder.info.file_format,
        )
        manual_dir = finding.manual_dir(dl_manager)
        self._summary = build.build_split(request, manual_dir, self._runs)
        publish.write_reports(self._summary.finished, builder.data_path)
        return self._summary

    def finish(self, info: tfds.core.DatasetInfo) -> None:
        """Puts the data set that TFDS has written in its place, and clears what is not needed."""
        self._runs.check()
        done = self._summary
        if done is not None:
            info.download_size = done.bytes_read
            info.write_to_directory(self.workshop)
            is_remote = object_store.is_remote(self._dataset_dir)
            folder = self._dataset_dir if is_remote else self.workshop
            template = done.split_info.filename_template.replace(data_dir=folder)
            publish.check(done.finished, template)
        publish.put_in_place(self.workshop, self._dataset_dir)
        place.clear(self._runs.folder)
        # A stream that keeps what passes builds in a thread of its own: standard output is not its.
        is_main = threading.current_thread() is threading.main_thread()
        say = print if is_main else _log.info
        say(f'Dataset {info.name} prepared in {self._dataset_dir}.')
        if done is not None and (closing := done.closing()):
            _log.warning('%s', closing)
