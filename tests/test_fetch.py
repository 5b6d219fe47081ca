"""Reading over HTTP, from a server that does what real ones do."""

import datetime
import email.utils
import logging
import pickle
import random
import shutil
import socket
import subprocess
import threading
import time
import traceback

import fault_server
import pytest

from segment_anything_tfds.source.remote import fetch, requesting

BODY = random.Random(1).randbytes(1_000_000)
QUICK = fetch.Patience(attempts=4, first_delay=0.001, longest_delay=0.002, read_timeout=5)
STEADY = fetch.Patience(attempts=20, first_delay=0.001, longest_delay=0.002)
SECRETS = (fault_server.SECRET, 'oh=', 'oe=', '_nc_sid', 'ccb=')


@pytest.fixture
def server():
    with fault_server.FaultServer() as running:
        yield running


def transfer(url, patience=QUICK, **kwargs):
    return fetch.Transfer(url, name='sa_000020', patience=patience, **kwargs)


def read_all(url, size=100_000, **kwargs) -> tuple[bytes, fetch.Transfer]:
    with transfer(url, **kwargs) as stream:
        pieces = []
        while piece := stream.read(size):
            assert len(piece) <= size
            pieces.append(piece)
        assert stream.read(size) == b''
        return b''.join(pieces), stream


def fails(match, url, **kwargs) -> fetch.FetchError:
    with pytest.raises(fetch.FetchError, match=match) as caught:
        read_all(url, **kwargs)
    assert_no_secret(caught.value)
    return caught.value


def assert_no_secret(error: BaseException):
    """Nowhere: not in the error, its traceback, its pickle, or what led to it."""
    texts = [str(error), repr(error), ''.join(traceback.format_exception(error))]
    texts.append(pickle.dumps(error).decode('latin-1'))
    assert error.__context__ is None
    assert error.__cause__ is None
    for text in texts:
        for secret in SECRETS:
            assert secret not in text


def test_whole(server):
    data, stream = read_all(server.serve('a.tar', BODY))
    assert data == BODY
    assert stream.remote == fetch.Remote(len(BODY), '"v1"', 'Wed, 05 Apr 2023 10:00:00 GMT')
    assert (stream.position, stream.fetched, stream.retries) == (len(BODY), len(BODY), 0)
    assert server.requests == [('GET', 'a.tar', None, len(BODY))]


@pytest.mark.parametrize('size', [1000, 1 << 20, 8 << 20])
def test_read_gives_as_much_as_was_asked(server, size):
    with transfer(server.serve('a.tar', BODY)) as stream:
        assert len(stream.read(size)) == min(size, len(BODY))


@pytest.mark.parametrize('reset', [False, True])
def test_goes_on_where_it_was_cut(server, reset):
    url = server.serve('a.tar', BODY, cuts=[70_000, 1, 500_000, 0], reset=reset)
    data, stream = read_all(url)
    assert data == BODY
    assert stream.retries == 4
    starts = [int(asked[6:-1]) for _, _, asked, _ in server.requests[1:]]
    assert starts == sorted(starts)
    if not reset:  # a reset may lose what was on its way
        assert starts[:2] == [70_000, 70_001]
        assert server.sent('a.tar') == len(BODY)


@pytest.mark.parametrize('seed', range(10))
def test_goes_on_after_random_cuts(seed):
    with fault_server.FaultServer(seed) as server:
        url = server.serve('a.tar', BODY, cut_every=(1, 200_000), reset=seed % 2 == 1)
        size = random.Random(seed).randint(1000, 300_000)
        data, stream = read_all(url, size=size, patience=STEADY)
    assert data == BODY
    assert stream.fetched <= len(BODY) + stream.retries * 300_000


def test_gives_up_without_progress(server):
    url = server.serve('a.tar', BODY, cut_every=(10, 10))
    error = fails(r'expected the bytes of sa_000020 from 40 on; got .* \(4 attempts\)', url)
    assert error.reason == 'unreachable'
    assert len(server.requests) == 4


