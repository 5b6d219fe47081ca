"""Reading a data set with one shard an archive, and with k: rate, and how well it is shuffled.

The rate is that of TFDS on archives of SA-1B's shape, from the page cache. How well it is shuffled
depends on the order alone, so that is done with numbers, at SA-1B's full size: TFDS's order of
reading (16 shards at a time, 16 examples of each) and a shuffle buffer. SA-1B has its images in
random order within each archive, so what shuffling has to do is to mix archives.

    python benchmarks/shards.py --shards 1 11 --json rows.json
"""

from __future__ import annotations

import argparse
import pathlib
import statistics
import tempfile
import time

import _builds
import archives
import numpy as np
import tensorflow_datasets as tfds

ARCHIVES, IMAGES = 1000, 11186  # of SA-1B
BATCH = 64
CYCLE, BLOCK = 16, 16  # TFDS's defaults
EXAMPLES = 1 << 17


def load(data_dir: pathlib.Path, seed: int):
    """The data set as for training: files shuffled, images not decoded."""
    builder = tfds.builder_from_directory(data_dir / 'segment_anything' / '1.0.0')
    return builder.as_dataset(
        split='train',
        shuffle_files=True,
        decoders={'image': {'content': tfds.decode.SkipDecoding()}},
        read_config=tfds.ReadConfig(try_autocache=False, shuffle_seed=seed),
    )


def rate(data_dir: pathlib.Path, seed: int) -> tuple[float, float]:
    """Images and megabytes a second of one epoch."""
    ds = load(data_dir, seed).map(lambda example: example['image']['content'])
    count = size = 0
    start = time.perf_counter()
    for content in ds.as_numpy_iterator():
        count, size = count + 1, size + len(content)
    seconds = time.perf_counter() - start
    return count / seconds, size / seconds / 1e6


def read_order(shards_per_archive: int, buffer: int, examples: int) -> np.ndarray:
    """Archives int64 [examples] of the first examples of an epoch of SA-1B."""
    import tensorflow as tf

    size = IMAGES // shards_per_archive
    ds = tf.data.Dataset.range(ARCHIVES * shards_per_archive)
    ds = ds.shuffle(ARCHIVES * shards_per_archive, seed=0)
    ds = ds.interleave(
        lambda shard: tf.data.Dataset.from_tensors(shard // shards_per_archive).repeat(size),
        cycle_length=CYCLE,
        block_length=BLOCK,
    )
    return np.array(list(ds.shuffle(buffer, seed=1).take(examples).as_numpy_iterator()))


def mixture(archive: np.ndarray) -> dict[str, float]:
    """How many different archives [N] there are in a batch, and in 4096 examples."""
    return {
        f'archives in {size} examples': statistics.fmean(
            len(set(archive[i : i + size].tolist()))
            for i in range(0, len(archive) - size + 1, size)
        )
        for size in (BATCH, 4096)
    }


def run(folder: pathlib.Path, arguments: argparse.Namespace) -> list[dict]:
    """Builds with each number of shards, reads, and gives the rows."""
    manual = folder / 'manual'
    archives.make_archives(manual, arguments.archives, arguments.images)
    rates, rows = {}, []
    for k in arguments.shards:
        data_dir = folder / f'data{k}'
        job = _builds.Job(manual, kwargs={'shards_per_archive': k})
        measured = _builds.measure(job, data_dir=str(data_dir))
        runs = [rate(data_dir, seed) for seed in range(arguments.repeat)]
        rates[k] = statistics.median(megabytes for _, megabytes in runs)
        name = f'{k} shards an archive'
        rows += [
            _builds.row(f'{name}: seconds of the build', measured['builds'][0]['build_seconds']),
            _builds.row(f'{name}: images a second read', statistics.median(r[0] for r in runs)),
            _builds.row(f'{name}: MB a second read', rates[k]),
        ]
        for buffer in arguments.buffers:
            found = mixture(read_order(k, buffer, EXAMPLES))
            rows += [_builds.row(f'{name}, buffer {buffer}: {key}', v) for key, v in found.items()]
    perfect = mixture(np.random.default_rng(0).integers(0, ARCHIVES, EXAMPLES))
    rows += [_builds.row(f'perfect shuffle: {key}', value) for key, value in perfect.items()]
    first, *others = arguments.shards
    rows += [
        _builds.row(f'rate with {k} shards / with {first}', rates[k] / rates[first]) for k in others
    ]
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--shards', type=int, nargs='*', default=[1, 11])
    parser.add_argument('--archives', type=int, default=16, help='default: %(default)s')
    parser.add_argument('--images', type=int, default=132, help='in each; default: %(default)s')
    parser.add_argument('--buffers', type=int, nargs='*', default=[1, 1000, 10000])
    parser.add_argument('--repeat', type=int, default=3, help='epochs timed; default: %(default)s')
    parser.add_argument('--folder', type=pathlib.Path, help='where to work (default: temporary)')
    parser.add_argument('--json', type=pathlib.Path, help='also write the rows to this file')
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        rows = run(pathlib.Path(folder), arguments)
    _builds.show(rows, arguments.json)


if __name__ == '__main__':
    main()
