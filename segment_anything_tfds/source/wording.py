"""Sizes and times, as people write them."""

from __future__ import annotations


def human_bytes(count: float) -> str:
    """Writes a size for people, in powers of 1000.

    Example:
      >>> human_bytes(11_323_456_789)
      '11.3 GB'
    """
    units = ['B', 'kB', 'MB', 'GB', 'TB']
    while abs(count) >= 999.5 and len(units) > 1:
        count /= 1000
        del units[0]
    digits = 0 if units[0] == 'B' or abs(count) >= 99.5 else 1
    return f'{count:.{digits}f} {units[0]}'


def human_time(seconds: float) -> str:
    """Writes a span of time for people, in its two largest units.

    Example:
      >>> human_time(2 * 86400 + 3 * 3600 + 5)
      '2 days 3 hours'
    """
    seconds = int(abs(seconds))
    parts = []
    for unit, length in (('day', 86400), ('hour', 3600), ('minute', 60), ('second', 1)):
        count, seconds = divmod(seconds, length)
        if count:
            parts.append(f'{count} {unit}{"s" if count > 1 else ""}')
        elif parts:
            break
    return ' '.join(parts[:2]) or '0 seconds'
