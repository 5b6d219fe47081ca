"""Examples of a prepared data set by index, read without TensorFlow."""

from __future__ import annotations

import os
from typing import Any

from segment_anything_tfds.arrays import archive_splits
from segment_anything_tfds.source import selection
from segment_anything_tfds.source.archive import inputs

_first_reader: int | None = None  # the process that read first; those forked from it cannot


class Examples:
    """Raw examples by index, of data that were prepared as `array_record`.

    It can be pickled; each process opens the files when it first reads.

    Args:
      data_dir: folder that holds the data set, as given to `tfds` or `sa1b.load`, or the data set's
        own.
      archives: a selection such as `'20-29+130'`, or numbers; None for all that are prepared.
      split: `'train'`, all but what is held out; `'validation'`, what is held out; `'all'`; or
        slices of them by archives, such as `'train[:2shard]'`.
      hold_out: archives to hold out of `'train'`, whole, by their numbers.

    Raises:
      FileNotFoundError: there is no such folder.
      ValueError: nothing is prepared there, in another format, or without these archives.
    """

    def __init__(
        self,
        data_dir: str | os.PathLike,
        *,
        archives: archive_splits.Selection = None,
        split: str = 'train',
        hold_out: archive_splits.Selection = None,
    ):
        self.folder = _folder(os.path.expanduser(os.fspath(data_dir)), archives)
        self.split = archive_splits.shards(
            'SA1B', self.folder, split, archives=archives, hold_out=hold_out
        )
        self._source: Any = None
        self._length = len(self._opened())

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Gives an example as `tfds.data_source` does, with the JPEG's bytes as `image/content`."""
        if not -self._length <= index < self._length:
            raise IndexError(f'SA1B: expected an index below {self._length}; got {index}.')
        _check_process()
        return self._opened()[index % self._length]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, '_source': None}

    def __repr__(self) -> str:
        return f'SA1B({self.folder!r}, split={self.split!r})'

    def _opened(self):
        if self._source is None:
            import tensorflow_datasets as tfds

            builder = tfds.builder_from_directory(self.folder)
            found = builder.info.file_format.value
            if found != 'array_record':
                raise ValueError(
                    f'SA1B: expected data prepared as array_record; got {found} in {self.folder}. '
                    'Build them with --file_format=array_record, or convert them with '
                    '`tfds convert_format`.'
                )
            decoders = {'image': {'content': tfds.decode.SkipDecoding()}}
            self._source = builder.as_data_source(split=self.split, decoders=decoders)
        return self._source


def _check_process() -> None:
    """Refuses to read where array_record would crash or wait for ever.

    It starts a thread with the first example, and its locks expect that thread in forked processes
    too, where it is not.
    """
    global _first_reader
    _first_reader = _first_reader or os.getpid()
    if _first_reader != os.getpid():
        raise RuntimeError(
            'SA1B: expected a process whose parent read no example before it was forked, which '
            f'array_record does not survive; got one forked from process {_first_reader}. Start '
            "the workers first, or as new processes: multiprocessing_context='spawn'."
        )


def _folder(data_dir: str, archives: archive_splits.Selection) -> str:
    """Gives the folder of the data set: of the selection if that is prepared, or the only one."""
    if archives is not None:
        name = selection.format(archive_splits.parse('SA1B', archives, 'archives'))
        own = os.path.join(data_dir, 'segment_anything', name)
        data_dir = own if os.path.isdir(own) else data_dir
    found = [unit for unit in inputs.find([data_dir]) if isinstance(unit, inputs.Shard)]
    if not found:
        raise ValueError(
            f'SA1B: expected a prepared data set in `data_dir`; got {data_dir}, which has archives.'
            " Prepare them: tfds.builder('segment_anything', file_format='array_record')."
        )
    return found[0].folder
