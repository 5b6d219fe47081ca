"""Which archives of a selection belong to a split, a slice of one, or a host's share of it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from segment_anything_tfds.source import selection

Selection = str | Iterable[int | str] | None
_FILE = re.compile(r'sa_0*([0-9]+)(?:\.tar)?')  # an archive by its file's name
_SLICE = re.compile(r'([a-z_]+)(?:\[(?:(-?\d+)shard)?(?:(:)(?:(-?\d+)shard)?)?\])?')
HOLD_OUT_SPLIT = 'validation'


def parse_numbers(archives: Selection, name: str) -> tuple[int, ...]:
    """Reads archive numbers: a selection such as `'20-29+130'`, numbers, names, or `None` for none.

    Args:
      archives: what a user gave.
      name: what the argument is called, for the error.

    Raises:
      ValueError: it is none of these.
    """
    if archives is None:
        return ()
    if isinstance(archives, str):
        return selection.parse(_FILE.sub(r'\1', archives))
    try:
        numbers = (_FILE.sub(r'\1', n) if isinstance(n, str) else n for n in archives)
        return selection.parse(selection.format(map(int, numbers)))
    except (TypeError, ValueError):
        raise ValueError(
            f'`sa1b.stream`: expected `{name}` to be a selection such as "20-29+130", or numbers '
            f'or names of archives; got {archives!r}.'
        ) from None


def choose(numbers: Sequence[int], split: str, hold_out: Sequence[int] = ()) -> list[int]:
    """Chooses the archives that a split names.

    Archive n is shard n of the split, as in a prepared data set.

    Args:
      numbers: archives of the selection, ascending.
      split: `'train'`, all but what is held out; `'validation'`, what is held out; `'all'`; or
        slices of them by archives, such as `'train[:2shard]'` and `'train[2shard:]'`, joined by
        `+`.
      hold_out: archives that are held out.

    Returns:
      Archives, in the order that the split names them.

    Raises:
      ValueError: another split, an empty one, or archives held out that are not in the selection.

    Example:
      >>> choose([20, 21, 22, 130], 'train[1shard:]', hold_out=[21])
      [22, 130]
    """
    if unknown := set(hold_out).difference(numbers):
        raise ValueError(
            f'`sa1b.stream`: expected `hold_out` among the archives {selection.format(numbers)}; '
            f'got {selection.format(unknown)}. Name archives of the selection.'
        )
    splits = {
        'train': [number for number in numbers if number not in set(hold_out)],
        'all': list(numbers),
    }
    if hold_out:
        splits[HOLD_OUT_SPLIT] = [number for number in numbers if number in set(hold_out)]
    chosen = [number for piece in str(split).split('+') for number in _slice(piece.strip(), splits)]
    if not chosen or len(set(chosen)) < len(chosen):
        raise ValueError(
            f'`sa1b.stream`: expected `split` to name archives, each once; got {split!r} of '
            f'{selection.format(numbers)}, which are {len(chosen)} with '
            f'{len(chosen) - len(set(chosen))} repeated.'
        )
    return chosen


def _slice(piece: str, splits: dict[str, list[int]]) -> list[int]:
    match = _SLICE.fullmatch(piece)
    if match is None or match[1] not in splits:
        hint = '' if HOLD_OUT_SPLIT in splits else f' `{HOLD_OUT_SPLIT}` needs `hold_out`.'
        raise ValueError(
            f'`sa1b.stream`: expected `split` to be one of {", ".join(splits)}, or a slice of it by'
            f' archives such as "train[:2shard]"; got {piece!r}. How many examples an archive has '
            f'is not known before it was read.{hint}'
        )
    name, first, colon, last = match.groups()
    first, last = (None if bound is None else int(bound) for bound in (first, last))
    if colon is None and first is not None:
        last = first + 1 or None  # [-1shard] is [-1:], not [-1:0]
    return splits[name][first:last]


def share(numbers: Sequence[int], shard: tuple[int, int] | None) -> list[int]:
    """Gives the archives of one host: every `hosts`-th one, from `host` on.

    Args:
      numbers: archives of all hosts.
      shard: `(host, hosts)`; `None` for all archives.

    Raises:
      ValueError: there is no such host, or it would have no archive.
    """
    if shard is None:
        return list(numbers)
    try:
        host, hosts = (int(number) for number in shard)
    except (TypeError, ValueError):
        host, hosts = -1, 0
    if not 0 <= host < hosts or hosts > len(numbers):
        raise ValueError(
            '`sa1b.stream`: expected `shard` to be (host, hosts), 0 <= host < hosts <= the number '
            f'of archives, {len(numbers)}; got {shard!r}. Each archive is read by one host.'
        )
    return list(numbers[host::hosts])