def test_gives_what_came_before_it_gave_up(server):
    url = server.serve('a.tar', BODY, cuts=[100_000], statuses=[])
    with transfer(url) as stream:
        first = stream.read(50_000)
        server.objects['a.tar'].statuses = [(403, {}, b'no')]
        rest = stream.read(500_000)
        assert first + rest == BODY[:100_000]
        with pytest.raises(fetch.FetchError, match='403'):
            stream.read(500_000)


def test_progress_renews_patience(server):
    url = server.serve('a.tar', BODY, cut_every=(70_000, 70_000))
    data, stream = read_all(url)
    assert data == BODY
    assert stream.retries == 14


@pytest.mark.parametrize('status', [500, 502, 503, 504, 429, 408])
def test_asks_again(server, status):
    url = server.serve('a.tar', BODY, statuses=[(status, {}, b'busy')] * 3)
    assert read_all(url)[0] == BODY


def test_asks_again_in_the_middle(server):
    url = server.serve('a.tar', BODY, cuts=[1000])
    with transfer(url) as stream:
        first = stream.read(1000)
        server.objects['a.tar'].statuses = [(503, {}, b''), (429, {'Retry-After': '0'}, b'')]
        assert first + stream.read(1 << 20) == BODY


def test_gives_up_on_a_busy_server(server):
    url = server.serve('a.tar', BODY, statuses=[(503, {}, b'over capacity')] * 9)
    error = fails(r'got status 503 \(Service Unavailable: "over capacity"\) \(4 attempts\)', url)
    assert (error.reason, error.status) == ('refused', 503)


def test_waits_as_long_as_the_server_asks(server):
    url = server.serve('a.tar', BODY, statuses=[(503, {'Retry-After': '1'}, b'')])
    start = time.monotonic()
    assert read_all(url)[0] == BODY
    assert time.monotonic() - start >= 1


def test_retry_after_date_is_read(server):
    date = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=2)
    asked = {'Retry-After': email.utils.format_datetime(date, usegmt=True)}
    url = server.serve(
        'a.tar', BODY, statuses=[(429, asked, b''), (503, {'Retry-After': '?'}, b'')]
    )
    start = time.monotonic()
    assert read_all(url)[0] == BODY
    assert time.monotonic() - start >= 0.5


def test_delay_grows_to_a_bound_and_differs():
    patience = fetch.Patience()
    delays = [patience.delay(failures, None) for failures in range(1, 200)]
    assert 0.25 <= delays[0] <= 0.5
    assert max(delays) <= patience.longest_delay
    assert len(set(delays)) > 100
    assert patience.delay(1, 1e9) == patience.longest_wait
    assert patience.delay(1, -5.0) == 0


def test_slow_server_is_no_broken_one(server):
    url = server.serve('a.tar', BODY[:200_000], rate=400_000)
    patience = fetch.Patience(attempts=1, read_timeout=0.4)
    assert read_all(url, patience=patience)[0] == BODY[:200_000]


def test_stalled_server_is_asked_again(server):
    url = server.serve('a.tar', BODY, stalls=1)
    patience = fetch.Patience(attempts=3, first_delay=0.01, read_timeout=0.2)
    data, stream = read_all(url, patience=patience)
    assert data == BODY
    assert stream.retries == 1


def test_stalls_for_ever(server):
    url = server.serve('a.tar', BODY[:100], stalls=99)
    patience = fetch.Patience(attempts=2, first_delay=0.01, read_timeout=0.1)
    assert fails(r'got no byte for 0.1 s \(2 attempts\)', url, patience=patience)


@pytest.mark.parametrize('etag', ['"v1"', 'W/"v1"', None])
def test_server_that_ignores_ranges(server, etag):
    url = server.serve('a.tar', BODY, ranges=False, cuts=[300_000, 400_000], etag=etag)
    data, stream = read_all(url)
    assert data == BODY
    assert stream.fetched == 300_000 + 400_000 + len(BODY)


