"""Mutates `counts` strings and checks that `rle` gives an error or the right answer.

    python benchmarks/fuzz_rle.py [--strings 200000] [--seed 0] [--json FILE]

Each string goes alone through `run_lengths` and `decode`; what the plain reference says about it is
the judge. Strings that the reference reads must be read alike, the others must be refused.
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import pathlib
import resource
import sys
import time

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
os.environ.setdefault('CUDA_VISIBLE_DEVICES', '')
REPO = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(REPO), str(REPO / 'tests')]

import numpy as np  # noqa: E402
import reference  # noqa: E402
import tensorflow as tf  # noqa: E402

from segment_anything_tfds.ops import rle  # noqa: E402

TARGET = (7, 5)


def mutate(rng: np.random.Generator, text: bytes) -> bytes:
    """Changes, drops, inserts, repeats or swaps a few characters."""
    text = bytearray(text)
    for _ in range(rng.integers(1, 4)):
        at = int(rng.integers(len(text) + 1))
        kind = rng.integers(6)
        character = int(rng.integers(256) if rng.random() < 0.1 else rng.integers(48, 112))
        if kind == 0 and at < len(text):
            text[at] = character
        elif kind == 1 and at < len(text):
            del text[at]
        elif kind == 2:
            text.insert(at, character)
        elif kind == 3:
            text[at:at] = text[max(0, at - int(rng.integers(1, 9))) : at]
        elif kind == 4:
            text[at:at] = b'o' * int(rng.integers(1, 9))
        else:
            del text[at:]
    return bytes(text)


def judge(text: bytes, size) -> tuple[list[int] | None, np.ndarray | None]:
    """What the reference says: runs and mask, None where it refuses."""
    try:
        runs = reference.run_lengths(text)
    except reference.Malformed:
        return None, None
    if sum(runs) > 2**31 - 1:
        return None, None
    return runs, reference.decode(text, size) if sum(runs) == size[0] * size[1] else None


def long_number(text: bytes) -> bool:
    """Whether a number has more than 7 characters, which is refused even if its value fits."""
    length = 0
    for character in text:
        length += 1
        if length > 7:
            return True
        if not (character - 48) & 0x20:
            length = 0
    return False


def answers(texts: list[bytes], sizes: list[list[int]]) -> tuple[dict, dict]:
    """What `rle` says about each string alone: runs, and masks at two sizes, by number."""
    numbers = np.arange(len(texts))
    data = tf.data.Dataset.from_tensor_slices((numbers, texts, np.array(sizes)))

    def read(number, counts, size):
        return number, rle.run_lengths(counts[tf.newaxis]).values

    def draw(number, counts, size):
        counts = counts[tf.newaxis]
        return number, rle.decode(counts, size)[0], rle.decode_resized(counts, size, TARGET)[0]

    found = []
    for function in (read, draw):
        results = data.map(function, num_parallel_calls=tf.data.AUTOTUNE).ignore_errors()
        found.append({int(number): rest for number, *rest in results.as_numpy_iterator()})
    return tuple(found)


def check(texts, sizes, outcomes: collections.Counter) -> None:
    """Compares all strings with the reference."""
    runs_found, masks_found = answers(texts, sizes)
    for number, (text, size) in enumerate(zip(texts, sizes, strict=True)):
        runs, mask = (None, None) if long_number(text) else judge(text, size)
        found = runs_found.get(number)
        found = None if found is None else found[0].tolist()
        if found != runs:
            raise SystemExit(f'run_lengths: {text!r}: got {found}, expected {runs}')
        drawn, small = masks_found.get(number, (None, None))
        if (drawn is None) != (mask is None):
            raise SystemExit(f'decode: {text!r}, {size}: not what the reference says')
        if mask is not None:
            expected = reference.resize_nearest(mask, TARGET)
            if (drawn != mask).any() or (small != expected).any():
                raise SystemExit(f'decode: {text!r}, {size}: not what the reference draws')
        outcomes['refused' if runs is None else 'runs' if mask is None else 'masks'] += 1


def sum_preserving(rng: np.random.Generator, pixels: int) -> bytes:
    """Runs that fill the mask, written number by number, empty runs among them."""
    cuts = np.sort(rng.integers(0, pixels + 1, rng.integers(0, 12)))
    return reference.write_runs(np.diff(cuts, prepend=0, append=pixels).tolist())


def main() -> None:
    """Fuzzes and prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--strings', type=int, default=200_000)
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--json', type=pathlib.Path)
    args = parser.parse_args()
    rng = np.random.default_rng(args.seed)
    outcomes, start = collections.Counter(), time.perf_counter()
    sizes = rng.integers(1, 20, [args.strings, 2]).tolist()
    texts = [sum_preserving(rng, height * width) for height, width in sizes]
    texts = [mutate(rng, text) if rng.random() < 0.9 else text for text in texts]
    check(texts, sizes, outcomes)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f'{args.strings} strings in {time.perf_counter() - start:.0f} s, peak {peak:.0f} MiB:')
    print(
        f'{outcomes["refused"]} refused, {outcomes["runs"]} with runs that do not fill the mask, '
        f'{outcomes["masks"]} drawn; all as the reference says'
    )
    if args.json:
        row = {'name': 'mutated strings, wrong answers', 'value': 0, 'target': '0', 'ok': True}
        args.json.write_text(json.dumps({'rows': [row]}))


if __name__ == '__main__':
    main()
