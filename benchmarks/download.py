"""Downloads through a bad line: `sa1b download` against curl in a loop, wget and aria2c.

A server of its own process stands in for a far one: each request waits one round trip, a connection
carries one window of bytes a round trip, and a share of the responses breaks off at a random place.
All programs fetch the same archives from it, one after the other; those that are not installed are
left out.

    python benchmarks/download.py --archives 20 --megabytes 50 --json rows.json
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import http.server
import json
import multiprocessing
import pathlib
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time

ROUND_TRIP = 0.05  # seconds
WINDOW = 1 << 20  # bytes
CUTS = 0.05  # share of the responses
JOBS = 4


class _Far(http.server.BaseHTTPRequestHandler):
    """Serves `/<number>`: the same bytes for all archives, but for the first ones."""

    protocol_version = 'HTTP/1.1'
    body = b''
    sent = None
    random = random.Random(0)

    def log_message(self, *_):
        """Says nothing."""

    def do_HEAD(self):
        self._answer(200, 0)

    def do_GET(self):
        asked = re.fullmatch(r'bytes=(\d+)-', self.headers.get('Range', ''))
        start = int(asked[1]) if asked else 0
        body = self._answer(206 if asked else 200, start)
        end = len(body)
        if self.random.random() < CUTS:
            end = self.random.randint(start, end)
            self.close_connection = True
        while start < end:
            piece = body[start : min(start + WINDOW, end)]
            with self.sent.get_lock():
                self.sent.value += len(piece)
            begin = time.perf_counter()
            self.wfile.write(piece)
            time.sleep(max(0.0, ROUND_TRIP * len(piece) / WINDOW + begin - time.perf_counter()))
            start += len(piece)

    def _answer(self, status: int, start: int) -> memoryview:
        time.sleep(ROUND_TRIP)
        number = self.path.split('?')[0].rpartition('/')[2]
        size = len(self.body)
        self.send_response(status)
        self.send_header('Content-Length', str(size - start))
        self.send_header('ETag', f'"{number}"')
        self.send_header('Accept-Ranges', 'bytes')
        if status == 206:
            self.send_header('Content-Range', f'bytes {start}-{size - 1}/{size}')
        self.end_headers()
        return memoryview(self.body)


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        """Clients that go away are no errors here."""


def make_body(size: int) -> bytes:
    """Bytes that begin as an archive does; what follows is random, as compressed data is."""
    return b'\x1f\x8b\x08\0' + random.Random(1).randbytes(size - 4)


def _serve(size: int, port, sent) -> None:
    _Far.body, _Far.sent = make_body(size), sent
    with _Server(('127.0.0.1', 0), _Far) as server:
        port.value = server.server_port
        server.serve_forever()


@contextlib.contextmanager
def far_server(size: int):
    """A server in a process of its own; gives its address and the count of bytes it sent."""
    port, sent = multiprocessing.Value('i', 0), multiprocessing.Value('q', 0)
    process = multiprocessing.Process(target=_serve, args=(size, port, sent), daemon=True)
    process.start()
    while not port.value:
        time.sleep(0.01)
    try:
        yield f'http://127.0.0.1:{port.value}', sent
    finally:
        process.terminate()
        process.join()


def sa1b(urls: dict[str, str], folder: pathlib.Path) -> list[list[str]]:
    """The command under test, with its default number of jobs."""
    links = folder / 'links.txt'
    links.write_text('\n'.join(f'{name}\t{url}' for name, url in urls.items()))
    command = [sys.executable, '-m', 'segment_anything_tfds', 'download', str(links)]
    return [[*command, '--to', str(folder), '--accept-license', '--jobs', str(JOBS)]]


def curl(urls: dict[str, str], folder: pathlib.Path) -> list[list[str]]:
    """Each file in turn, again from where it broke off until it is whole."""
    loop = 'until curl --silent --fail --continue-at - --output "$0" "$1"; do :; done'
    return [['sh', '-c', loop, str(folder / name), url] for name, url in urls.items()]


def wget(urls: dict[str, str], folder: pathlib.Path) -> list[list[str]]:
    """Each file in turn; wget goes on by itself."""
    start = ['wget', '--quiet', '--continue', '--tries=20', '--waitretry=0', '-O']
    return [[*start, str(folder / name), url] for name, url in urls.items()]


def aria2c(urls: dict[str, str], folder: pathlib.Path) -> list[list[str]]:
    """As many files at a time as ours, one connection each."""
    rows = ''.join(f'{url}\n  out={name}\n' for name, url in urls.items())
    (folder / 'aria.txt').write_text(rows)
    command = ['aria2c', '--quiet', '--split=1', '--max-tries=20', '--continue', '--retry-wait=0']
    return [[*command, f'-j{JOBS}', '-d', str(folder), '-i', str(folder / 'aria.txt')]]


def measure(program, names: list[str], size: int) -> tuple[float, float]:
    """Seconds, and the share of the bytes that was sent more than once."""
    digest = hashlib.md5(make_body(size)).hexdigest()
    with far_server(size) as (address, sent), tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        urls = {name: f'{address}/{name}?oe=7F000000' for name in names}
        start = time.perf_counter()
        for command in program(urls, folder):
            subprocess.run(command, check=True, capture_output=True)
        seconds = time.perf_counter() - start
        for name in names:
            found = hashlib.md5((folder / name).read_bytes()).hexdigest()
            if found != digest:
                raise RuntimeError(f'{program.__name__}: {name} is not what the server has')
        return seconds, sent.value / (size * len(names)) - 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--archives', type=int, default=20)
    parser.add_argument('--megabytes', type=int, default=50)
    parser.add_argument('--json', type=pathlib.Path)
    args = parser.parse_args()
    names = [f'sa_{number:06d}.tar' for number in range(args.archives)]
    size = args.megabytes * 10**6
    print(
        f'{args.archives} archives of {args.megabytes} MB; round trip {ROUND_TRIP * 1e3:g} ms, '
        f'{WINDOW / ROUND_TRIP / 1e6:.0f} MB/s a connection, {CUTS:.0%} of responses cut; '
        f'{JOBS} jobs'
    )
    rows, seconds = [], {}
    for program in (sa1b, curl, wget, aria2c):
        if program is not sa1b and shutil.which(program.__name__) is None:
            print(f'{program.__name__:8} not installed')
            continue
        seconds[program.__name__], again = measure(program, names, size)
        print(f'{program.__name__:8} {seconds[program.__name__]:7.1f} s  sent twice {again:.2%}')
        if program is sa1b:
            rows.append({'name': 'sent twice', 'value': again, 'target': 0.02, 'ok': again <= 0.02})
        else:
            ratio = seconds[program.__name__] / seconds['sa1b']
            print(f'{"":8} {ratio:7.2f} times as long as sa1b')
            target = 3.0 if program is curl else None
            ok = target is None or ratio >= target
            name = f'{program.__name__} / sa1b, seconds'
            rows.append({'name': name, 'value': ratio, 'target': target, 'ok': ok})
    if args.json:
        args.json.write_text(json.dumps({'rows': rows}, indent=2))


if __name__ == '__main__':
    main()
