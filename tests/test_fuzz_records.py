"""Damaged links files, records, RLE strings and JPEGs: a value or the documented error, fast.

An RLE string that is accepted must decode to a mask that encodes to the same runs.
"""

from __future__ import annotations

import copy
import json
import resource
import time
from collections import Counter

import numpy as np
import pytest
import samples

from segment_anything_tfds.source.record import annotations, coco_rle, jpeg
from segment_anything_tfds.source.remote import links_file

INPUTS, SECONDS = 10_000, 12  # of a target; whichever comes first
SLOWEST = 1.0  # seconds for one input
MEMORY = 64  # MiB on top of what the process holds after the first inputs

LINKS = (
    'file_name\tcdn_link\n'
    + '\n'.join(
        f'{name}\thttps://cdn.example.com/m1/{name}?ccb=10-5&oh=00_SECRET{n}&oe=65000000'
        for n, name in enumerate(['sa_000020.tar', 'sa_images_ids.txt', 'sa_000000.tar'])
    )
).encode()
RECORD = json.dumps(samples.record(7, 6)).encode()
JPEG = samples.jpeg(7)
STRINGS = [row['segmentation']['counts'].encode() for row in samples.record(7, 6)['annotations']]
TOKENS = [
    *(b'', b'\0', b'\xff', b'\xff\xd8', b'\xff\xd9', b'\xff\xc0', b'\xff\xda', b'\xff\xff'),
    *(b'\t', b'\n', b'\r', b'"', b'[', b']', b'{', b'}', b',', b':', b'NaN', b'-1', b'1e999'),
    *(b'null', b'true', b'Infinity', b'18446744073709551616', b'9' * 400, b'[' * 2000),
    *(b'\\ud800', b'\xef\xbb\xbf', b'?oe=', b'://', b'oooooo7', b'P' * 9, b'0' * 50),
]


VALUES = [
    *(None, True, False, 0, 1, -1, 2**31, 2**53 + 1, 2**63, 2**64, -(2**64), 10**300, 10**400),
    *(0.5, -0.0, 1e308, -1e308, 5e-324, float('nan'), float('inf'), '', '0', 'p', 'é', '\ud800'),
    *([], {}, [0], [[]], [0, 0], [[0, 0]], [0, 0, 0, 0], [1.0, 2.0, 3.0, 4.0], [[[[]]]]),
    *({'size': [60, 90]}, {'counts': '0', 'size': [60, 90]}, 'oooooo7', 'P', 'hX5', [5400]),
]


def mutate(data: bytes, rng: np.random.Generator) -> bytes:
    """A few random edits: bytes changed, cut, repeated, swapped, or replaced by trouble."""
    for _ in range(rng.integers(1, 5)):
        start, length = int(rng.integers(0, len(data) + 1)), int(rng.geometric(0.1))
        end = min(len(data), start + length)
        edit = rng.integers(6)
        if edit == 0:
            data = data[:start] + rng.bytes(end - start) + data[end:]
        elif edit == 1:
            data = data[:start] + data[end:]
        elif edit == 2:
            data = data[:end] + data[start:end] * int(rng.integers(1, 9)) + data[end:]
        elif edit == 3:
            data = data[:start] + TOKENS[rng.integers(len(TOKENS))] + data[end:]
        elif edit == 4:
            data = data[:start]
        else:
            other = int(rng.integers(0, len(data) + 1))
            data = data[:start] + data[other : other + length] + data[end:]
    return data


def mutate_values(data: bytes, rng: np.random.Generator) -> bytes:
    """A record of valid JSON, a few of whose values are others."""
    record = json.loads(data)
    for _ in range(rng.integers(1, 4)):
        leaf, depth = record, rng.choice([1, 2, 3, 4, 5], p=[0.02, 0.08, 0.5, 0.3, 0.1])
        while isinstance(leaf, (dict, list)) and leaf:
            keys = list(leaf) if isinstance(leaf, dict) else range(len(leaf))
            key, depth = keys[rng.integers(len(keys))], depth - 1
            if depth == 0 or not isinstance(leaf[key], (dict, list)):
                leaf[key] = copy.deepcopy(VALUES[rng.integers(len(VALUES))])
                break
            leaf = leaf[key]
    return json.dumps(record).encode()


def try_links(data: bytes) -> str:
    try:
        found = links_file.parse(data.decode('utf-8', 'replace'))
    except ValueError as error:
        if '=00_SECRET' in str(error):
            raise AssertionError('a signed query was shown') from error
        return 'refused'
    return 'accepted' if len(found.archives) == 2 else 'accepted in part'


def try_record(data: bytes) -> str:
    example, faults = annotations.check(
        JPEG, data, archive='sa_000020', image_name='sa_7.jpg', record_name='sa_7.json'
    )
    for fault in faults:
        fault.to_json()
        if len(str(fault).encode()) > 1000:
            raise AssertionError(f'a fault of {len(str(fault))} characters')
    if example is None:
        return 'refused'
    lengths = {len(column) for column in example.annotations.values()}
    if lengths != {len(example.annotations['id'])}:
        raise AssertionError(f'columns of different lengths: {lengths}')
    return 'accepted in part' if faults else 'accepted'


def try_string(data: bytes) -> str:
    runs = coco_rle.parse([STRINGS[0], data, STRINGS[1]])
    if runs.sums()[0][[0, 2]].tolist() != [samples.HEIGHT * samples.WIDTH] * 2:
        raise AssertionError('a string changed its neighbours')
    try:
        mask = coco_rle.decode([data], (samples.HEIGHT, samples.WIDTH))
    except ValueError:
        return 'refused'
    if (
        mask.sum() != runs.sums()[1][1]
        or (coco_rle.decode(coco_rle.encode(mask), mask.shape[1:]) != mask).any()
    ):
        raise AssertionError('a string does not stand for its mask')
    return 'accepted'


def try_jpeg(data: bytes) -> str:
    try:
        jpeg.check(data)
    except jpeg.JpegError:
        return 'refused'
    return 'accepted'


TARGETS = {
    'links': (try_links, mutate, [LINKS]),
    'records': (try_record, mutate, [RECORD]),
    'values': (try_record, mutate_values, [RECORD]),
    'strings': (try_string, mutate, STRINGS),
    'jpegs': (try_jpeg, mutate, [JPEG, JPEG[:700]]),
}


@pytest.mark.slow
@pytest.mark.parametrize('name', TARGETS)
def test_mutated_inputs(name):
    run, change, seeds = TARGETS[name]
    rng = np.random.default_rng([0, list(TARGETS).index(name)])
    outcomes, slowest, before, start = Counter(), 0.0, 0, time.monotonic()
    for number in range(INPUTS):
        data = change(seeds[rng.integers(len(seeds))], rng)
        began = time.thread_time()
        try:
            outcomes[run(data)] += 1
        except Exception as error:
            raise AssertionError(f'input {number}: {data!r}') from error
        slowest = max(slowest, time.thread_time() - began)
        if number == 200:
            before = memory()
        if time.monotonic() - start > SECONDS:
            break
    assert outcomes['refused'] > 20 and outcomes.total() > outcomes['refused'], outcomes
    assert slowest < SLOWEST
    assert memory() - before < MEMORY


def memory() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10  # MiB
