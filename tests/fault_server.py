"""A real HTTP server on loopback that misbehaves as real ones do."""

from __future__ import annotations

import contextlib
import dataclasses
import http.server
import pathlib
import random
import re
import socket
import ssl
import struct
import threading
import time

SECRET = 'AfBsecretsignature0123456789'
PAGE = (
    b'<!DOCTYPE html><html><head><title>Sorry</title></head><body><p>Log in first</p></body></html>'
)
VALID_UNTIL = 0x7F000000  # seconds since 1970: the year 2037


@dataclasses.dataclass
class Served:
    """One object, and what goes wrong with it.

    Attributes:
      body: bytes of the object.
      etag: version tag, `None` for none; `modified` likewise.
      cuts: bytes after which the next responses break off, one response each.
      cut_every: bytes after which every response breaks off, drawn from this range.
      reset: whether a connection breaks with a reset instead of an end.
      statuses: (status, headers, body) of the next responses.
      rate: bytes a second, `None` for no limit.
      stalls: how many of the next responses stop in the middle for ever.
      ranges: whether `Range` is honoured; `conditions`: whether `If-Range` is.
      shift: bytes by which `Content-Range` lies.
      early: bytes before the wanted ones from which a range begins, and says so.
      chunked: whether the size is kept from the client.
      endless: whether only the end of the connection says where the body ends.
      head: whether `HEAD` is answered.
      content_type: as it says.
      after: responses after which `changed` takes the place of this object.
    """

    body: bytes
    etag: str | None = '"v1"'
    modified: str | None = 'Wed, 05 Apr 2023 10:00:00 GMT'
    cuts: list[int] = dataclasses.field(default_factory=list)
    cut_every: tuple[int, int] | None = None
    reset: bool = False
    statuses: list[tuple[int, dict, bytes]] = dataclasses.field(default_factory=list)
    rate: float | None = None
    stalls: int = 0
    ranges: bool = True
    conditions: bool = True
    shift: int = 0
    early: int = 0
    chunked: bool = False
    endless: bool = False
    head: bool = True
    content_type: str = 'application/x-tar'
    after: int | None = None
    changed: Served | None = None


class FaultServer:
    """Serves `objects` by name, and remembers each request as (method, name, Range, bytes sent)."""

    def __init__(self, seed: int = 0, certificate: str | None = None):
        self.objects: dict[str, Served] = {}
        self.requests: list[tuple[str, str, str | None, int]] = []
        self.random = random.Random(seed)
        self.closing = threading.Event()
        owner = self

        class Handler(_Handler):
            faults = owner

        self._server = _Server(('127.0.0.1', 0), Handler)
        self._scheme = 'http' if certificate is None else 'https'
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def serve(self, name: str, body: bytes, **faults) -> str:
        """Serves an object; gives its signed URL."""
        self.objects[name] = Served(body, **faults)
        return self.url(name)

    def url(self, name: str, expires: int = VALID_UNTIL) -> str:
        host, port = self._server.server_address
        query = f'ccb=10-5&oh=00_{SECRET}&oe={expires:X}&_nc_sid=0fdd51'
        return f'{self._scheme}://{host}:{port}/m1/v/{name}?{query}'

    def sent(self, name: str) -> int:
        """Bytes of bodies sent for an object, or about to be."""
        return sum(count for _, asked, _, count in self.requests if asked == name)

    def close(self):
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> FaultServer:
        return self

    def __exit__(self, *exc_info):
        self.close()


