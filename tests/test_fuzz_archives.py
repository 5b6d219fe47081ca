"""Damaged and hostile archives: the reader gives pairs, faults or a `DataError`, and no more.

Each input is a small archive with structured mutations (headers with their sums put right, sizes,
types, names, members moved, dropped or doubled) or random ones (bits, cuts, splices, insertions),
before or after compression. Nothing else may be raised, no input may take long, memory must not
grow, no file may be opened for writing outside the spool folder, and no thread may stay behind.
"""

from __future__ import annotations

import collections
import contextlib
import gzip
import io
import os
import random
import resource
import sys
import threading
import time

import pytest
import tars

from segment_anything_tfds.source.archive import chunks, pair_stream
from segment_anything_tfds.source.faults import DataError

INPUTS, SECONDS = 20_000, 60  # whichever comes first
SLOW = 5.0  # seconds for one input
GROWTH = 256  # MiB beyond what the first inputs took
NAMES = [b'../sa_1.jpg', b'/sa_1.jpg', b'._sa_1.jpg', b'sa_1.jpg', b'', b'\xff' * 100, b'a/' * 50]
SIZES = [b'\x80' + b'\xff' * 11, b'\xff' * 12, b'77777777777\0', b'00000000000\0', b'-0000000001\0']


def corpus(rng: random.Random) -> list[bytes]:
    """Members of one small archive, in whatever format."""
    members = tars.pairs(
        range(rng.randint(1, 6)), seed=rng.randrange(99), size=rng.randint(0, 1500)
    )
    extras = [
        tars.member('.', typeflag=b'5'),
        tars.pax({'path': b'x/sa_77.jpg', 'size': b'3'}) + tars.member('cut', b'abc'),
        tars.member('././@LongLink', b'y' * 200 + b'/sa_78.json\0', b'L')
        + tars.member('cut', b'{}'),
        tars.member('link', typeflag=b'2', linkname=b'/etc/passwd'),
        tars.member('sa_79.jpg', bytes(512), b'S', magic=b'ustar  \0'),
    ]
    return members + rng.sample(extras, rng.randint(0, len(extras)))


def mutate_header(rng: random.Random, member: bytes) -> bytes:
    """Bends one field of a header, and puts its sum right, mostly."""
    block = bytearray(member[:512])
    field = rng.choice(['name', 'size', 'type', 'magic', 'prefix', 'any'])
    if field == 'name':
        block[:100] = rng.choice(NAMES)[:100].ljust(100, b'\0')
    elif field == 'size':
        block[124:136] = rng.choice([*SIZES, b'%011o\0' % rng.randrange(1 << 33)])
    elif field == 'type':
        block[156] = rng.choice(b'01234567LKxXgSVMDAN\0\xff')
    elif field == 'magic':
        block[257:265] = rng.choice([b'ustar\x0000', b'ustar  \0', bytes(8), rng.randbytes(8)])
    elif field == 'prefix':
        block[345:500] = rng.randbytes(155)
    else:
        block[rng.randrange(512)] = rng.randrange(256)
    if rng.random() < 0.9:
        block[148:156] = b' ' * 8
        block[148:156] = b'%06o\0 ' % sum(block)
    return bytes(block) + member[512:]


def mutate_bytes(rng: random.Random, data: bytes) -> bytes:
    """Random damage: flips, cuts, splices, insertions, zeros."""
    data = bytearray(data)
    for _ in range(rng.choice([1, 1, 1, 2, 5, 20])):
        kind = rng.randrange(5)
        at = rng.randrange(len(data) + 1)
        if kind == 0 and data:
            data[at % len(data)] ^= 1 << rng.randrange(8)
        elif kind == 1:
            del data[at:]
        elif kind == 2:
            del data[at : at + rng.choice([1, 10, 512, 2048])]
        elif kind == 3:
            data[at:at] = rng.randbytes(rng.choice([1, 10, 512]))
        else:
            size = rng.choice([1, 10, 512, 1024])
            data[at : at + size] = bytes(len(data[at : at + size]))
    return bytes(data)


