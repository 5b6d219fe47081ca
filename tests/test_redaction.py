"""No text, log, error or file holds the query of a signed link, whatever a server repeats."""

import doctest
import html
import json
import logging
import re
import socket
import threading
import urllib.parse

import fault_server
import hypothesis
import pytest
from hypothesis import strategies as st

from segment_anything_tfds.source.remote import (
    downloader,
    fetch,
    links_file,
    redaction,
    requesting,
)

SIGNATURE = f'00_{fault_server.SECRET}'
VALUES = (SIGNATURE, '0fdd51', '10-5', f'{fault_server.VALID_UNTIL:X}')
HASTY = fetch.Patience(attempts=1, read_timeout=5)


def _as_json(text: str) -> str:
    """As encoders write JSON that is put into a page."""
    return json.dumps(text).translate({ord(c): f'\\u{ord(c):04x}' for c in '?&=<>/-_'})


ECHOES = {
    'as it is': lambda url: url,
    'query alone': lambda url: url.partition('?')[2],
    'signature alone': lambda url: f'signature {SIGNATURE} is not known',
    'signature cut': lambda url: f'bad token {SIGNATURE[:20]}',
    'signature in capitals': lambda url: f'bad token {SIGNATURE.upper()}',
    'short value alone': lambda url: 'unknown id 0fdd51.',
    'signature in pieces': lambda url: f'bad token "{SIGNATURE[:9]}" + "{SIGNATURE[9:]}"',
    'first letters': lambda url: f'bad token {SIGNATURE[:10]}',
    'letters in the middle': lambda url: f'bad token {SIGNATURE[16:26]}',
    'in lines': lambda url: '<br>'.join(SIGNATURE[n : n + 6] for n in range(0, 32, 6)),
    'in lines of JSON': lambda url: json.dumps([SIGNATURE[n : n + 7] for n in range(0, 32, 7)]),
    'octal': lambda url: ''.join(f'\\{ord(letter):03o}' for letter in SIGNATURE),
    'javascript': lambda url: ''.join(f'\\u{{{ord(letter):x}}}' for letter in SIGNATURE),
    'python': lambda url: ''.join(f'\\U{ord(letter):08x}' for letter in SIGNATURE),
    'css': lambda url: ''.join(f'\\{ord(letter):x} ' for letter in SIGNATURE),
    'percent': lambda url: urllib.parse.quote(url, safe=''),
    'percent twice': lambda url: urllib.parse.quote(urllib.parse.quote(url, safe=''), safe=''),
    'json': _as_json,
    'html': lambda url: f'<p>{html.escape(url)}</p>',
    'html numbers': lambda url: ''.join(f'&#{ord(letter)};' for letter in url),
    'html in json': lambda url: _as_json(html.escape(url)),
    'in capitals with a letter that grows in lower case': lambda url: f'İ {url.upper()}',
}


def _shows_none(text: str) -> None:
    """No value is shown, and of the signature no piece that could be put together again."""
    low = text.lower()
    for value in VALUES:
        assert value.lower() not in low, text
    plain = re.sub('[^0-9a-z]', '', low)
    signature = re.sub('[^0-9a-z]', '', SIGNATURE.lower())
    mixed = [signature[n : n + 8] for n in range(len(signature) - 7)]
    assert not [piece for piece in mixed if not piece.isdecimal() and piece in plain], text


@pytest.fixture
def server():
    with fault_server.FaultServer() as running:
        yield running


@pytest.mark.parametrize('echo', ECHOES)
def test_errors_hide_what_a_server_repeats(server, echo):
    url = server.url('a.tar')
    body = f'Sorry: {ECHOES[echo](url)} (that is all)'.encode()
    server.serve('a.tar', b'', statuses=[(403, {'Content-Type': 'application/json'}, body)] * 2)
    with pytest.raises(fetch.FetchError, match='status 403') as caught:
        fetch.Transfer(url, name='sa_000020', patience=HASTY).read()
    _shows_none(str(caught.value))
    assert 'Sorry' in str(caught.value) and 'that is all' in str(caught.value)


@pytest.mark.parametrize('echo', ['as it is', 'signature alone', 'json'])
def test_errors_hide_a_body_that_is_no_archive(server, echo, tmp_path):
    url = server.url('sa_000020.tar')
    server.serve('sa_000020.tar', ECHOES[echo](url.partition('?')[2]).encode() * 20)
    with pytest.raises(fetch.FetchError, match='expected a tar') as caught:
        downloader.download(links_file.Link(20, url, 1), tmp_path, patience=HASTY)
    _shows_none(str(caught.value))


