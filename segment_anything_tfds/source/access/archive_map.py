"""`sa1b.archive_index`: the images of one archive in any order."""

from __future__ import annotations

import contextlib
import logging
import operator
import os
import pathlib
import threading
from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np

from segment_anything_tfds.source import faults
from segment_anything_tfds.source.access import pair_places, positioned, restart_points
from segment_anything_tfds.source.archive import inputs, locations, pair_stream, paths
from segment_anything_tfds.source.record import annotations

_log = logging.getLogger(__name__)


class ArchiveIndex:
    """The images of an archive with their records, by position and by id; made by `archive_index`.

    A sequence that Grain, PyTorch and `random.choice` take. It can be pickled, and used after
    a fork: each process opens the archive for itself. Position n is example n of the archive's
    shard, where no record has a fault.

    Attributes:
      source: the archive.
      ids: int64 [N], the number in each image's file name.
    """

    def __init__(
        self,
        source: locations.Source,
        places: pair_places.Places,
        points: pathlib.Path | None = None,
        file: Any = None,
    ):
        self.source = source
        self.ids = places.ids
        self._places, self._points = places, points
        self._files = {} if file is None else {os.getpid(): file}
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f'ArchiveIndex({self.source.location!r}, {len(self)} images)'

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, position: int) -> dict[str, Any]:
        """Gives the example at a position, as `tfds.data_source` gives it, the image undecoded.

        Args:
          position: 0 to N - 1, or from the end, -1 to -N.

        Raises:
          IndexError: there is no such position.
          DataError: the record has a fault.
        """
        return to_numpy(self.example(position))

    def __getitems__(self, positions: Iterable[int]) -> list[dict[str, Any]]:
        """Gives several examples, as PyTorch and Grain ask for them."""
        return [self[position] for position in positions]

    def find(self, image: int | str) -> int:
        """Finds the position of an image.

        Args:
          image: its id, such as 223750, or its name, such as `'sa_223750'` or `'sa_223750.jpg'`.

        Raises:
          KeyError: the archive has no such image.
        """
        text = pathlib.PurePath(str(image)).name.partition('.')[0].lower().removeprefix('sa_')
        found = np.flatnonzero(self.ids == int(text)) if text.isdecimal() else ()
        if not len(found):
            raise KeyError(
                f'`ArchiveIndex.find`: expected `image` in {self.source.name}, which has '
                f'{len(self):,}; got {image!r}. Look into another archive.'
            )
        return int(found[0])

    def pair(self, position: int) -> pair_stream.Pair:
        """Reads the JPEG and the JSON file at a position, unchecked."""
        position = self._number(position)
        (image_name, record_name) = self._places.names[position].tolist()
        (image, record) = (self._read(position, half) for half in (0, 1))
        names = (os.path.basename(name) for name in (image_name, record_name))
        stem = f'sa_{self.ids[position]}'
        return pair_stream.Pair(stem, next(names), image, next(names), record)

    def example(self, position: int) -> annotations.Example:
        """Reads and checks the example at a position.

        Raises:
          DataError: the record has a fault; all of them are listed.
        """
        pair = self.pair(position)
        example, found = annotations.check(
            pair.image,
            pair.record,
            archive=self.source.name,
            image_name=pair.image_name,
            record_name=pair.record_name,
        )
        if found:
            raise faults.DataError(found)
        return example

    def _number(self, position: int) -> int:
        """Counts a position from the start, 0 to N - 1."""
        try:
            return range(len(self))[operator.index(position)]
        except TypeError:
            raise TypeError(
                f'`ArchiveIndex`: expected a position, a whole number; got {position!r}. Ask for '
                'one at a time.'
            ) from None
        except IndexError:
            raise IndexError(
                f'`ArchiveIndex`: expected a position in {self.source.name}, which has '
                f'{len(self):,} images; got {position}.'
            ) from None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, '_files': {}, '_lock': None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = threading.Lock()

    def _read(self, position: int, half: int) -> bytes:
        if self.source.kind == 'folder':
            return (
                pathlib.Path(self.source.location) / self._places.names[position][half]
            ).read_bytes()
        offset, size = (
            int(table[position, half]) for table in (self._places.offsets, self._places.sizes)
        )
        data = self._file().read_at(offset, size)
        if len(data) < size:
            raise OSError(
                f'`ArchiveIndex`: {self.source.location} has become shorter. Index it again.'
            )
        return data

    def _file(self):
        """Opens the archive, once in each process."""
        with self._lock:
            process = os.getpid()
            if process not in self._files:
                self._files = {process: _open(self.source, self._points)}
            return self._files[process]


