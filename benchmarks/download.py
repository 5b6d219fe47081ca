"""Downloads through a bad line: `sa1b download` against aria2c, curl in a loop, and wget.

A server of its own process stands in for a far one: each request waits one round trip, a connection
carries one window of bytes a round trip, and a share of the responses breaks off at a random place.
All programs fetch the same archives from it, one after the other; those that are not installed are
left out. aria2c is the peer: it too fetches in parallel, several files (`-j`) or pieces (`-x`) at
once.

    python benchmarks/download.py --archives 20 --megabytes 50 --json rows.json
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import http.server
import multiprocessing
import pathlib
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time

import _report

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
        self._answer(200, 0, len(self.body))

    def do_GET(self):
        asked = re.fullmatch(r'bytes=(\d+)-(\d*)', self.headers.get('Range', ''))
        start = int(asked[1]) if asked else 0
        end = min(int(asked[2]) + 1, len(self.body)) if asked and asked[2] else len(self.body)
        body = self._answer(206 if asked else 200, start, end)
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

    def _answer(self, status: int, start: int, end: int) -> memoryview:
        time.sleep(ROUND_TRIP)
        number = self.path.split('?')[0].rpartition('/')[2]
        self.send_response(status)
        self.send_header('Content-Length', str(end - start))
        self.send_header('ETag', f'"{number}"')
        self.send_header('Accept-Ranges', 'bytes')
        if status == 206:
            self.send_header('Content-Range', f'bytes {start}-{end - 1}/{len(self.body)}')
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
    context = multiprocessing.get_context('spawn')
    port, sent = context.Value('i', 0), context.Value('q', 0)
    process = context.Process(target=_serve, args=(size, port, sent), daemon=True)
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
    return _aria2c(urls, folder, files=JOBS, connections=1)


def aria2c_x(urls: dict[str, str], folder: pathlib.Path) -> list[list[str]]:
    """One file at a time, in as many pieces at once as ours has files."""
    return _aria2c(urls, folder, files=1, connections=JOBS)


def _aria2c(urls, folder: pathlib.Path, files: int, connections: int) -> list[list[str]]:
    rows = ''.join(f'{url}\n  out={name}\n' for name, url in urls.items())
    (folder / 'aria.txt').write_text(rows)
    command = ['aria2c', '--quiet', '--max-tries=0', '--continue', '--retry-wait=0']
    command += ['-j', str(files), '-x', str(connections), '-s', str(connections), '-k', '1M']
    return [[*command, '-d', str(folder), '-i', str(folder / 'aria.txt')]]


PROGRAMS = {
    f'sa1b download --jobs {JOBS}': (sa1b, sys.executable),
    f'aria2c -j {JOBS} -x 1': (aria2c, 'aria2c'),
    f'aria2c -j 1 -x {JOBS}': (aria2c_x, 'aria2c'),
    'curl': (curl, 'curl'),
    'wget': (wget, 'wget'),
}
TARGETS = {'curl': '>= 3'}


def measure(program, names: list[str], size: int) -> tuple[_report.Cost, float]:
    """What it takes, and the share of the bytes that was sent more than once."""
    digest = hashlib.md5(make_body(size)).hexdigest()
    with far_server(size) as (address, sent), tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        urls = {name: f'{address}/{name}?oe=7F000000' for name in names}
        commands = program(urls, folder)

        def run():
            for command in commands:
                subprocess.run(command, check=True, capture_output=True)

        cost = _report.seconds(run)
        for name in names:
            found = hashlib.md5((folder / name).read_bytes()).hexdigest()
            if found != digest:
                raise RuntimeError(f'{commands[0][0]}: {name} is not what the server has')
        return cost, sent.value / (size * len(names)) - 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--archives', type=int, default=20)
    parser.add_argument('--megabytes', type=int, default=50)
    _report.add_arguments(parser)
    args = parser.parse_args()
    names = [f'sa_{number:06d}.tar' for number in range(args.archives)]
    line = (
        f'{args.archives} archives of {args.megabytes} MB; round trip {ROUND_TRIP * 1e3:g} ms, '
        f'{WINDOW / ROUND_TRIP / 1e6:.0f} MB/s a connection, {CUTS:.0%} of responses cut'
    )
    print(line)
    packages = ('requests', 'urllib3', 'aria2c', 'curl', 'wget')
    report = _report.Report(packages, note=f'{line}. {args.note}'.strip(), file=args.json)
    ours = None
    for name, (program, executable) in PROGRAMS.items():
        if shutil.which(executable) is None:
            continue
        cost, again = measure(program, names, args.megabytes * 10**6)
        report.time(name, cost)
        report.value(f'{name}: share sent twice', again, '<= 0.02' if ours is None else None)
        if ours is None:
            ours = cost
        else:
            report.ratio(f'{name} / ours', cost, ours, TARGETS.get(name))
    report.write()


if __name__ == '__main__':
    main()
