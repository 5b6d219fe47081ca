"""Shows that TFDS waits for ever when it extracts as many archives as its pool has threads.

    python contrib/tfds/reproduce_extraction.py

Needs nothing but tensorflow-datasets. `_Extractor` has one pool of 4 threads a CPU. Each archive
takes one of them, and hands the copying of its files to the same pool. With as many archives as
threads none is left to copy, and everyone waits.
"""

from __future__ import annotations

import multiprocessing
import pathlib
import subprocess
import sys
import tempfile

SECONDS = 60

_EXTRACT = """
import io, pathlib, sys, tarfile
import tensorflow_datasets as tfds
folder, count = pathlib.Path(sys.argv[1]), int(sys.argv[2])
paths = {}
for number in range(count):
    paths[str(number)] = path = folder / f'{number}.tar'
    with tarfile.open(path, 'w') as tar:
        for name in 'abc':
            tar.addfile(tarfile.TarInfo(name), io.BytesIO())
manager = tfds.download.DownloadManager(download_dir=folder / 'downloads')
print('extracting', flush=True)
print(len(manager.extract(paths)), 'extracted', flush=True)
"""


def extract(count: int) -> str:
    """Extracts so many small archives in a process of its own, and says how it ended."""
    with tempfile.TemporaryDirectory() as folder:
        output = pathlib.Path(folder) / 'output'
        with output.open('w') as out:
            child = subprocess.Popen(
                [sys.executable, '-c', _EXTRACT, folder, str(count)],
                stdout=out,
                stderr=subprocess.DEVNULL,
            )
            try:
                child.wait(timeout=SECONDS)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
                started = 'extracting' in output.read_text()
                return f'waits for ever ({SECONDS} s)' if started else 'did not start in time'
        return f'{output.read_text().splitlines()[-1]}, exit code {child.returncode}'


def main() -> None:
    """Prints what happens just below the number of threads, and at it."""
    threads = multiprocessing.cpu_count() * 4
    for count in (threads // 2, threads):
        print(f'{count} archives, {threads} threads: {extract(count)}', flush=True)


if __name__ == '__main__':
    main()
