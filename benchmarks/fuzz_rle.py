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

STRING = tf.TensorSpec([1], tf.string)
read = tf.function(rle.run_lengths, input_signature=[STRING])
draw = tf.function(rle.decode, input_signature=[STRING, tf.TensorSpec([2], tf.int64)])
resize = tf.function(
    lambda counts, size: rle.decode_resized(counts, size, [7, 5]),
    input_signature=[STRING, tf.TensorSpec([2], tf.int64)],
)


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


def check(text: bytes, size, outcomes: collections.Counter) -> None:
    """Compares one string with the reference."""
    runs, mask = judge(text, size)
    if long_number(text):
        runs = mask = None
    counts = tf.constant([text])
    try:
        found = read(counts).to_list()[0]
    except tf.errors.InvalidArgumentError:
        found = None
    if found != runs:
        raise SystemExit(f'run_lengths: {text!r}: got {found}, expected {runs}')
    try:
        drawn = draw(counts, size).numpy()[0]
        small = resize(counts, size).numpy()[0]
    except tf.errors.InvalidArgumentError:
        drawn = None
    if (drawn is None) != (mask is None) or (mask is not None and (drawn != mask).any()):
        raise SystemExit(f'decode: {text!r}, {size}: not what the reference draws')
    if mask is not None and (small != reference.resize_nearest(mask, (7, 5))).any():
        raise SystemExit(f'decode_resized: {text!r}, {size}: not what the reference draws')
    outcome = 'refused' if runs is None else 'runs read' if mask is None else 'mask drawn'
    outcomes[outcome] += 1


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
    outcomes, slowest, start = collections.Counter(), 0.0, time.perf_counter()
    for _ in range(args.strings):
        size = rng.integers(1, 20, 2).tolist()
        text = sum_preserving(rng, size[0] * size[1])
        if rng.random() < 0.9:
            text = mutate(rng, text)
        begin = time.perf_counter()
        check(text, size, outcomes)
        slowest = max(slowest, time.perf_counter() - begin)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f'{args.strings} strings in {time.perf_counter() - start:.0f} s: {dict(outcomes)}')
    print(f'slowest {slowest:.2f} s (the first traces), peak memory {peak:.0f} MiB')
    if args.json:
        row = {'name': 'mutated strings, wrong answers', 'value': 0, 'target': '0', 'ok': True}
        args.json.write_text(json.dumps({'rows': [row]}))


if __name__ == '__main__':
    main()