def test_server_that_ignores_ranges_and_cuts_before(server):
    url = server.serve('a.tar', BODY, ranges=False, cuts=[300_000, 100_000, 299_999])
    assert read_all(url)[0] == BODY


@pytest.mark.parametrize('conditions', [True, False])
@pytest.mark.parametrize('how', ['etag', 'modified', 'size'])
def test_changed_object(server, how, conditions):
    other = fault_server.Served(BODY[::-1], conditions=conditions)
    if how == 'etag':
        other.etag = '"v2"'
    elif how == 'modified':
        other.etag, other.modified = None, 'Thu, 06 Apr 2023 10:00:00 GMT'
    else:
        other.etag, other.body = None, BODY[:900_000]
    url = server.serve('a.tar', BODY, cuts=[300_000], after=1, changed=other)
    error = fails('from 300,000 on; got another object .*start again from its first byte', url)
    assert error.reason == 'changed'


def test_object_changed_behind_the_same_tags(server):
    other = fault_server.Served(BODY[::-1], ranges=False)
    url = server.serve('a.tar', BODY, cuts=[300_000], after=1, changed=other)
    assert fails('got an object with other bytes', url).reason == 'changed'


def test_object_that_became_shorter(server):
    other = fault_server.Served(BODY[:1000], conditions=False)
    url = server.serve('a.tar', BODY, cuts=[300_000], after=1, changed=other)
    assert fails('got status 416', url).reason == 'changed'


def test_wrong_content_range(server):
    url = server.serve('a.tar', BODY, cuts=[300_000], shift=5)
    assert fails('got bytes from 300005', url).reason == 'range'


@pytest.mark.parametrize('early', [1, 5000])
def test_range_that_begins_earlier(server, early):
    """A server may answer from an earlier byte: what was given is not given again."""
    data, stream = read_all(server.serve('a.tar', BODY, cuts=[300_000, 200_000], early=early))
    assert data == BODY
    assert stream.fetched == len(BODY) + 2 * early


def test_starts_in_the_middle(server):
    url = server.serve('a.tar', BODY)
    remote = requesting.head(url, name='sa_000020', patience=QUICK)
    data, stream = read_all(url, start=400_000, remote=remote)
    assert data == BODY[400_000:]
    assert stream.fetched == 600_000


def test_starts_in_the_middle_of_another_object(server):
    url = server.serve('a.tar', BODY)
    remote = fetch.Remote(len(BODY), '"v0"')
    assert fails('got another object', url, start=400_000, remote=remote).reason == 'changed'


@pytest.mark.parametrize('known', [True, False])
def test_starts_at_the_end(server, known):
    url = server.serve('a.tar', BODY)
    remote = fetch.Remote(len(BODY), '"v1"') if known else None
    assert read_all(url, start=len(BODY), remote=remote)[0] == b''


def test_starts_after_the_end(server):
    url = server.serve('a.tar', BODY)
    assert fails('status 416', url, start=len(BODY) + 1).reason == 'changed'


def test_size_unknown(server):
    url = server.serve('a.tar', BODY, chunked=True)
    data, stream = read_all(url)
    assert data == BODY
    assert stream.remote.size is None


def test_size_unknown_and_cut(server):
    url = server.serve('a.tar', BODY, chunked=True, cuts=[300_000, 100_000])
    data, stream = read_all(url)
    assert data == BODY
    assert stream.retries == 2


@pytest.mark.parametrize('ranges', [True, False])
@pytest.mark.parametrize('cuts', [[], [300_000], [300_000, 0, 100_000], [0]])
def test_only_the_connection_says_where_it_ends(server, cuts, ranges):
    """Then a cut looks like the end, so what would come next is asked for."""
    data, stream = read_all(server.serve('a.tar', BODY, endless=True, ranges=ranges, cuts=cuts))
    assert data == BODY
    assert stream.remote.size is None
    # A server that refuses what lies behind the end has said where it is.
    assert (stream.doubt() is None) == ranges


