"""Interprets a server's answers, and their absence, for a transfer; nothing here shows a URL."""

from __future__ import annotations

import dataclasses
import datetime
import email.utils
import http.client
import re
import ssl

import requests
import urllib3

from segment_anything_tfds.source.remote import links_file, redaction
from segment_anything_tfds.source.remote.excerpt import excerpt

NETWORK_ERRORS = (
    requests.RequestException,
    urllib3.exceptions.HTTPError,
    http.client.HTTPException,
    OSError,
    ValueError,  # of `urllib.parse`, where a redirect leads to what is no URL
)
_TRANSIENT = frozenset({408, 425, 429})
_PAGE = re.compile(rb'\s*(<\?xml[^>]*>\s*)?<(!doctype\s+html|html)\b', re.IGNORECASE)
_PAGE_TYPES = ('text/html', 'application/xhtml')
_CONTENT_RANGE = re.compile(r'bytes\s+(?:([0-9]+)-[0-9]+|\*)/([0-9]+|\*)')
_TRY_LATER = 'Check the network and try again: what is done is kept.'
_EXCERPT_BYTES = 4096


@dataclasses.dataclass(frozen=True)
class Remote:
    """What tells one object on a server from another.

    Attributes:
      size: bytes, `None` where the server does not say.
      etag: the server's tag of this version of the object.
      modified: the server's date of this version, as it spells it.
    """

    size: int | None = None
    etag: str | None = None
    modified: str | None = None

    def same(self, other: Remote) -> bool:
        """Tells whether both may describe one object: no property that both know differs."""
        pairs = zip(dataclasses.astuple(self), dataclasses.astuple(other), strict=True)
        return all(a is None or b is None or a == b for a, b in pairs)

    def completed(self, other: Remote) -> Remote:
        """Completes this description with what the other one knows besides."""
        return Remote(
            other.size if self.size is None else self.size,
            self.etag or other.etag,
            self.modified or other.modified,
        )

    @property
    def condition(self) -> str | None:
        """The value of `If-Range`; a weak tag cannot serve as one."""
        if self.etag is not None and not self.etag.startswith('W/'):
            return self.etag
        return self.modified


class FetchError(OSError):
    """What could not be read over HTTP, and why; holds no URL.

    Attributes:
      reason: slug: `'link_expired'`, `'refused'`, `'web_page'`, `'changed'`, `'unreachable'`,
        `'range'` or `'stopped'`.
      status: the server's status code, if it answered.
    """

    def __init__(self, message: str, reason: str, status: int | None = None):
        super().__init__(message)
        self.message, self.reason, self.status = message, reason, status

    def __str__(self) -> str:
        return self.message

    def __reduce__(self):
        return type(self), (self.message, self.reason, self.status)


@dataclasses.dataclass(frozen=True)
class Failure:
    """One attempt that failed: what came, what to do, and the seconds that the server asked for."""

    reason: str
    got: str
    advice: str
    transient: bool = False
    status: int | None = None
    wait: float | None = None


def error(where: str, name: str, position: int, failure: Failure, attempts: int) -> FetchError:
    """Makes the error of a transfer that gives up."""
    times = f' ({attempts} attempts)' if attempts > 1 else ''
    return FetchError(
        f'`{where}`: expected the bytes of {name} from {position:,} on; got {failure.got}{times}.'
        f'{failure.advice and " "}{failure.advice}',
        failure.reason,
        failure.status,
    )


def describe(response) -> tuple[Remote, int | None]:
    """Gives the object behind an answer, and where in it the body begins; `None` if unclear."""
    headers = response.headers
    size, start = _digits(headers.get('Content-Length')), 0
    if response.status_code in (206, 416):
        match = _CONTENT_RANGE.fullmatch(headers.get('Content-Range', '').strip())
        size = _digits(match[2]) if match else None
        start = _digits(match[1]) if match else None
    return Remote(size, _tag(headers.get('ETag')), _tag(headers.get('Last-Modified'))), start


def check(response, url: str) -> Failure | None:
    """Tells why an answer is not what was asked for; `None` where it is."""
    status = response.status_code
    if status in (200, 206):
        kind = response.headers.get('Content-Type', '').strip().lower()
        return _page(_read_excerpt(response)) if kind.startswith(_PAGE_TYPES) else None
    said = f'status {status} ({http.client.responses.get(status, "unknown")}{_said(response)})'
    if status in _TRANSIENT or status >= 500:
        wait = _retry_after(response.headers.get('Retry-After'))
        return Failure('refused', said, _TRY_LATER, transient=True, status=status, wait=wait)
    if status == 416:
        return Failure(
            'changed', said, 'The object is shorter than it was: start again.', status=416
        )
    if status in (401, 403, 410):
        return _refused(said, status, links_file.read_expiry(url))
    return Failure(
        'refused', said, f'The link may be wrong. {links_file.HOW_TO_GET}', status=status
    )


