"""Compressed strings of COCO RLE, and their run lengths; the format is told in `coco_rle`."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence

import numpy as np

MAX_CHARACTERS = 7
MAX_RUN = 2**32 - 1
_MAX_BYTES = 2**27
# For `bytes.translate`: characters after which more of the number follows, which it drops; and for
# each other one the number of its five bits, signed, as a byte: 'I', 73 - 48 = 25, is -7, so 249.
_CONTINUED = bytes(range(80, 112))
_SIGNED = bytes(((code - 48 & 31) ^ 16) - 16 & 255 for code in range(256))
PROBLEMS = {
    'rle_character': 'expected characters within 48 and 111',
    'rle_unfinished': 'expected a string that ends with the end of a number',
    'rle_overflow': f'expected numbers of at most {MAX_CHARACTERS} characters and runs below 2^32',
    'rle_negative_run': 'expected runs of at least 0',
}


@dataclasses.dataclass(frozen=True)
class Runs:
    """Run lengths of N masks.

    Attributes:
      lengths: int64 [R], the runs of all masks, one mask after another; zeros first in each.
      splits: int64 [N + 1]; mask n has `lengths[splits[n]:splits[n + 1]]`.
      problems: by index of mask, the slug in `PROBLEMS` of what is wrong with its string; the runs
        of such a mask mean nothing.
    """

    lengths: np.ndarray
    splits: np.ndarray
    problems: dict[int, str]

    def sums(self) -> tuple[np.ndarray, np.ndarray]:
        """Sums up all runs, and the runs of ones (the area), each int64 [N]."""
        by_parity = np.zeros((2, len(self.splits) - 1), np.int64)
        for parity in (0, 1):
            cuts = _cut(self.splits, parity)
            filled = np.flatnonzero(np.diff(cuts))
            if filled.size:
                runs = self.lengths[parity::2]
                by_parity[parity, filled] = np.add.reduceat(runs, cuts[filled])
        # A mask's ones are its runs 1, 3, 5, ...: in the array of all runs the odd ones, or the
        # even ones where the mask begins at an odd place.
        ones = (self.splits[:-1] + 1) & 1
        return by_parity.sum(axis=0), by_parity[ones, np.arange(len(ones))]


def parse(counts: Sequence[bytes]) -> Runs:
    """Reads run lengths of compressed strings in one pass; problems are reported, not raised.

    Args:
      counts: N compressed strings.

    Returns:
      The runs, and which strings are malformed.

    Raises:
      ValueError: the strings are longer than 2^27 bytes together.
    """
    lengths = np.fromiter(map(len, counts), np.int64, len(counts))
    if lengths.sum() > _MAX_BYTES:
        raise ValueError(
            f'`coco_rle.parse`: expected `counts` of at most {_MAX_BYTES} bytes together; '
            f'got {lengths.sum()}. Pass fewer masks at once.'
        )
    joined = b''.join(counts)
    data = np.frombuffer(joined, np.uint8) - np.uint8(48)
    ends = np.cumsum(lengths)
    problems = _find_problems(data, lengths, ends)
    if problems:
        return _parse_others(counts, problems)
    values, splits = _read_numbers(joined, data, ends)
    if values is None:
        return _parse_others(counts, dict.fromkeys(splits.tolist(), 'rle_overflow'))
    _sum_differences(values, splits)
    if values.size and (values.min() < 0 or values.max() > MAX_RUN):
        for wrong, slug in ((values > MAX_RUN, 'rle_overflow'), (values < 0, 'rle_negative_run')):
            masks = np.searchsorted(splits, np.flatnonzero(wrong), 'right') - 1
            problems.update(dict.fromkeys(masks.tolist(), slug))
    return Runs(values, splits, problems)


def _find_problems(data: np.ndarray, lengths: np.ndarray, ends: np.ndarray) -> dict[int, str]:
    """Finds strings with wrong characters or no proper end; `data` is their characters - 48."""
    problems = dict.fromkeys(np.flatnonzero(lengths == 0).tolist())
    if data.size:
        problems.update(dict.fromkeys(np.flatnonzero(data[ends - 1] & 32).tolist()))
    problems = dict.fromkeys(problems, 'rle_unfinished')
    if data.size and data.max() > 63:
        wrong = np.searchsorted(ends, np.flatnonzero(data > 63), 'right')
        problems.update(dict.fromkeys(wrong.tolist(), 'rle_character'))
    return problems


def _parse_others(counts: Sequence[bytes], problems: dict[int, str]) -> Runs:
    """Parses with the strings that have problems replaced by one that has none."""
    runs = parse([b'0' if n in problems else string for n, string in enumerate(counts)])
    return dataclasses.replace(runs, problems={**runs.problems, **problems})


def _read_numbers(
    joined: bytes, data: np.ndarray, ends: np.ndarray
) -> tuple[np.ndarray | None, np.ndarray]:
    """Reads numbers int64 [R], and their splits by string; or `None` and the strings that overflow.

    Most numbers have one character, so the characters that continue are looked at apart. Those at
    positions 3, 4 and 9 belong to two numbers, of three characters and of two: sizes 2 and 1.
    """
    last = joined.translate(_SIGNED, _CONTINUED)
    values = np.frombuffer(last, np.int8).astype(np.int64)
    positions = np.flatnonzero(data > 31)
    highest = np.flatnonzero(data[positions + 1] < 32)  # before the last character of its number
    sizes = np.diff(highest, prepend=-1)
    if (too_long := sizes >= MAX_CHARACTERS).any():
        return None, np.searchsorted(ends, positions[highest[too_long]], 'right')
    payload = data[positions] & 31
    # Where the numbers stand among all: their last characters, at 5 and 10, less the characters
    # that continue before them, 2 and 3, are 3 and 7. Then digit by digit, from the highest down.
    index = positions[highest] - highest
    while index.size:
        values[index] = (values[index] << 5) | payload[highest]
        longer = np.flatnonzero(sizes > 1)
        index, highest, sizes = index[longer], highest[longer] - 1, sizes[longer] - 1
    return values, np.concatenate(([0], ends - np.searchsorted(positions, ends)))


def _sum_differences(values: np.ndarray, splits: np.ndarray) -> None:
    """Turns differences into runs, in place: two chains a mask, at even and at odd runs.

    All masks are summed up at once, so each begins by taking away what the one before has come to:
    5 1 | 7 2 becomes 5 1 | 1 2, whose sums are 5 6 | 7 9.
    """
    if not values.size:
        return
    starts = splits[:-1]
    first = values[starts]
    values[starts] = 0
    for parity in (0, 1):
        chain = values[parity::2].copy()  # Strided, it would take four times as long.
        cuts = _cut(splits, parity)
        begins = cuts[np.flatnonzero(np.diff(cuts))]
        if begins.size:
            chain[begins[1:]] -= np.add.reduceat(chain, begins)[:-1]
            values[parity::2] = chain.cumsum()
    values[starts] = first


def _cut(splits: np.ndarray, parity: int) -> np.ndarray:
    """Splits the array of every second value, from index `parity` on, as `splits` the whole one.

    Splits 0 3 5: of the values 0, 2, 4 these are 0 2 3, of the values 1, 3 they are 0 1 2.
    """
    return (splits + 1 - parity) // 2


def encode_runs(runs: Sequence[Sequence[int]]) -> list[bytes]:
    """Writes run lengths as compressed strings.

    Args:
      runs: N sequences of integers from 0 to 2^32 - 1, zeros first, none of them empty.

    Raises:
      ValueError: a sequence is empty, or a run is negative or too long.
    """
    arrays = [np.asarray(lengths, np.int64) for lengths in runs]
    for index, lengths in enumerate(arrays):
        if not lengths.size or lengths.min() < 0 or lengths.max() > MAX_RUN:
            raise ValueError(
                f'`coco_rle.encode_runs`: expected `runs` of 1 or more integers from 0 to {MAX_RUN}'
                f'; got {lengths[:8].tolist()} in `runs[{index}]`.'
            )
    splits = np.concatenate(([0], np.cumsum([len(lengths) for lengths in arrays], dtype=np.int64)))
    return write(np.concatenate([*arrays, np.zeros(0, np.int64)]), splits)


def write(lengths: np.ndarray, splits: np.ndarray) -> list[bytes]:
    """Writes run lengths int64 [R] of N masks, which begin at `splits` [N + 1], as strings.

    Nothing is checked: runs are from 0 to 2^32 - 1, and each mask has one.
    """
    values = lengths.copy()
    index = np.arange(len(values)) - np.repeat(splits[:-1], np.diff(splits))
    later = np.flatnonzero(index >= 3)
    values[later] -= lengths[later - 2]
    # Digits of 5 bits, low first, until what is left is the sign of the last one:
    # -7 = ...11111 11001 -> 11001 (25), its 0x10 says "negative", nothing more: character 48 + 25.
    # 16 = ...00000 10000 -> 10000 (16) would be read as -16, so 0 follows: 48 + 16 + 32, 48.
    characters = np.zeros((MAX_CHARACTERS, len(values)), np.uint8)
    counts = np.zeros(len(values), np.int64)
    active = np.arange(len(values))
    for digit in range(MAX_CHARACTERS):
        low = values[active] & 31
        values[active] >>= 5
        more = values[active] != -((low >> 4) & 1)
        characters[digit, active] = 48 + low + 32 * more
        counts[active] += 1
        active = active[more]
    text = characters.T[np.arange(MAX_CHARACTERS) < counts[:, None]].tobytes()
    ends = np.concatenate(([0], np.cumsum(counts)))[splits].tolist()
    return [text[start:end] for start, end in itertools.pairwise(ends)]