def test_no_doubt_where_the_size_is_known(server):
    for kwargs in ({}, {'chunked': True}):
        assert read_all(server.serve('a.tar', BODY, **kwargs))[1].doubt() is None


def test_empty_object(server):
    assert read_all(server.serve('a.tar', b''))[0] == b''


def test_expired_link(server):
    url = server.serve('a.tar', BODY, statuses=[(403, {}, b'URL signature expired')])
    url = url.replace(f'{fault_server.VALID_UNTIL:X}', '64A00000')
    error = fails(
        r'got status 403 \(Forbidden: "URL signature expired"\). '
        r'The link expired on 2023-07-01 .* UTC. Get a new links file',
        url,
    )
    assert (error.reason, error.status) == ('link_expired', 403)


def test_refused_though_valid(server):
    url = server.serve('a.tar', BODY, statuses=[(403, {}, b'')])
    error = fails(r'got status 403 \(Forbidden\). The link should be valid until 2037-', url)
    assert error.reason == 'refused'
    assert len(server.requests) == 1


def test_refused_without_a_date(server):
    url = server.serve('a.tar', BODY, statuses=[(401, {}, b'')]).split('?')[0]
    assert fails('got status 401 .* The link may have expired', url).status == 401


def test_link_expires_in_the_middle(server):
    url = server.serve('a.tar', BODY, cuts=[300_000])
    with transfer(url) as stream:
        assert stream.read(300_000) == BODY[:300_000]
        server.objects['a.tar'].statuses = [(403, {}, b'')]
        with pytest.raises(fetch.FetchError, match='from 300,000 on; got status 403'):
            stream.read(1)


def test_not_found(server):
    assert (
        fails(r'got status 404 \(Not Found: "no such object"\)', server.url('b.tar')).status == 404
    )


@pytest.mark.parametrize('kind', ['text/html; charset=utf-8', 'application/x-tar', 'Text/HTML'])
def test_web_page_instead_of_an_archive(server, kind):
    page = fault_server.PAGE.replace(b'Log', f'Log {server.url("x")} '.encode())
    error = fails('got a web page: "Sorry Log http', server.serve('a.tar', page, content_type=kind))
    assert error.reason == 'web_page'


def test_web_page_in_the_middle(server):
    page = fault_server.Served(fault_server.PAGE, content_type='text/html', ranges=False)
    url = server.serve('a.tar', BODY, cuts=[300_000], after=1, changed=page)
    assert fails('from 300,000 on; got a web page', url).reason == 'web_page'


def test_redirects(server):
    target = server.serve('b.tar', BODY)
    url = server.serve('a.tar', b'', statuses=[(302, {'Location': target}, b'')])
    assert read_all(url)[0] == BODY
    url = server.serve('c.tar', b'', statuses=[(302, {'Location': server.url('c.tar')}, b'')] * 50)
    assert fails('got redirects without end', url)


@pytest.mark.parametrize('target', ['http://[::1', 'gopher://host/a', 'http://a..b/', '//['])
def test_redirect_to_no_url(server, target):
    location = {'Location': f'{target}?oh={fault_server.SECRET}'}
    url = server.serve('a.tar', b'', statuses=[(302, location, b'')] * 8)
    assert fails('got a', url).reason in ('refused', 'unreachable')
    with pytest.raises(fetch.FetchError, match='got a'):
        requesting.head(url, name='a.tar', patience=QUICK)


