"""Selections of archives: `20-29+130` means archives sa_000020 to sa_000029 and sa_000130."""

from __future__ import annotations

import re
from collections.abc import Iterable

MAX_NUMBER = 999_999
_ARCHIVE = r'(?:sa_)?([0-9]{1,6})(?:\.tar)?'
_PIECE = re.compile(rf'{_ARCHIVE}(?:-{_ARCHIVE})?')
_RULE = "archive numbers and ranges joined by '+', such as '20-29+130' or 'sa_000020'"


def parse(text: str) -> tuple[int, ...]:
    """Reads the archive numbers that a selection names.

    Pieces are joined by `+` (as in TFDS split and config names) or `,`; a range includes both ends.

    Args:
      text: for example `'20-29'`, `'0+5+130'`, `'20-29+130'`, `'sa_000020'`, `'sa_000020.tar'`.

    Returns:
      Archive numbers, ascending, each once.

    Raises:
      ValueError: a piece is neither a number nor a range, or a range runs backwards.

    Example:
      >>> parse('20-22+130')
      (20, 21, 22, 130)
    """
    ranges = sorted(_parse_piece(piece.strip(), text) for piece in re.split('[+,]', text))
    numbers: list[int] = []
    for first, last in ranges:
        numbers.extend(range(max(first, numbers[-1] + 1) if numbers else first, last + 1))
    return tuple(numbers)


def format(numbers: Iterable[int]) -> str:
    """Writes the one canonical text of a selection; `parse` reads it back.

    Args:
      numbers: archive numbers, 0 to 999999, in any order, repeats allowed.

    Returns:
      Ascending numbers and ranges joined by `+`; the empty string for no numbers.

    Raises:
      ValueError: a number is outside 0 to 999999.

    Example:
      >>> format([130, 20, 21, 22])
      '20-22+130'
    """
    ranges: list[list[int]] = []
    for number in sorted(set(numbers)):
        if not 0 <= number <= MAX_NUMBER:
            raise ValueError(
                f'`selection.format`: expected `numbers` within 0 and {MAX_NUMBER}; got {number}.'
            )
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    return '+'.join(str(a) if a == b else f'{a}-{b}' for a, b in ranges)


def archive_name(number: int) -> str:
    """Names an archive: `'sa_000020'` for 20."""
    return f'sa_{number:06d}'


def _parse_piece(piece: str, text: str) -> tuple[int, int]:
    match = _PIECE.fullmatch(piece)
    if match is None:
        raise ValueError(
            f'`selection.parse`: expected `text` to be {_RULE}; '
            f'got {_shorten(piece)} in {_shorten(text)}.'
        )
    first = int(match[1])
    last = first if match[2] is None else int(match[2])
    if last < first:
        raise ValueError(
            f'`selection.parse`: expected ranges in `text` to ascend; got {piece!r}. '
            f"Write '{last}-{first}'."
        )
    return first, last


def _shorten(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:77] + '...')