def make_input(rng: random.Random) -> bytes:
    members = corpus(rng)
    for _ in range(rng.choice([0, 1, 1, 2, 4])):
        index = rng.randrange(len(members))
        kind = rng.randrange(5)
        if kind <= 1:
            members[index] = mutate_header(rng, members[index])
        elif kind == 2:
            members.insert(rng.randrange(len(members)), members[index])
        elif kind == 3 and len(members) > 1:
            del members[index]
        else:
            rng.shuffle(members)
    data = tars.tar(*members)
    if rng.random() < 0.3:
        data = mutate_bytes(rng, data)
    if rng.random() < 0.6:
        cut = rng.choice([0, 0, rng.randrange(len(data) + 1)])
        level = rng.choice([0, 1, 6])
        data = b''.join(gzip.compress(part, level, mtime=0) for part in (data[:cut], data[cut:]))
        if rng.random() < 0.6:
            data = mutate_bytes(rng, data)
        if rng.random() < 0.1:  # flags of the gzip header: extra fields, names, comments
            data = data[:3] + bytes([rng.randrange(256)]) + data[4:]
    return data


def run_one(data: bytes, rng: random.Random, spool: str) -> str:
    """What became of one input: `'whole'`, `'faults'`, or the reason of the error."""
    faults = []
    source = pair_stream.Source(20, 'file', 'memory')
    options = {'spool_dir': spool, 'spool_budget': rng.choice([0, 2000, 1 << 20])}
    options['want_digest'] = rng.random() < 0.1
    with pair_stream.open_archive(source, on_fault=faults.append, **options) as reader:
        try:
            pairs = sum(1 for _ in reader)
        except DataError as error:
            assert str(error)
            return error.faults[0].reason
    assert pairs == reader.pairs
    return 'faults' if faults else 'whole'


@contextlib.contextmanager
def writes_outside(allowed: str):
    """Lists the paths that this process opens for writing, those below a folder aside."""
    written, watching = [], True

    def hook(event, args):  # such a hook stays, so it must know when to be silent
        if not watching or event != 'open' or not isinstance(args[2], int):
            return
        if args[2] & (os.O_WRONLY | os.O_RDWR) and not isinstance(args[0], int):
            path = os.fspath(args[0])
            if not str(path).startswith(allowed):
                written.append(str(path))

    sys.addaudithook(hook)
    try:
        yield written
    finally:
        watching = False


def memory() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10  # MiB


@pytest.mark.slow
def test_mutated_archives(monkeypatch, tmp_path):
    outcomes: collections.Counter = collections.Counter()
    slowest, before, start = 0.0, 0, time.monotonic()
    library, reader = chunks.igzip_lib, pair_stream.ArchiveReader
    with writes_outside(str(tmp_path)) as written:
        for number in range(INPUTS):
            rng = random.Random(number)
            data = make_input(rng)
            monkeypatch.setattr(reader, '_open', lambda _, data=data: io.BytesIO(data))
            monkeypatch.setattr(chunks, 'igzip_lib', rng.choice([library, None]))
            monkeypatch.setattr(chunks, 'READ_SIZE', rng.choice([64, 4096, 4 << 20]))
            began = time.thread_time()
            try:
                outcomes[run_one(data, rng, str(tmp_path))] += 1
            except Exception as error:
                raise AssertionError(f'input {number}') from error
            slowest = max(slowest, time.thread_time() - began)
            if number == 500:
                before = memory()
            if time.monotonic() - start > SECONDS:
                break
    assert min(outcomes['whole'], outcomes['faults']) > 20 and len(outcomes) > 4, outcomes
    assert slowest < SLOW
    assert memory() - before < GROWTH
    assert not written
    assert not os.listdir(tmp_path)
    assert not [one.name for one in threading.enumerate() if one.name.startswith('sa1b')]
