"""What a links file offers, and until when."""

from __future__ import annotations

import datetime
from typing import Any

from segment_anything_tfds.actions import choosing
from segment_anything_tfds.source import meter, selection
from segment_anything_tfds.source.remote import links_file

ALL_ARCHIVES = range(1000)


def read(file: choosing.Path) -> links_file.Links:
    """Reads the links file.

    Raises:
      FileNotFoundError: there is none.
      ArgumentError: it is something else.
    """
    try:
        return links_file.read(file)
    except ValueError as error:
        raise choosing.ArgumentError(str(error)) from None


def links(
    file: choosing.Path,
    *,
    sizes: bool = False,
    archives: choosing.Archives = None,
    progress: meter.Show = True,
) -> dict[str, Any]:
    """Says what a links file offers: which archives, until when, how many bytes.

    Args:
      file: the links file, or the folder that has it.
      sizes: ask the server for the size of each archive.
      archives: numbers of the archives that are asked about, such as `'20-29,130'`; all by default.
      progress: whether and how to show progress while sizes are asked for.

    Returns:
      `archives` (how many), `listed` and `missing` (selections such as `'20-29+130'`),
      `other_rows`, `expires` and `last_expires` (ISO 8601, UTC; `None` where links do not say),
      `expired` (how many), `seconds_left`; with `sizes` also `sizes`: `total` in bytes,
      `by_archive`, and `unknown` with the reason. No link is among them.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: it is no links file, or does not list an archive that is named.
    """
    found = read(file)
    chosen = choosing.among(archives, found.archives, found.path)
    report = _describe(found, chosen, ALL_ARCHIVES if archives is None else chosen)
    if sizes:
        from segment_anything_tfds.source.remote import sizes as sizes_lib

        wanted = [found.archives[number] for number in chosen]
        report['sizes'] = _describe_sizes(sizes_lib.ask(wanted, progress=progress))
    return report


def _describe(found: links_file.Links, chosen: tuple[int, ...], wanted) -> dict[str, Any]:
    now = datetime.datetime.now(datetime.timezone.utc)
    expiries = [found.archives[number].expires for number in chosen]
    expiries = sorted(filter(None, expiries))
    return {
        'archives': len(chosen),
        'listed': selection.format(chosen),
        'missing': selection.format(set(wanted) - set(found.archives)),
        'other_rows': [{'line': line, 'name': name} for line, name in found.ignored],
        'expires': expiries[0].isoformat() if expiries else None,
        'last_expires': expiries[-1].isoformat() if expiries else None,
        'expired': sum(expiry <= now for expiry in expiries),
        'seconds_left': (expiries[0] - now).total_seconds() if expiries else None,
    }


def _describe_sizes(answers: dict[int, int | str]) -> dict[str, Any]:
    """Lists sizes by archive; those that the server does not tell, with the reason."""
    by_name = {selection.archive_name(number): answer for number, answer in answers.items()}
    known = {name: size for name, size in by_name.items() if isinstance(size, int)}
    return {
        'total': sum(known.values()),
        'by_archive': known,
        'unknown': {name: why for name, why in by_name.items() if name not in known},
    }