def check_page(data: bytes) -> Failure | None:
    """Tells whether the first bytes of a body are those of a web page."""
    return _page(excerpt(data[:_EXCERPT_BYTES])) if _PAGE.match(data[:512]) else None


def network_failure(error: Exception, read_timeout: float) -> Failure:
    """Tells what an exception means, without any of its text, which may show the URL."""
    chain = list(_chain(error))
    for cause in chain:
        if isinstance(cause, ssl.SSLCertVerificationError):
            got = f'a certificate that is not trusted ({cause.verify_message})'
            return Failure('unreachable', got, 'Check the proxy and the clock of this computer.')
    if isinstance(error, ValueError):  # as all of `requests` and `urllib3` that find no URL are
        return Failure('refused', 'a link that is no URL', links_file.HOW_TO_GET)
    if isinstance(error, requests.TooManyRedirects):
        return Failure('refused', 'redirects without end', links_file.HOW_TO_GET)
    if any(
        isinstance(cause, (urllib3.exceptions.ReadTimeoutError, TimeoutError)) for cause in chain
    ):
        got = f'no byte for {read_timeout:g} s'
    else:
        systems = (cause.strerror for cause in chain if isinstance(cause, OSError))
        reason = next((redaction.redact(text) for text in systems if isinstance(text, str)), None)
        got = f'a broken connection ({reason or type(chain[-1]).__name__})'
    return Failure('unreachable', got, _TRY_LATER, transient=True)


def cut() -> Failure:
    """Gives the failure of a body that ended too early."""
    return Failure('unreachable', 'a body that was cut', _TRY_LATER, transient=True)


def changed(old: Remote, new: Remote) -> Failure:
    """Gives the failure of an object that is not the one that the first bytes came from."""
    got = f'another object (was {old}, is {new})' if old != new else 'an object with other bytes'
    return Failure('changed', got, 'It changed on the server: start again from its first byte.')


def _tag(value: str | None) -> str | None:
    """Gives a tag as the server spells it; none that holds the link's secrets, as it is stored."""
    return value if value is None or redaction.redact(value) == value else None


def _page(text: str) -> Failure:
    return Failure(
        'web_page', f'a web page: "{text}"', f'The link does not work. {links_file.HOW_TO_GET}'
    )


def _refused(said: str, status: int, expires: datetime.datetime | None) -> Failure:
    now = datetime.datetime.now(datetime.timezone.utc)
    if expires is None:
        advice = 'The link may have expired.'
    elif expires > now:
        advice = f'The link should be valid until {expires:%Y-%m-%d %H:%M} UTC.'
    else:
        advice = f'The link expired on {expires:%Y-%m-%d %H:%M} UTC.'
    reason = 'link_expired' if expires is not None and expires <= now else 'refused'
    return Failure(reason, said, f'{advice} {links_file.HOW_TO_GET}', status=status)


def _said(response) -> str:
    text = _read_excerpt(response)
    return f': "{text}"' if text else ''


def _read_excerpt(response) -> str:
    try:
        return excerpt(response.raw.read(_EXCERPT_BYTES, decode_content=True) or b'')
    except NETWORK_ERRORS:
        return ''


def _retry_after(value: str | None) -> float | None:
    """Reads seconds from a number or a date; `None` where there is neither."""
    if value is None:
        return None
    if value.strip().isdigit():
        return float(value)
    try:
        date = email.utils.parsedate_to_datetime(value)
        return (date - datetime.datetime.now(date.tzinfo)).total_seconds()
    except (TypeError, ValueError):
        return None


def _digits(text: str | None) -> int | None:
    return int(text) if text is not None and re.fullmatch('[0-9]{1,18}', text.strip()) else None


def _chain(error: BaseException | None):
    """Gives an exception and what led to it, however `requests` and `urllib3` wrapped it."""
    seen: set[int] = set()
    while isinstance(error, BaseException) and id(error) not in seen:
        seen.add(id(error))
        yield error
        inner = [getattr(error, 'reason', None), *error.args, error.__cause__, error.__context__]
        error = next((item for item in inner if isinstance(item, BaseException)), None)
