"""Mutated `counts` strings: `rle` and `coco_rle` give an error or the right answer.

What the plain reference says about a string is the judge: what it reads must be read alike, the
rest must be refused.
"""

import collections

import numpy as np
import pytest
import reference
import tensorflow as tf

from segment_anything_tfds.ops import rle
from segment_anything_tfds.source.record import coco_rle

TARGET = (7, 5)
STRINGS = 20_000


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
        assert found == runs, text
        drawn, small = masks_found.get(number, (None, None))
        assert (drawn is None) == (mask is None), (text, size)
        check_twin(text, size, runs, mask)
        if mask is not None:
            np.testing.assert_array_equal(drawn, mask)
            np.testing.assert_array_equal(small, reference.resize_nearest(mask, TARGET))
        outcomes['refused' if runs is None else 'runs' if mask is None else 'masks'] += 1


def sum_preserving(rng: np.random.Generator, pixels: int) -> bytes:
    """Runs that fill the mask, written number by number, empty runs among them."""
    cuts = np.sort(rng.integers(0, pixels + 1, rng.integers(0, 12)))
    return reference.write_runs(np.diff(cuts, prepend=0, append=pixels).tolist())


def check_twin(text, size, runs, mask) -> None:
    """Compares `coco_rle` with the reference; it takes runs up to 2³² - 1, for COCO's sake."""
    parsed = coco_rle.parse([text])
    if not text:
        assert parsed.problems == {0: 'rle_unfinished'}  # a mask has at least one run
    elif runs is not None:
        assert not parsed.problems and parsed.lengths.tolist() == runs, text
    elif not parsed.problems:
        assert parsed.sums()[0][0] > 2**31 - 1, text
    if mask is None:
        with pytest.raises(ValueError, match=r'`coco_rle.decode`: expected'):
            coco_rle.decode([text], size)
    else:
        np.testing.assert_array_equal(coco_rle.decode([text], size)[0], mask)


@pytest.mark.slow
@pytest.mark.parametrize('seed', [0, 1])
def test_mutated_strings(seed):
    rng = np.random.default_rng(seed)
    outcomes = collections.Counter()
    sizes = rng.integers(1, 20, [STRINGS, 2]).tolist()
    texts = [sum_preserving(rng, height * width) for height, width in sizes]
    texts = [mutate(rng, text) if rng.random() < 0.9 else text for text in texts]
    check(texts, sizes, outcomes)
    assert min(outcomes[kind] for kind in ('refused', 'runs', 'masks')) > STRINGS // 20, outcomes
