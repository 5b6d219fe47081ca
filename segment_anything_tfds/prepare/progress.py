"""Shows how far a build has come: workers leave small files, the driver adds them up."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Container, Iterator, Mapping, Sequence

from etils import epath

from segment_anything_tfds.prepare import accounts
from segment_anything_tfds.prepare.shards import reporter
from segment_anything_tfds.prepare.staging import object_store, place
from segment_anything_tfds.source import meter
from segment_anything_tfds.source.archive import pair_stream, paths


class Totals:
    """What all archives of a build come to, as far as workers have told.

    Attributes:
      images: in the archives read so far.
      read: bytes read so far.
      size: bytes to be read in all; `None` while no archive's size is known. Of archives behind
        links nobody knows it before they are opened: they count as the mean of the others.
      finished: how many archives are finished.
    """

    def __init__(
        self,
        staging: place.Staging,
        sources: Sequence[pair_stream.Source],
        done: Mapping[int, accounts.Finished],
    ):
        self.images = self.read = self.finished = 0
        self.size: int | None = None
        self._staging = staging
        self._sources = sources
        self._done = {number: one.sidecar for number, one in done.items()}
        self._sizes = {s.number: _size(s) for s in sources if s.kind == 'file'}
        self.update()

    def update(self) -> None:
        """Looks at the staging place again."""
        self.images = self.read = 0
        folder = epath.Path(self._staging.folder)
        there = {path.name for path in object_store.glob(folder, 'sa_*.json')}
        for source in self._sources:
            images, read = self._of(source, there)
            self.images += images
            self.read += read
        self.finished = len(self._done)
        known = len(self._sizes)
        if known:
            self.size = max(self.read, sum(self._sizes.values()) * len(self._sources) // known)

    def _of(self, source: pair_stream.Source, there: Container[str]) -> tuple[int, int]:
        """Counts images and bytes of an archive so far; what is finished is not looked at again."""
        number, name = source.number, source.name
        if number not in self._done and f'{name}.json' in there:
            sidecar = self._staging.finished(name)
            self._done |= {number: sidecar} if sidecar is not None else {}
        if number in self._done:
            sidecar = self._done[number]
            self._sizes[number] = sidecar.bytes_read
            return sum(sidecar.shard_examples), sidecar.bytes_read
        running = None
        if f'{name}.progress.json' in there:
            running = place.read_json(self._staging.path(name, 'progress.json'))
        if running is None:
            return 0, 0
        if running.get('size'):
            self._sizes[number] = running['size']
        return running.get('images', 0), running.get('bytes_read', 0)


@contextlib.contextmanager
def show(
    staging: place.Staging,
    sources: Sequence[pair_stream.Source],
    done: Mapping[int, accounts.Finished],
) -> Iterator[None]:
    """Shows the bytes read while the block runs, as `meter` shows progress."""
    totals = Totals(staging, sources, done)
    with meter.show(_title(totals, sources), total=totals.size, done=totals.read) as shown:
        stop = threading.Event()
        arguments = (totals, sources, shown, stop, reporter.interval(staging.folder))
        thread = threading.Thread(target=_watch, args=arguments, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()


def _watch(
    totals: Totals,
    sources: Sequence[pair_stream.Source],
    shown: meter.Meter,
    stop: threading.Event,
    seconds: float,
) -> None:
    ended = False
    while not ended:
        ended = stop.wait(seconds)  # and then looks once more, for the last numbers
        with contextlib.suppress(OSError):  # a store that does not answer for a moment
            totals.update()
        title, note = _title(totals, sources), f'{totals.images:,} images'
        shown.update(title=title, done=totals.read, total=totals.size, note=note)


def _title(totals: Totals, sources: Sequence[pair_stream.Source]) -> str:
    return f'Archives {totals.finished}/{len(sources)}'


def _size(source: pair_stream.Source) -> int:
    return paths.size_and_time(paths.open_path(source.location))[0]