@contextlib.contextmanager
def behind_link(path: pathlib.Path):
    """Puts a link in the place of an archive; gives what is served."""
    with FaultServer() as server:
        url = server.serve(path.name, path.read_bytes())
        path.unlink()
        (path.parent / 'segment_anything_links.txt').write_text(f'{path.name}\t{url}\n')
        yield server.objects[path.name]


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request, client_address):
        """Clients that go away are no errors here."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    faults: FaultServer

    def log_message(self, *args):
        """Says nothing."""

    def do_HEAD(self):
        name, served = self._served()
        self._record(name, 0)
        if served is None or not served.head:
            return self._answer(404 if served is None else 405, {}, b'')
        if served.statuses:
            return self._answer(*served.statuses.pop(0))
        self.send_response(200)
        self._headers(served, {'Content-Length': str(len(served.body))})

    def do_GET(self):
        name, served = self._served()
        index = self._record(name, 0)
        if served is None:
            return self._answer(404, {}, b'no such object')
        if served.statuses:
            return self._answer(*served.statuses.pop(0))
        start, end = self._range(served)
        if start >= len(served.body) > 0:
            known = {} if served.endless else {'Content-Range': f'bytes */{len(served.body)}'}
            return self._answer(416, known, b'')
        size = end - start
        partial = served.ranges and 'Range' in self.headers and self._condition(served)
        self.send_response(206 if partial else 200)
        extra = {'Transfer-Encoding': 'chunked'} if served.chunked else {'Content-Length': size}
        if served.endless:
            extra, self.close_connection = {'Connection': 'close'}, True
        if partial:
            total = '*' if served.endless else len(served.body)
            extra['Content-Range'] = (
                f'bytes {start + served.shift}-{end - 1 + served.shift}/{total}'
            )
        self._headers(served, extra)
        with contextlib.suppress(OSError):
            self._send(served, memoryview(served.body)[start:end], index)

    def _served(self) -> tuple[str, Served | None]:
        name = self.path.split('?')[0].rpartition('/')[2]
        served = self.faults.objects.get(name)
        if served is not None and served.after is not None:
            if served.after == 0:
                served = self.faults.objects[name] = served.changed
            else:
                served.after -= 1
        return name, served

    def _record(self, name: str, sent: int) -> int:
        self.faults.requests.append((self.command, name, self.headers.get('Range'), sent))
        return len(self.faults.requests) - 1

    def _condition(self, served: Served) -> bool:
        condition = self.headers.get('If-Range')
        return condition in (None, served.etag, served.modified) or not served.conditions

    def _range(self, served: Served) -> tuple[int, int]:
        match = re.fullmatch(r'bytes=(\d+)-(\d*)', self.headers.get('Range', ''))
        if not match or not served.ranges or not self._condition(served):
            return 0, len(served.body)
        end = int(match[2]) + 1 if match[2] else len(served.body)
        return max(0, int(match[1]) - served.early), min(end, len(served.body))

    def _headers(self, served: Served, extra: dict):
        self.send_header('Content-Type', served.content_type)
        if served.etag:
            self.send_header('ETag', served.etag)
        if served.modified:
            self.send_header('Last-Modified', served.modified)
        for key, value in extra.items():
            self.send_header(key, str(value))
        self.end_headers()

    def _answer(self, status: int, headers: dict, body: bytes):
        self.send_response(status)
        for key, value in {'Content-Length': len(body), **headers}.items():
            self.send_header(key, str(value))
        self.end_headers()
        if self.command != 'HEAD':
            self.wfile.write(body)

    def _send(self, served: Served, body: memoryview, index: int):
        limit = self._limit(served, len(body))
        if stall := served.stalls > 0:
            served.stalls -= 1
            limit //= 2
        sent = 0
        while sent < limit:
            step = 64 << 10 if served.rate is None else max(1, int(served.rate / 100))
            piece = body[sent : min(sent + step, limit)]
            sent += len(piece)
            self._account(index, sent)  # first, so that a client that has them all finds them here
            self.wfile.write(b'%x\r\n%b\r\n' % (len(piece), piece) if served.chunked else piece)
            if served.rate is not None:
                time.sleep(len(piece) / served.rate)
        if stall:
            self.faults.closing.wait(60)
        if limit < len(body):
            self._break(served)
        elif served.chunked:
            self.wfile.write(b'0\r\n\r\n')

    def _account(self, index: int, sent: int):
        method, name, asked, _ = self.faults.requests[index]
        self.faults.requests[index] = (method, name, asked, sent)

    def _limit(self, served: Served, size: int) -> int:
        if served.cuts:
            return min(served.cuts.pop(0), size)
        if served.cut_every is not None:
            return min(self.faults.random.randint(*served.cut_every), size)
        return size

    def _break(self, served: Served):
        self.close_connection = True
        self.wfile.flush()
        if served.reset:
            linger = struct.pack('ii', 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        else:
            self.connection.shutdown(socket.SHUT_WR)
