"""From the pairs of an archive to checked examples, for building, verifying and exporting."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator

from segment_anything_tfds.source import faults
from segment_anything_tfds.source.archive import pair_stream
from segment_anything_tfds.source.record import annotations

_NO_LOCK = contextlib.nullcontext()


def check_pairs(
    pairs: Iterable[pair_stream.Pair],
    *,
    archive: str,
    on_fault: Callable[[faults.Fault], object],
    decode_images: bool = False,
    seen: set[int] | None = None,
    turn: contextlib.AbstractContextManager = _NO_LOCK,
) -> Iterator[tuple[pair_stream.Pair, annotations.Example]]:
    """Yields each pair that has an example, once an `image_id`, with it.

    Args:
      pairs: of one archive.
      archive: its name, for the faults.
      on_fault: called with each fault; what has it is left out.
      decode_images: as in `annotations.check`.
      seen: `image_id`s that were given before, where `pairs` are the rest of an archive; those
        that are given now are added.
      turn: held while a pair is checked, not while one is waited for. Threads that share a lock do
        not fight for the interpreter's, which NumPy gives up dozens of times a record.

    Yields:
      Pairs and their examples, in the order of `pairs`.

    Raises:
      DataError: as `pairs` does.
    """
    seen = set() if seen is None else seen
    for pair in pairs:
        with turn:
            example, found = annotations.check(
                pair.image,
                pair.record,
                archive=archive,
                image_name=pair.image_name,
                record_name=pair.record_name,
                decode_images=decode_images,
            )
        for fault in found:
            on_fault(fault)
        if example is None:
            continue
        image_id = example.image['image_id']
        if image_id in seen:
            detail = f'expected `image_id` to occur once; got {image_id} again'
            on_fault(faults.Fault(archive, 'image_id_duplicate', detail, pair.record_name))
            continue
        seen.add(image_id)
        yield pair, example
