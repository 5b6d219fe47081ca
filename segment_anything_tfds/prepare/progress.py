"""Shows how far a build has come: workers leave small files, the driver adds them up."""

from __future__ import annotations

import contextlib
import json
import sys
import threading
import time
from collections.abc import Sequence

import tqdm

from segment_anything_tfds.prepare.staging import place
from segment_anything_tfds.source.archive import pair_stream, paths

_LOCAL_SECONDS = 1.0
_REMOTE_SECONDS = 20.0


def _interval(staging: place.Staging) -> float:
    return _REMOTE_SECONDS if '://' in staging.folder else _LOCAL_SECONDS


class Reporter:
    """Tells the driver how far a worker has come with its archive, at most every second or so."""

    def __init__(self, staging: place.Staging, archive: str):
        self._path = staging.path(archive, 'progress.json')
        self._interval = _interval(staging)
        self._next = time.monotonic() + self._interval

    def update(self, images: int, bytes_read: int) -> bool:
        """Tells it, if it is time to; returns whether it was."""
        if time.monotonic() < self._next:
            return False
        self._next = time.monotonic() + self._interval
        with contextlib.suppress(Exception):  # stores have errors of their own kinds
            place.write_text(self._path, json.dumps({'images': images, 'bytes_read': bytes_read}))
        return True


@contextlib.contextmanager
def bar(staging: place.Staging, sources: Sequence[pair_stream.Source]):
    """Shows a bar of the bytes read while the block runs, where standard error is a terminal."""
    if not sys.stderr.isatty():
        yield
        return
    stop = threading.Event()
    thread = threading.Thread(target=_watch, args=(staging, sources, stop), daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _watch(
    staging: place.Staging, sources: Sequence[pair_stream.Source], stop: threading.Event
) -> None:
    total = sum(map(_size, sources)) if all(s.kind == 'file' for s in sources) else None
    with tqdm.tqdm(
        total=total, unit='B', unit_scale=True, unit_divisor=1024, desc='Archives'
    ) as shown:
        finished: dict[str, tuple[int, int]] = {}
        while True:
            ended = stop.wait(_interval(staging))
            images, bytes_read = _totals(staging, sources, finished)
            shown.set_description(f'Archives {len(finished)}/{len(sources)}', refresh=False)
            shown.set_postfix_str(f'{images:,} images', refresh=False)
            shown.update(bytes_read - shown.n)
            if ended:
                return


def _size(source: pair_stream.Source) -> int:
    return paths.size_and_time(paths.open_path(source.location))[0]


def _totals(
    staging: place.Staging,
    sources: Sequence[pair_stream.Source],
    finished: dict[str, tuple[int, int]],
) -> tuple[int, int]:
    """Images and bytes so far; remembers in `finished` what will not change any more."""
    images = bytes_read = 0
    for source in sources:
        if source.name not in finished and (sidecar := staging.finished(source.name)):
            finished[source.name] = sum(sidecar.shard_examples), sidecar.bytes_read
        if source.name in finished:
            counted = finished[source.name]
        else:
            running = place.read_json(staging.path(source.name, 'progress.json')) or {}
            counted = running.get('images', 0), running.get('bytes_read', 0)
        images += counted[0]
        bytes_read += counted[1]
    return images, bytes_read
