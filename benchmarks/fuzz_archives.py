"""Feeds damaged and hostile archives to the archive reader and counts what happens.

    python benchmarks/fuzz_archives.py --inputs 100000

Each input is a small archive with structured mutations (headers with their sums put right, sizes,
types, names, members moved, dropped or doubled) or random ones (bits, cuts, splices, insertions),
before or after compression. Every input must end in pairs, faults or a `DataError`: nothing else
may be raised, no input may take long, memory must not grow, no file may be opened for writing
outside the spool folder, and no thread may stay behind.
"""

from __future__ import annotations

import argparse
import collections
import gzip
import io
import json
import os
import pathlib
import random
import resource
import sys
import tempfile
import threading
import time

REPO = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(REPO), str(REPO / 'tests')]

import tars  # noqa: E402

from segment_anything_tfds.source.archive import chunks, pair_stream  # noqa: E402
from segment_anything_tfds.source.faults import DataError  # noqa: E402

SLOW = 5.0  # seconds
GROWTH = 256  # MiB
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
    pair_stream._open = lambda source: io.BytesIO(data)
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


def watch_writes(allowed: str) -> list[str]:
    """Lists the paths that this process opens for writing, the spool folder's aside."""
    written = []

    def hook(event, args):
        if event == 'open' and isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR):
            path = os.fspath(args[0]) if not isinstance(args[0], int) else ''
            if not str(path).startswith(allowed):
                written.append(str(path))

    sys.addaudithook(hook)
    return written


def memory() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10  # MiB


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--inputs', type=int, default=100_000)
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--json', help='file for the figures')
    args = parser.parse_args()
    outcomes: collections.Counter = collections.Counter()
    crashes, slowest = [], 0.0
    with tempfile.TemporaryDirectory() as spool:
        written = watch_writes(spool)
        library = chunks.igzip_lib
        start, before = time.monotonic(), 0
        for number in range(args.inputs):
            rng = random.Random(args.seed * 10**9 + number)
            data = make_input(rng)
            chunks.igzip_lib = rng.choice([library, None])
            chunks.READ_SIZE = rng.choice([64, 4096, 4 << 20])
            began = time.monotonic()
            try:
                outcomes[run_one(data, rng, spool)] += 1
            except Exception as error:
                crashes.append((number, f'{type(error).__name__}: {error}'))
            slowest = max(slowest, time.monotonic() - began)
            if number == 1000:
                before = memory()
        left = os.listdir(spool)
    print(f'{args.inputs} inputs in {time.monotonic() - start:.0f} s; outcomes:')
    for outcome, count in outcomes.most_common():
        print(f'  {count:8d} {outcome}')
    print(*crashes[:10], sep='\n')
    threads = [thread.name for thread in threading.enumerate() if thread.name.startswith('sa1b')]
    growth = memory() - before
    rows = [
        {'name': 'inputs', 'value': args.inputs, 'target': 100_000, 'ok': args.inputs >= 100_000},
        {'name': 'crashes', 'value': len(crashes), 'target': 0, 'ok': not crashes},
        {'name': 'slowest (s)', 'value': round(slowest, 3), 'target': SLOW, 'ok': slowest < SLOW},
        {'name': 'growth (MiB)', 'value': growth, 'target': GROWTH, 'ok': growth < GROWTH},
        {'name': 'paths written', 'value': len(written), 'target': 0, 'ok': not written},
        {'name': 'files left', 'value': len(left), 'target': 0, 'ok': not left},
        {'name': 'threads left', 'value': len(threads), 'target': 0, 'ok': not threads},
    ]
    for row in rows:
        print(f'{row["name"]:16} {row["value"]:>10} (target {row["target"]}) {row["ok"]}')
    if args.json:
        pathlib.Path(args.json).write_text(json.dumps({'rows': rows}))
    return 0 if all(row['ok'] for row in rows) else 1


if __name__ == '__main__':
    sys.exit(main())
