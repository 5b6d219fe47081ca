"""Reading a data set with one shard an archive, and with k: rate, and how well it is shuffled.

SA-1B has its images in random order within each archive, so what shuffling has to do is to mix the
archives. Quality is the number of different archives in a batch, and how far examples move, both
beside what a perfect shuffle would give. Files are in the page cache, so the rate is that of
`tf.data`, not of a disk.

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

BATCH = 64


def load(data_dir: pathlib.Path, seed: int):
    """The data set as for training: files shuffled, images not decoded."""
    import tensorflow_datasets as tfds

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


def order(data_dir: pathlib.Path, buffer: int, seed: int) -> np.ndarray:
    """Image ids int64 [N], as an epoch with a shuffle buffer gives them."""
    ds = load(data_dir, seed).map(lambda example: example['image']['image_id'])
    return np.array(list(ds.shuffle(buffer, seed=seed).as_numpy_iterator()), np.int64)


def quality(ids: np.ndarray, images: int) -> dict[str, float]:
    """How well ids 1 ... N are mixed.

    Args:
      ids: image ids int64 [N] in the order in which they were read.
      images: images in each archive; id i is of archive (i - 1) // images.
    """
    archive = (ids - 1) // images
    batches = [archive[i : i + BATCH] for i in range(0, len(ids) - BATCH + 1, BATCH)]
    places = np.argsort(ids)
    return {
        'archives in a batch': statistics.fmean(len(set(batch.tolist())) for batch in batches),
        'distance moved, of the epoch': float(np.abs(places - np.arange(len(ids))).mean())
        / len(ids),
    }


def run(folder: pathlib.Path, arguments: argparse.Namespace) -> list[dict]:
    """Builds with each number of shards, reads, and gives the rows."""
    manual = folder / 'manual'
    archives.make_archives(manual, arguments.archives, arguments.images)
    total = arguments.archives * arguments.images
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
            found = quality(order(data_dir, buffer, seed=1), arguments.images)
            rows += [_builds.row(f'{name}, buffer {buffer}: {key}', v) for key, v in found.items()]
    perfect = quality(1 + np.random.default_rng(0).permutation(total), arguments.images)
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
    parser.add_argument('--archives', type=int, default=48, help='default: %(default)s')
    parser.add_argument('--images', type=int, default=44, help='in each; default: %(default)s')
    parser.add_argument('--buffers', type=int, nargs='*', default=[1, 256])
    parser.add_argument('--repeat', type=int, default=3, help='epochs timed; default: %(default)s')
    parser.add_argument('--folder', type=pathlib.Path, help='where to work (default: temporary)')
    parser.add_argument('--json', type=pathlib.Path, help='also write the rows to this file')
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        rows = run(pathlib.Path(folder), arguments)
    _builds.show(rows, arguments.json)


if __name__ == '__main__':
    main()
