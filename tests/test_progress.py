"""What a build shows while it runs."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import threading
import types

import pytest
import samples
from building import REPO

from segment_anything_tfds.prepare import progress
from segment_anything_tfds.prepare.shards import reporter
from segment_anything_tfds.prepare.staging import place
from segment_anything_tfds.source.archive import pair_stream

_BUILD = """
import sys
import tensorflow_datasets as tfds
import segment_anything_tfds
config = tfds.download.DownloadConfig(manual_dir=sys.argv[1])
tfds.builder('segment_anything', data_dir=sys.argv[2]).download_and_prepare(download_config=config)
"""


@pytest.fixture(scope='module')
def manual_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp('manual')
    samples.write_archives(folder, archives=3, images=30)
    return folder


def _build(manual_dir, data_dir, stderr):
    return subprocess.Popen(
        [sys.executable, '-c', _BUILD, str(manual_dir), str(data_dir)],
        env=dict(os.environ, PYTHONPATH=str(REPO)),
        stdout=subprocess.DEVNULL,
        stderr=stderr,
    )


def test_bar_on_a_terminal(manual_dir, tmp_path):
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack('HHHH', 24, 100, 0, 0))
    process = _build(manual_dir, tmp_path, theirs)
    os.close(theirs)
    shown = bytearray()

    def read():
        while True:
            try:
                data = os.read(ours, 4096)
            except OSError:  # the other end is closed
                return
            shown.extend(data)

    reader = threading.Thread(target=read)
    reader.start()
    assert process.wait(120) == 0
    reader.join(10)
    os.close(ours)
    text = shown.decode(errors='replace')
    assert 'Archives 3/3: 100%' in text
    assert '90 images' in text
    assert re.search(r'B/s', text)


def test_no_bar_in_a_file(manual_dir, tmp_path):
    with (tmp_path / 'log').open('w+') as log:
        assert _build(manual_dir, tmp_path / 'data', log).wait(120) == 0
    assert 'Archives' not in (tmp_path / 'log').read_text()


def test_totals_add_finished_and_running_archives(manual_dir, tmp_path, monkeypatch):
    """The size of an archive behind a link is known once its worker has opened it."""
    staging = place.Staging(str(tmp_path), 'tfrecord')
    place.create(staging.folder)
    sources = [pair_stream.Source(number, 'link', '') for number in range(4)]
    staging.shard('sa_000000', 0).write_bytes(b'12345')
    fields = {'archive': 'sa_000000', 'source': 'link', 'fingerprint': 'v1', 'md5': None}
    counts = {'shard_examples': (30,), 'shard_bytes': (5,), 'shard_crc32c': (0,)}
    totals = progress.Totals(staging, sources, {})
    assert (totals.images, totals.read, totals.size, totals.finished) == (0, 0, None, 0)
    staging.write_sidecar(place.Sidecar(**fields, **counts, bytes_read=1000, faults={}, doubts={}))
    monkeypatch.setattr(reporter, '_LOCAL_SECONDS', 0.0)
    reader = types.SimpleNamespace(bytes_read=70, size=2000)
    reporter.Reporter(staging, 'sa_000001').update(7, reader)
    totals.update()
    assert (totals.images, totals.read, totals.finished) == (37, 1070, 1)
    assert totals.size == (1000 + 2000) * 4 // 2