def archive_index(
    path: str | os.PathLike, *, index_dir: str | os.PathLike | None = None
) -> ArchiveIndex:
    """Gives random access to the images of an archive, by way of a small index that is made once.

    For a plain tar only headers are read, for an extracted folder only names: a second or so. A
    gzip archive is decompressed once, which takes a minute; then 33 KB are kept for every 8 MB of
    contents (restart points, some 45 MB an archive), and an image takes as long as 4 MB of
    contents take to decompress.

    Args:
      path: the archive, `sa_000020.tar`, or the folder that it was extracted to, on this machine.
      index_dir: where the index is kept; `None` for a folder `.sa1b` beside the archive. Where
        that cannot be written to, nothing is kept.

    Returns:
      The index. Halves of pairs that are alone are passed over, with a warning.

    Raises:
      FileNotFoundError: there is no such archive.
      ValueError: `path` is not on this machine, or holds several archives.
      DataError: the archive is damaged, truncated or empty.
      ImportError: the archive is compressed, and `indexed_gzip` is not installed.

    Example:
      >>> index = archive_index('dummy_data/sa_000000.tar')
      >>> example = index[index.find('sa_1')]
      >>> example['annotations']['bbox'].shape[1]
      4
    """
    source = _find(path)
    kept = pair_places.index_path(source, index_dir)
    points = kept.with_suffix('.points')
    is_gzip = _is_gzip(source)
    if (index := _load(source, kept)) is not None:
        return index
    file = restart_points.GzipFile(source.location) if is_gzip else None
    reasons: Counter[str] = Counter()
    found = pair_places.find(source, file, lambda fault: reasons.update([fault.reason]))
    if reasons:
        listed = ', '.join(f'{count} {reason}' for reason, count in reasons.most_common())
        _log.warning('%s: passed over: %s.', source.name, listed)
    if not pair_places.save(kept, source, found):
        return ArchiveIndex(source, found, file=file)
    if file is not None:
        file.save(points)
    return ArchiveIndex(source, found, points if is_gzip else None, file)


def quick_index(source: locations.Source) -> ArchiveIndex | None:
    """Gives the index of an archive where one is kept, or takes a second to make; keeps none.

    Args:
      source: any archive.

    Returns:
      The index; `None` for archives elsewhere, gzip archives without a kept index, damaged ones.
    """
    is_here = isinstance(paths.open_path(source.location), pathlib.Path)
    if source.kind == 'link' or not is_here:
        return None
    index = _load(source, pair_places.index_path(source, None))
    if index is not None or _is_gzip(source):
        return index
    try:
        return ArchiveIndex(source, pair_places.find(source, None, lambda fault: None))
    except faults.DataError:
        return None


def _load(source: locations.Source, kept: pathlib.Path) -> ArchiveIndex | None:
    """Loads the index that is kept of an archive; `None` if there is none, or of another one."""
    points = kept.with_suffix('.points') if _is_gzip(source) else None
    found = pair_places.load(kept, source)
    if found is None or (points is not None and not points.exists()):
        return None
    return ArchiveIndex(source, found, points)


def _is_gzip(source: locations.Source) -> bool:
    return source.kind == 'file' and not positioned.is_plain_file(source)


def to_numpy(example: annotations.Example) -> dict[str, Any]:
    """Gives an example in the structure and with the values that a prepared data set gives.

    There floats went through `float32`.
    """
    image = dict(example.image)
    image['file_name'] = image['file_name'].encode()
    for name in ('height', 'image_id', 'width'):
        image[name] = np.uint64(image[name])
    columns: dict[str, Any] = dict(example.annotations)
    for name in ('point_coords', 'predicted_iou', 'stability_score'):
        columns[name] = columns[name].astype(np.float32).astype(np.float64)
    counts = np.empty(len(columns['area']), object)
    counts[:] = columns.pop('counts')
    columns['segmentation'] = {'counts': counts, 'size': columns.pop('size')}
    return {'annotations': columns, 'image': image}


def _find(path: str | os.PathLike) -> locations.Source:
    if not isinstance(paths.open_path(path), pathlib.Path):
        raise ValueError(
            '`sa1b.archive_index`: expected `path` on this machine; got '
            f'{os.fspath(path).partition("://")[0]}://. Download the archive first.'
        )
    found = inputs.find([path])
    if len(found) != 1 or not isinstance(found[0], locations.Source):
        raise ValueError(
            f'`sa1b.archive_index`: expected `path` to be one archive; got {len(found)} archives '
            f'or shards in {os.fspath(path)}. Name one of them.'
        )
    return found[0]


def _open(source: locations.Source, points: pathlib.Path | None):
    if points is not None:
        return restart_points.GzipFile(source.location, points)
    if positioned.is_plain_file(source):
        return positioned.PositionalFile(source.location)
    file = restart_points.GzipFile(source.location)  # its points could not be kept
    with contextlib.closing(iter(file.chunks())) as chunks:
        for _ in chunks:
            pass
    return file
