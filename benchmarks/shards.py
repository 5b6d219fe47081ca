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

import _builds
import _report
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


def epoch(data_dir: pathlib.Path, seed: int) -> tuple[int, int]:
    """Images and bytes of one epoch, all read."""
    ds = load(data_dir, seed).map(lambda example: example['image']['content'])
    sizes = [len(content) for content in ds.as_numpy_iterator()]
    return len(sizes), sum(sizes)


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


def run(folder: pathlib.Path, arguments: argparse.Namespace, report: _report.Report) -> None:
    """Builds with each number of shards, and reads."""
    manual = folder / 'manual'
    archives.make_archives(manual, arguments.archives, arguments.images)
    costs = {}
    for k in arguments.shards:
        data_dir = folder / f'data{k}'
        job = _builds.Job(manual, kwargs={'shards_per_archive': k})
        built = _builds.measure(job, data_dir=str(data_dir))
        name = f'{k} shards an archive'
        report.time(f'{name}: build', _report.Cost(built['seconds'], built['cpu_seconds']))
        images, size = epoch(data_dir, 0)
        cost = _report.median(
            _report.seconds(lambda seed=seed, place=data_dir: epoch(place, seed))
            for seed in range(arguments.repeat)
        )
        costs[k] = report.time(f'{name}: an epoch of {images} images', cost)
        report.value(f'{name}: images a second read', images / cost.wall)
        report.value(f'{name}: MB a second read', size / cost.wall / 1e6)
        for buffer in arguments.buffers:
            for key, value in mixture(read_order(k, buffer, EXAMPLES)).items():
                report.value(f'{name}, buffer {buffer}: {key}', value)
    perfect = mixture(np.random.default_rng(0).integers(0, ARCHIVES, EXAMPLES))
    for key, value in perfect.items():
        report.value(f'perfect shuffle: {key}', value)
    first, *others = arguments.shards
    for k in others:
        report.ratio(f'time with {k} shards / with {first}', costs[k], costs[first])


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
    _report.add_arguments(parser)
    arguments = parser.parse_args()
    packages = ('tensorflow', 'tensorflow-datasets')
    report = _report.Report(packages, note=arguments.note, file=arguments.json)
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        run(pathlib.Path(folder), arguments, report)
    report.write()


if __name__ == '__main__':
    main()
