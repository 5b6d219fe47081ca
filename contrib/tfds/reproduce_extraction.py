"""Shows that TFDS waits for ever when it extracts as many archives as its pool has threads.

    python contrib/tfds/reproduce_extraction.py

Needs nothing but tensorflow-datasets. `_Extractor` has one pool of 4 threads a CPU. Each archive
takes one of them, and hands the copying of its files to the same pool. With as many archives as
threads none is left to copy, and everyone waits.
"""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
import tempfile
import time

SECONDS = 60  # to wait at least, and so many times as long as half of the archives took
TIMES = 20

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


def extract(count: int, seconds: float) -> tuple[str, float]:
    """Extracts so many small archives in a process of its own.

    Args:
      count: how many.
      seconds: how long to wait for the end, once the imports are done.

    Returns:
      How it ended, and after how many seconds.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, '-u', '-c', _EXTRACT, folder, str(count)]
        child = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        child.stdout.readline()  # extracting
        begun = time.monotonic()
        try:
            said, _ = child.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            child.kill()
            child.communicate()
            return f'waits for ever ({seconds:.0f} s)', seconds
        return f'{said.strip()}, exit code {child.returncode}', time.monotonic() - begun


def main() -> None:
    """Prints what happens just below the number of threads, and at it."""
    threads = multiprocessing.cpu_count() * 4
    seconds = 3600.0
    for count in (threads // 2, threads):
        how, took = extract(count, seconds)
        print(f'{count} archives, {threads} threads: {how}', flush=True)
        seconds = SECONDS + TIMES * took


if __name__ == '__main__':
    main()
