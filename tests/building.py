"""Builds data sets for tests, and reads them back."""

import hashlib
import os
import pathlib
import subprocess
import sys

import tensorflow_datasets as tfds

import segment_anything_tfds  # noqa: F401, whose builder `tfds.builder` then gives
from segment_anything_tfds.source import selection

REPO = pathlib.Path(__file__).resolve().parent.parent


def builder(data_dir, config=None, **kwargs):
    name = f'segment_anything/{config}' if config else 'segment_anything'
    return tfds.builder(name, data_dir=str(data_dir), **kwargs)


def build(manual_dir, data_dir, config=None, download_config=None, **kwargs):
    """Builds a data set, and gives the builder."""
    built = builder(data_dir, config, **kwargs)
    settings = download_config or {}
    built.download_and_prepare(
        download_config=tfds.download.DownloadConfig(manual_dir=manual_dir, **settings)
    )
    return built


def archives(built, what: str) -> int:
    """How many archives a build has `'built'` or `'reused'`, as its metadata says."""
    text = built.info.metadata[f'archives_{what}']
    return len(selection.parse(text)) if text else 0


def read(built, split='train') -> list[dict]:
    """The examples as NumPy values, JPEG bytes not decoded, in the order of the shards."""
    ds = built.as_dataset(
        split=split,
        decoders={'image': {'content': tfds.decode.SkipDecoding()}},
        read_config=tfds.ReadConfig(try_autocache=False, interleave_cycle_length=1),
    )
    return list(tfds.as_numpy(ds))


def digests(folder: pathlib.Path) -> dict[str, str]:
    """A digest of each shard in a data set's folder, by name."""
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.iterdir())
        if '-train.' in path.name
    }


def run_python(code: str, *args: object, check: bool = True) -> subprocess.CompletedProcess:
    """Runs Python code in a new process, away from the tests' own imports."""
    environment = dict(os.environ, PYTHONPATH=f'{REPO}:{REPO / "tests"}')
    done = subprocess.run(
        [sys.executable, '-c', code, *map(str, args)],
        capture_output=True,
        text=True,
        env=environment,
        timeout=900,
    )
    if check and done.returncode:
        raise AssertionError(f'exit code {done.returncode}\n{done.stdout}\n{done.stderr}')
    return done
