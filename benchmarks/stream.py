"""Streaming from archives against reading prepared shards, and against other streaming readers.

    python benchmarks/stream.py --images 250 --json rows.json

Four archives of SA-1B's shape, read at once. In one run: images a second and CPU time an image,
undecoded and as batches of SAM's recipe, from archives and from the shards prepared of them, in
alternating passes; the time from the end of the imports to the first example and to the first
batch, from files and from links to a server on this machine, each in a process of its own; the
peak of memory; and what WebDataset and `datasets` make of the same archives.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

REPO = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(REPO), str(REPO / 'tests'), str(REPO / 'benchmarks')]
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')

import _report  # noqa: E402
import archives as shapes  # noqa: E402
import fault_server  # noqa: E402

ARCHIVES, BATCH = 4, 8
NOWHERE = 'no_data_dir'


def build(folder: pathlib.Path) -> None:
    """Prepares the archives, as a build does."""
    import tensorflow_datasets as tfds

    import segment_anything_tfds as sa1b

    config = tfds.download.DownloadConfig(manual_dir=folder / 'manual')
    builder = sa1b.Builder(data_dir=folder / 'data')
    builder.download_and_prepare(download_config=config)


def undecoded():
    import tensorflow_datasets as tfds

    return {'image': {'content': tfds.decode.SkipDecoding()}}


def streamed(folder: pathlib.Path, manual: str = 'manual', **options):
    """The stream that is measured."""
    import segment_anything_tfds as sa1b

    manual_dir, data_dir = folder / manual, folder / NOWHERE
    return sa1b.stream(manual_dir=manual_dir, data_dir=data_dir, seed=0, **options)


def prepared(folder: pathlib.Path, **options):
    """What `tfds.load` gives of the shards."""
    import tensorflow_datasets as tfds

    import segment_anything_tfds as sa1b

    config = tfds.ReadConfig(try_autocache=False)
    builder = sa1b.Builder(data_dir=folder / 'data')
    return builder.as_dataset(split='train', shuffle_files=True, read_config=config, **options)


def batches(dataset):
    from segment_anything_tfds import training

    return training.recipes.get('sam').batches(dataset, BATCH, seed=0)


def rates(folder: pathlib.Path, rounds: int) -> dict[str, list[tuple[float, float]]]:
    """Milliseconds an image by name, wall and CPU; one pair a round.

    From archives whole passes are timed: their first pairs become whole late, and the last early.
    A pass ends with its last example. To delete the iterator may take as long again: TensorFlow
    waits for its thread that tunes, which sleeps 10 ms, and then twice as long each time.
    """
    ways = {
        'stream, undecoded': streamed(folder, decoders=undecoded()),
        'prepared, undecoded': prepared(folder, decoders=undecoded()),
        'stream, training input': batches(streamed(folder, decoders=undecoded())),
        'prepared, training input': batches(prepared(folder, decoders=undecoded())),
    }
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, dataset in ways.items():
            size = BATCH if 'training' in name else 1
            start, cpu = time.perf_counter(), time.process_time()
            iterator = iter(dataset)
            done = size * sum(1 for _ in iterator)
            wall, cpu = time.perf_counter() - start, time.process_time() - cpu
            del iterator
            found[name].append((1000 * wall / done, 1000 * cpu / done))
            time.sleep(1)
    return found


def first(folder: pathlib.Path, manual: str) -> dict[str, _report.Cost]:
    """Seconds after the imports until the first example and the first batch."""
    import segment_anything_tfds  # noqa: F401
    from segment_anything_tfds import training
    from segment_anything_tfds.streaming import stream_api  # noqa: F401

    training.recipes.get('sam')
    example = _report.seconds(lambda: next(iter(streamed(folder, manual))))
    batch = _report.seconds(
        lambda: next(iter(batches(streamed(folder, manual, decoders=undecoded()))))
    )
    return {'example': example, 'batch': batch}


def memory(folder: pathlib.Path, count: int) -> dict[str, float]:
    """Peak of resident memory in GB: after the imports, and after `count` examples."""
    from segment_anything_tfds.streaming import stream_api  # noqa: F401

    before = peak()
    for _ in streamed(folder, decoders=undecoded()).take(count):
        pass
    return {'imports': before, 'stream': peak()}


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def web_dataset(paths: list[str], count: int) -> dict:
    """Milliseconds a sample of WebDataset, and how many of them have an image and its record."""
    import webdataset

    # Each sample is what lies side by side under one name.
    dataset = webdataset.WebDataset(paths, shardshuffle=False, empty_check=False)
    return count_pairs(dataset, count, lambda sample: {'jpg', 'json'} <= sample.keys())


def hugging_face(paths: list[str], count: int) -> dict:
    """The same of `datasets`, streaming; only the share, 0, where it refuses the archives."""
    import datasets

    datasets.disable_progress_bars()
    try:
        dataset = datasets.load_dataset(
            'webdataset', data_files={'train': paths}, split='train', streaming=True
        )
    except ValueError:  # it refuses archives whose first members are not alike
        return {'pairs': 0.0}
    dataset = dataset.decode(False) if hasattr(dataset, 'decode') else dataset
    return count_pairs(
        dataset, count, lambda row: row.get('jpg') is not None and row.get('json') is not None
    )


def count_pairs(rows, count: int, is_pair) -> dict:
    start, cpu, found, pairs = time.perf_counter(), time.process_time(), 0, 0
    for row in rows:
        found, pairs = found + 1, pairs + bool(is_pair(row))
        if found == count:
            break
    wall, cpu = time.perf_counter() - start, time.process_time() - cpu
    cost = [1000 * wall / max(1, found), 1000 * cpu / max(1, found)]
    return {'cost': cost, 'pairs': pairs / max(1, found)}


def serve(folder: pathlib.Path, ready, done) -> None:
    """Serves the archives, and writes a links file."""
    with fault_server.FaultServer() as server:
        links = folder / 'links' / 'segment_anything_links.txt'
        links.parent.mkdir(exist_ok=True)
        lines = [
            f'{path.name}\t{server.serve(path.name, path.read_bytes())}\n'
            for path in sorted((folder / 'manual').glob('*.tar'))
        ]
        links.write_text(''.join(lines))
        ready.set()
        done.wait()


def child(folder: pathlib.Path, *what) -> dict:
    """Runs a measurement of this file in a process of its own."""
    command = [sys.executable, __file__, '--folder', str(folder), '--child', *map(str, what)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        print(f'{what[0]} is left out: {done.stderr.strip().splitlines()[-1:]}')
        return {}
    return json.loads(done.stdout.splitlines()[-1])


def run_child(folder: pathlib.Path, what: str, *rest: str) -> dict:
    paths = sorted(map(str, (folder / 'manual').glob('*.tar')))
    if what == 'build':
        return build(folder) or {}
    if what == 'rates':
        return rates(folder, int(rest[0]))
    if what == 'first':
        return first(folder, rest[0])
    if what == 'memory':
        return memory(folder, int(rest[0]))
    return {'webdataset': web_dataset, 'datasets': hugging_face}[what](paths, int(rest[0]))


def measure(folder: pathlib.Path, args: argparse.Namespace, report: _report.Report) -> None:
    """All rows of the table."""
    if not (folder / 'data').exists():
        child(folder, 'build')
    costs = {}
    for name, pairs in child(folder, 'rates', args.rounds).items():
        cost = _report.median(_report.Cost(*pair) for pair in pairs)
        costs[name] = report.time(f'{name}: an image', cost, 'ms')
    report.value(
        'stream, undecoded: images a second', 1000 / costs['stream, undecoded'].wall, '>= 350'
    )
    for what, most in (('undecoded', None), ('training input', f'<= {1 / 0.75:.3f}')):
        over, under = costs[f'stream, {what}'], costs[f'prepared, {what}']
        report.ratio(f'stream / prepared, time of {what}', over, under, most)
    for manual in ('manual', 'links'):
        for name, pair in child(folder, 'first', manual).items():
            cost = report.time(f'first {name} from {manual}', _report.Cost(*pair))
            most = {'example': 1, 'batch': 3}[name]
            report.value(f'first {name} from {manual}: seconds', cost.wall, f'<= {most}')
    for name, value in child(folder, 'memory', args.memory_images).items():
        report.value(f'peak memory, {name}, GB', value, '<= 1.0' if name == 'stream' else None)
    for package in ('webdataset', 'datasets'):
        if found := child(folder, package, args.samples):
            if 'cost' in found:
                report.time(f'{package}: a sample', _report.Cost(*found['cost']), 'ms')
            report.value(f'{package}: share of samples with image and record', found['pairs'])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--folder', type=pathlib.Path, help='for archives; kept where it is given')
    parser.add_argument('--images', type=int, default=250, help='an archive; SA-1B has 11,186')
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--samples', type=int, default=800, help='of the other readers')
    parser.add_argument('--memory-images', type=int, default=1 << 40, help='all, by default')
    _report.add_arguments(parser)
    parser.add_argument('--child', nargs='+', help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        print(json.dumps(run_child(args.folder, *args.child)))
        return
    packages = ('tensorflow', 'tensorflow-datasets', 'keras', 'webdataset', 'datasets')
    report = _report.Report(packages, note=args.note, file=args.json)
    with tempfile.TemporaryDirectory() as temporary:
        folder = (args.folder or pathlib.Path(temporary)).absolute()
        if not (folder / 'manual').exists():
            shapes.make_archives(folder / 'manual', ARCHIVES, args.images)
        context = multiprocessing.get_context('spawn')
        ready, done = context.Event(), context.Event()
        server = context.Process(target=serve, args=(folder, ready, done))
        server.start()
        try:
            ready.wait(120)
            measure(folder, args, report)
        finally:
            done.set()
            server.join()
    report.write()


if __name__ == '__main__':
    main()