def test_nobody_answers():
    with socket.socket() as reserved:
        reserved.bind(('127.0.0.1', 0))  # bound, not listening: connections are refused
        url = f'http://127.0.0.1:{reserved.getsockname()[1]}/a.tar?oh={fault_server.SECRET}&oe=0'
        error = fails(r'a broken connection \(Connection refused\) \(4 attempts\)', url)
    assert error.reason == 'unreachable'


def test_certificate_that_nobody_trusts(tmp_path):
    if shutil.which('openssl') is None:
        pytest.skip('no openssl')
    pem = str(tmp_path / 'server.pem')
    command = ['openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-subj', '/CN=localhost']
    subprocess.run([*command, '-keyout', pem, '-out', pem], check=True, capture_output=True)
    with fault_server.FaultServer(certificate=pem) as server:
        url = server.serve('a.tar', BODY)
        error = fails('got a certificate that is not trusted .*self.signed', url)
        assert error.reason == 'unreachable'
        assert 'Check the proxy and the clock' in str(error)
        assert server.requests == []


def test_no_such_host():
    url = f'http://no-such-host.invalid/a.tar?oh={fault_server.SECRET}'
    assert fails('got a broken connection', url).reason == 'unreachable'


def test_answer_that_is_no_http():
    with socket.create_server(('127.0.0.1', 0)) as listening:

        def answer():
            for _ in range(4):
                connection, _ = listening.accept()
                connection.recv(1000)
                connection.sendall(b'SSH-2.0-OpenSSH_9.6\r\n\r\n')
                connection.close()

        threading.Thread(target=answer, daemon=True).start()
        url = f'http://127.0.0.1:{listening.getsockname()[1]}/a?oh={fault_server.SECRET}'
        assert fails('got a broken connection', url)


@pytest.mark.parametrize('url', ['http://', 'nonsense', 'gopher://host/a', 'http://[::1'])
def test_no_url(url):
    assert fails('got a link that is no URL', f'{url}?oh={fault_server.SECRET}').reason == 'refused'


def test_stop_ends_a_wait(server):
    url = server.serve('a.tar', BODY, statuses=[(503, {'Retry-After': '60'}, b'')])
    stream = transfer(url)
    threading.Timer(0.1, stream.stop).start()
    start = time.monotonic()
    with pytest.raises(fetch.FetchError, match='got a request to stop') as caught:
        stream.read()
    assert time.monotonic() - start < 5
    assert caught.value.reason == 'stopped'


def test_head(server):
    url = server.serve('a.tar', BODY, statuses=[(503, {}, b'')])
    assert requesting.head(url, name='a', patience=QUICK).size == len(BODY)
    assert [request[0] for request in server.requests] == ['HEAD', 'HEAD']


def test_head_where_it_is_refused(server):
    url = server.serve('a.tar', BODY, head=False)
    assert requesting.head(url, name='a', patience=QUICK).size == len(BODY)
    deadline = time.monotonic() + 30  # the client asks for no body
    while server.sent('a.tar') == 0 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert server.sent('a.tar') == 1


@pytest.mark.parametrize('status', [403, 503])
def test_head_fails(server, status):
    url = server.serve('a.tar', BODY, statuses=[(status, {}, b'')] * 9)
    with pytest.raises(fetch.FetchError, match=f'`requesting.head`: .* status {status}') as caught:
        requesting.head(url, name='a', patience=QUICK)
    assert_no_secret(caught.value)


def test_nothing_shows_the_signature(server, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    url = server.serve('a.tar', BODY, cuts=[1000], statuses=[(503, {}, b'')])
    stream = transfer(url)
    stream.read(len(BODY))
    stream.close()
    fails('404', server.url('b.tar'))
    shown = caplog.text + ''.join(capfd.readouterr()) + repr(stream) + str(vars(stream).keys())
    assert 'GET /m1/v/a.tar?…' in shown
    for secret in SECRETS:
        assert secret not in shown


def test_error_survives_pickling(server):
    error = fails('404', server.url('b.tar'))
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.reason, again.status) == (str(error), error.reason, 404)
