"""Checks of what the functions of `coco_rle` are given, and the two ways of giving it."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from segment_anything_tfds.source.record.rle import strings

MAX_PIXELS = 2**31 - 1


def takes_segmentation(function: Callable) -> Callable:
    """Lets a dict with `counts` and `size` stand for the two arguments of these names.

    `f(counts, size, x)` may be called as `f(segmentation, x)`; where two lots of masks come before
    `size`, as in `iou(a, b, size)`, each may be a dict, and their sizes must be equal.
    """
    names = list(inspect.signature(function).parameters)
    num_counts = names.index('size')

    @functools.wraps(function)
    def call(*args, **kwargs):
        sizes = []
        given = list(args)
        while len(given) < num_counts and names[len(given)] in kwargs:
            given.append(kwargs.pop(names[len(given)]))
        for index, value in enumerate(given[:num_counts]):
            if isinstance(value, Mapping) and {'counts', 'size'} <= value.keys():
                given[index] = _listed(value['counts'])
                sizes.append(value['size'])
        if sizes and 'size' not in kwargs:
            _check_equal(function.__name__, sizes)
            given.insert(num_counts, sizes[0])
        return function(*given, **kwargs)

    return call


def _listed(counts: bytes | str | Sequence[bytes | str]) -> Sequence[bytes | str]:
    """Makes a list of one string, as an annotation of SA-1B's JSON has it."""
    return [counts] if isinstance(counts, (bytes, str)) else counts


def _check_equal(where: str, sizes: list) -> None:
    rows = np.concatenate([np.reshape(size, (-1, 2)) for size in sizes])
    if len(rows) and (rows != rows[0]).any():
        raise ValueError(
            f'`coco_rle.{where}`: expected masks of one size; got '
            f'{np.unique(rows, axis=0).tolist()}. Compare masks of one image.'
        )


def read_runs(
    where: str, counts: Sequence[bytes | str], num_pixels: int | None = None
) -> strings.Runs:
    """Reads run lengths of `counts`; `ValueError` for a malformed string, or not `num_pixels`."""
    if isinstance(counts, (bytes, str)):
        raise ValueError(
            f'`coco_rle.{where}`: expected `counts` to be a sequence of strings; got {counts!r}. '
            'Put one string into a list.'
        )
    texts = [text.encode() if isinstance(text, str) else text for text in counts]
    runs = strings.parse(texts)
    if runs.problems:
        index = min(runs.problems)
        shown = texts[index] if len(texts[index]) <= 60 else texts[index][:57] + b'...'
        raise ValueError(
            f'`coco_rle.{where}`: expected `counts` to be compressed COCO RLE; `counts[{index}]`: '
            f'{strings.PROBLEMS[runs.problems[index]]}; got {shown!r}.'
        )
    wrong = np.flatnonzero(runs.sums()[0] != num_pixels) if num_pixels is not None else ()
    if len(wrong):
        raise ValueError(
            f'`coco_rle.{where}`: expected runs that sum to {num_pixels}, height x width, in '
            f'`counts[{wrong[0]}]`; got {runs.sums()[0][wrong[0]]}. Pass the size that the '
            'segmentation states.'
        )
    return runs


def check_size(where: str, name: str, size: Sequence[int], num_drawn: int = 1) -> tuple[int, int]:
    """Reads height and width as ints; `num_drawn` masks of this size must fit `MAX_PIXELS`."""
    array = np.asarray(size)
    if array.ndim == 2 and array.shape[1] == 2 and (array == array[:1]).all():
        array = array[0] if len(array) else np.array([1, 1])
    if array.shape != (2,) or array.dtype.kind not in 'iu':
        raise ValueError(
            f'`coco_rle.{where}`: expected `{name}` to be two integers [height, width]; got '
            f'{np.asarray(size).tolist()}.'
        )
    height, width = map(int, array)
    if min(height, width) < 1 or height * width * max(num_drawn, 1) > MAX_PIXELS:
        raise ValueError(
            f'`coco_rle.{where}`: expected `{name}` of at least 1 x 1 and at most {MAX_PIXELS} '
            f'pixels for all masks together; got {height} x {width} for {num_drawn} masks. Decode '
            'fewer masks at once, or at a smaller size.'
        )
    return height, width
