"""Remembers that the user has accepted the licence of SA-1B, once for each folder."""

from __future__ import annotations

import datetime
import pathlib

from segment_anything_tfds.source.remote import links_file, part

NOTICE = f"""\
SA-1B is given out under the SA-1B Dataset Research License, for research purposes only. Its images
are licensed from a photo company; faces and licence plates in them are blurred. Who downloads the
data accepts that licence, whose full text is at
{links_file.HOMEPAGE}
"""


def is_accepted(folder: pathlib.Path) -> bool:
    """Tells whether the licence has been accepted for a folder."""
    return _note(folder).exists()


def accept(folder: pathlib.Path) -> None:
    """Notes that the licence is accepted."""
    note = _note(folder)
    note.parent.mkdir(parents=True, exist_ok=True)
    now = datetime.datetime.now(datetime.timezone.utc)
    note.write_text(f'SA-1B Dataset Research License, accepted {now:%Y-%m-%d %H:%M} UTC\n')


def _note(folder: pathlib.Path) -> pathlib.Path:
    return folder / part.STATE_FOLDER / 'license_accepted.txt'
