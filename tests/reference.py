"""Slow, plain NumPy references, written from `docs/rle_format.md`, for the tests alone."""

from __future__ import annotations

import numpy as np


class Malformed(ValueError):
    """A string that is not compressed COCO RLE, or does not fill its size."""


def run_lengths(counts: bytes) -> list[int]:
    """Reads the runs of a mask, character by character."""
    runs, value, shift = [], 0, 0
    for character in counts:
        if not 48 <= character <= 111:
            raise Malformed(f'character {character}')
        bits = character - 48
        value |= (bits & 0x1F) << shift
        shift += 5
        if bits & 0x20:
            continue
        if bits & 0x10:
            value -= 1 << shift
        if len(runs) >= 3:
            value += runs[-2]
        if value < 0:
            raise Malformed(f'run of {value}')
        runs.append(value)
        value, shift = 0, 0
    if shift:
        raise Malformed('ends inside a number')
    return runs


def decode(counts: bytes, size) -> np.ndarray:
    """Draws a mask: uint8 [H, W]."""
    height, width = (int(side) for side in size)
    runs = run_lengths(counts)
    if sum(runs) != height * width:
        raise Malformed(f'sum of {sum(runs)}')
    pixels, position = np.zeros(height * width, np.uint8), 0
    for index, length in enumerate(runs):
        pixels[position : position + length] = index % 2
        position += length
    return pixels.reshape(width, height).T


def write_number(value: int) -> bytes:
    """Writes one number, 5 bits a character, low bits first."""
    characters = []
    while True:
        bits = value & 0x1F
        value >>= 5
        done = value == (-1 if bits & 0x10 else 0)
        characters.append(48 + bits + (0 if done else 0x20))
        if done:
            return bytes(characters)


def write_runs(runs) -> bytes:
    """Writes runs as `counts`."""
    return b''.join(
        write_number(length - (runs[index - 2] if index >= 3 else 0))
        for index, length in enumerate(runs)
    )


def encode(mask: np.ndarray) -> bytes:
    """Encodes a mask [H, W]."""
    runs, last = [0], 0
    for pixel in np.asarray(mask).T.reshape(-1) != 0:
        if pixel != last:
            runs.append(0)
            last = pixel
        runs[-1] += 1
    return write_runs(runs)


def sampled(start, extent, content: int) -> np.ndarray:
    """The source pixel under the centre of each of `content` target pixels."""
    if isinstance(start, int) and isinstance(extent, int):
        return np.array([start + (2 * i + 1) * extent // (2 * content) for i in range(content)])
    return np.array([int(np.floor(start + (2 * i + 1) * extent / (2 * content)))
                     for i in range(content)])  # fmt: skip


def resize_nearest(mask, target_size, *, window=None, placement=None, flip=False) -> np.ndarray:
    """Samples a drawn mask [H, W] at pixel centres: uint8 [h, w]."""
    (height, width), window, placement = _defaults(mask, target_size, window, placement)
    ys = sampled(window[0], window[2], placement[2])
    xs = sampled(window[1], window[3], placement[3])
    content = np.zeros(placement[2:], np.uint8)
    for i, y in enumerate(ys):
        for j, x in enumerate(xs):
            if 0 <= y < height and 0 <= x < width:
                content[i, j] = mask[y, x]
    return _place(content, target_size, placement, flip)


def resize_area(mask, target_size, *, window=None, placement=None, flip=False) -> np.ndarray:
    """Averages a drawn mask [H, W] over boxes: float64 [h, w]."""
    (height, width), window, placement = _defaults(mask, target_size, window, placement)
    down = _overlaps(window[0], window[2], placement[2], height)
    across = _overlaps(window[1], window[3], placement[3], width)
    content = down @ mask.astype(np.float64) @ across.T
    return _place(content, target_size, placement, flip)


def _defaults(mask, target_size, window, placement):
    window = (0, 0, *mask.shape) if window is None else window
    placement = (0, 0, *target_size) if placement is None else placement
    return mask.shape, window, placement


def _overlaps(start, extent, content: int, source: int) -> np.ndarray:
    """[content, source], the fraction of each target pixel that each source pixel covers."""
    cell = extent / content
    low = start + np.arange(content)[:, None] * cell
    pixel = np.arange(source)[None, :]
    overlap = np.minimum(low + cell, pixel + 1) - np.maximum(low, pixel)
    return np.maximum(overlap, 0) / cell


def _place(content, target_size, placement, flip) -> np.ndarray:
    result = np.zeros(target_size, content.dtype)
    y, x, height, width = placement
    result[y : y + height, x : x + width] = content[:, ::-1] if flip else content
    return result


def hierarchy(masks, containment=0.9, max_ratio=0.9):
    """Parents and depth of drawn masks [N, H, W]."""
    masks = np.asarray(masks, bool)
    areas = [int(mask.sum()) for mask in masks]
    return tree(areas, lambda a, b: (masks[a] & masks[b]).sum() / areas[a], containment, max_ratio)


def tree(areas, share, containment=0.9, max_ratio=0.9):
    """Parents and depth; `share(a, b)` is how much of mask a lies in mask b. Pair after pair."""
    parents, depth = [], []
    for a in range(len(areas)):
        best = -1
        for b in range(len(areas)):
            if a == b or not areas[a] or not areas[a] < max_ratio * areas[b]:
                continue
            if share(a, b) >= containment and (best < 0 or areas[b] < areas[best]):
                best = b
        parents.append(best)
    for parent in parents:
        steps = 0
        while parent >= 0:
            steps, parent = steps + 1, parents[parent]
        depth.append(steps)
    return parents, depth
