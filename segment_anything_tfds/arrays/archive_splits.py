"""Splits of a prepared data set by the archives that it is made of."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TypeVar

from segment_anything_tfds.source import selection
from segment_anything_tfds.source.archive import inputs
from segment_anything_tfds.streaming import splits

Given = TypeVar('Given')
Selection = splits.Selection


def parse(where: str, archives: Selection, name: str) -> tuple[int, ...]:
    """Reads numbers of archives: of a selection such as `'20-29+130'`, or of numbers or names."""
    return _asked(where, lambda: splits.parse_numbers(archives, name))


def shards(
    where: str,
    folder: str | os.PathLike,
    split: str,
    *,
    archives: Selection = None,
    hold_out: Selection = None,
) -> str:
    """Spells a split by archives as TFDS does: `train[0shard:3shard]+train[5shard:6shard]`.

    Args:
      where: the function that was called, for errors.
      folder: of the prepared data set.
      split: `'train'`, `'validation'`, `'all'`, or slices of them by archives; any slice of TFDS's
        where neither `archives` nor `hold_out` are given.
      archives: those to choose among; None for all.
      hold_out: archives that are not in `'train'` but in `'validation'`.

    Raises:
      ValueError: an unknown split, archives that are not there, or data that do not say of which
        archives they are.
    """
    named = split.startswith(('all', splits.HOLD_OUT_SPLIT))
    if archives is None and hold_out is None and not named:
        return split
    units = [unit for unit in inputs.find([folder]) if isinstance(unit, inputs.Shard)]
    known = {unit.number for unit in units if unit.number is not None}
    if not known:
        raise ValueError(
            f'{where}: expected data that this package has prepared, to choose archives of; got '
            f'{os.fspath(folder)}, which does not say of which archives it is. Leave `hold_out` '
            "out, and slice: split='train[:90%]'."
        )
    wanted = set(parse(where, archives, 'archives')) or known
    if missing := wanted - known:
        raise ValueError(
            f'{where}: expected archives {selection.format(missing)} in {os.fspath(folder)}; got '
            f'{selection.format(known)}. Prepare them first, or ask for others.'
        )
    held = parse(where, hold_out, 'hold_out')
    chosen = set(_asked(where, lambda: splits.choose(sorted(wanted), split, held)))
    return '+'.join(_ranges([unit.index for unit in units if unit.number in chosen]))


def _asked(where: str, function: Callable[[], Given]) -> Given:
    """Asks a function of `stream`'s; its errors name the function that was called."""
    try:
        return function()
    except ValueError as error:
        raise ValueError(str(error).replace('`sa1b.stream`', where)) from None


def _ranges(indices: Sequence[int]) -> list[str]:
    """Joins neighbouring shards to a slice: [0, 1, 2] gives train[0shard:3shard]."""
    runs: list[list[int]] = []
    for index in sorted(indices):
        if runs and runs[-1][1] == index:
            runs[-1][1] = index + 1
        else:
            runs.append([index, index + 1])
    return [f'train[{first}shard:{last}shard]' for first, last in runs]
