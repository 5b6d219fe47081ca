"""Extracts an archive into `images/` and `annotations/`; a note tells whether all of it is there.

Files are made under names of our own, `sa_<id>.jpg` and `sa_<id>.json`, whatever the tar calls its
members; links, devices and names that lead elsewhere are passed over. A note in `.sa1b` is written
last, and tells that an archive is extracted whole.
"""

from __future__ import annotations

import json
import os
import pathlib
import shutil
from collections.abc import Callable

from segment_anything_tfds.source import faults
from segment_anything_tfds.source.archive import pair_stream
from segment_anything_tfds.source.remote import part

IMAGES, ANNOTATIONS = 'images', 'annotations'


def is_extracted(folder: str | os.PathLike, name: str) -> bool:
    """Tells whether an archive has been extracted whole into `folder`."""
    return _note_path(folder, name).exists()


def extracted_pairs(folder: str | os.PathLike, name: str) -> int | None:
    """Tells how many pairs an archive had when it was extracted into its own folder in `folder`.

    `None` where no note says that it was.
    """
    try:
        note = json.loads(_note_path(folder, name).read_text(encoding='utf-8'))
    except (OSError, ValueError):
        return None
    pairs = note.get('pairs') if isinstance(note, dict) and note.get('apart') else None
    return pairs if type(pairs) is int else None


def extract(
    source: pair_stream.Source,
    folder: str | os.PathLike,
    *,
    apart: bool = False,
    on_fault: Callable[[faults.Fault], None],
    on_bytes: Callable[[int], None] | None = None,
) -> int:
    """Extracts an archive.

    Args:
      source: the archive.
      folder: where `images/` and `annotations/` go.
      apart: whether they go into a folder of the archive's own, `sa_000020/`.
      on_fault: called with each fault of one member; the rest is extracted.
      on_bytes: called with the number of bytes of the archive read since.

    Returns:
      The number of pairs.

    Raises:
      DataError: the archive is truncated or damaged; nothing of it is left in the folders.
      OSError: the disk is full.
    """
    folder = pathlib.Path(folder)
    temporary = folder / part.STATE_FOLDER / f'{source.name}.extracting'
    shutil.rmtree(temporary, ignore_errors=True)
    places = {temporary / IMAGES: '.jpg', temporary / ANNOTATIONS: '.json'}
    for place in places:
        place.mkdir(parents=True)
    pairs = 0
    try:
        with pair_stream.open_archive(source, on_fault=on_fault, on_bytes=on_bytes) as reader:
            for pair in reader:
                for (place, suffix), data in zip(
                    places.items(), (pair.image, pair.record), strict=True
                ):
                    (place / f'{pair.stem}{suffix}').write_bytes(data)
                pairs += 1
        _move(temporary, folder / source.name if apart else folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    _write_note(_note_path(folder, source.name), {'pairs': pairs, 'apart': apart})
    return pairs


def _move(temporary: pathlib.Path, target: pathlib.Path) -> None:
    for name in (IMAGES, ANNOTATIONS):
        (target / name).mkdir(parents=True, exist_ok=True)
        for file in (temporary / name).iterdir():
            os.replace(file, target / name / file.name)


def _write_note(path: pathlib.Path, note: dict) -> None:
    temporary = path.with_suffix('.tmp')
    temporary.write_text(json.dumps(note), encoding='utf-8')
    os.replace(temporary, path)


def _note_path(folder: str | os.PathLike, name: str) -> pathlib.Path:
    return pathlib.Path(folder) / part.STATE_FOLDER / f'{name}.extracted.json'