def test_files_hide_a_tag_that_repeats_the_signature(server, tmp_path):
    body = b'\x1f\x8b' + bytes(300_000)
    url = server.serve('sa_000020.tar', body, etag=f'"{SIGNATURE}"', cuts=[200_000] * 2)
    with pytest.raises(fetch.FetchError):
        downloader.download(links_file.Link(20, url, 1), tmp_path, patience=HASTY)
    state = (tmp_path / '.sa1b' / 'sa_000020.json').read_text()
    assert json.loads(state)['size'] == len(body)
    _shows_none(state)


def test_redirects_are_signed_too(server):
    """What a redirect leads to is as secret as what it came from."""
    secret = 'Zq7redirected0123456789'
    target = server.url('b.tar').replace(SIGNATURE, secret)
    server.serve('b.tar', b'', statuses=[(403, {}, f'no {secret}'.encode())])
    url = server.serve('a.tar', b'', statuses=[(302, {'Location': target}, b'')])
    with pytest.raises(fetch.FetchError, match='status 403') as caught:
        fetch.Transfer(url, name='sa_000020', patience=HASTY).read()
    assert secret not in str(caught.value)


def _serve_once(answer: bytes) -> int:
    """A server that gives one answer, which no library would make; gives its port."""
    listening = socket.create_server(('127.0.0.1', 0))

    def serve():
        with listening, listening.accept()[0] as connection:
            connection.recv(65536)
            connection.sendall(answer)

    threading.Thread(target=serve, daemon=True).start()
    return listening.getsockname()[1]


@pytest.mark.parametrize('header', [b'X-Broken header', f'{SIGNATURE} {SIGNATURE}'.encode()])
def test_logs_hide_the_link_where_a_header_is_malformed(caplog, header):
    """`urllib3.connection` logs the URL and the header then."""
    caplog.set_level(logging.DEBUG)
    body = b'\x1f\x8b' + bytes(100)
    port = _serve_once(
        b'HTTP/1.1 200 OK\r\nContent-Length: %d\r\n%b\r\n\r\n%b' % (len(body), header, body)
    )
    query = f'ccb=10-5&oh={SIGNATURE}&oe={fault_server.VALID_UNTIL:X}&_nc_sid=0fdd51'
    with fetch.Transfer(
        f'http://127.0.0.1:{port}/a.tar?{query}', name='a', patience=HASTY
    ) as transfer:
        transfer.read()
    assert 'Failed to parse headers' in caplog.text
    assert any(record.exc_text for record in caplog.records), 'the traceback is kept'
    _shows_none(caplog.text)


@pytest.mark.parametrize(
    'name', ['urllib3.connection', 'urllib3.util.retry', 'urllib3.poolmanager']
)
def test_every_logger_of_the_libraries_is_guarded(server, caplog, name):
    caplog.set_level(logging.DEBUG)
    url = server.serve('a.tar', b'x')
    requesting.head(url, name='a', patience=HASTY)
    logging.getLogger(name).warning('retry of %s', url)
    assert f'retry of {url.partition("?")[0]}?…' in caplog.text
    _shows_none(caplog.text)


def test_what_the_path_says_is_no_secret():
    redaction.remember('https://bucket.example.com/m/sa_000771.tar?filename=sa_000771.tar&x=1')
    assert redaction.redact('sa_000771.tar: part 1 of 2') == 'sa_000771.tar: part 1 of 2'


def test_text_without_secrets_stays_as_it_is():
    text = 'expected 100%25 of &lt;a&gt; in C:\\x41 \\u0041; got 7'
    assert redaction.redact(text) == text


@hypothesis.given(
    st.text(st.characters(codec='ascii', exclude_characters='\0'), min_size=13, max_size=40),
    st.sampled_from([str, _as_json, html.escape, urllib.parse.quote, urllib.parse.quote_plus]),
)
def test_any_value_is_found_in_any_escape(value, escape):
    url = f'https://example.com/a?k={urllib.parse.quote(value, safe="")}'
    redaction.remember(url)
    shown = redaction.redact(f'a server says "{escape(value)}" to it')
    assert value.lower() not in shown.lower()


def test_examples_of_docstrings():
    assert doctest.testmod(redaction).failed == 0
