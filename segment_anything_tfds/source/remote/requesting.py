"""Single requests, and what a server tells of an object before it is fetched."""

from __future__ import annotations

import time

import requests

from segment_anything_tfds.source.remote import answers, redaction
from segment_anything_tfds.source.remote.answers import Failure, Remote
from segment_anything_tfds.source.remote.patience import Patience


def send(
    session: requests.Session, method: str, url: str, headers: dict[str, str], patience: Patience
) -> requests.Response:
    """Sends a request, and reads the headers of the answer; the URL stays out of all logs.

    Raises:
      requests.RequestException: there is no answer; its text may hold the URL.
    """
    redaction.guard_loggers()
    redaction.remember(url)
    return session.request(
        method,
        url,
        headers=headers,
        stream=True,
        timeout=(patience.connect_timeout, patience.read_timeout),
        allow_redirects=True,
        hooks={'response': _remember_redirect},
    )


def _remember_redirect(response: requests.Response, **kwargs) -> None:
    """Remembers where a redirect leads, which may be signed too, before it is followed."""
    redaction.remember(response.headers.get('Location', ''))


def head(
    url: str,
    *,
    name: str,
    patience: Patience | None = None,
    session: requests.Session | None = None,
) -> Remote:
    """Asks a server for the size and the version of an object, without its bytes.

    Where `HEAD` is refused, the first byte is asked for.

    Args:
      url: URL, which may be signed.
      name: what to call the object in errors.
      patience: how long to go on trying.
      session: connections to share; `None` for one of its own.

    Raises:
      FetchError: the server refuses, or cannot be reached.
    """
    patience = patience or Patience()
    if session is None:
        with requests.Session() as own:
            return head(url, name=name, patience=patience, session=own)
    method, failures = 'HEAD', 0
    while True:
        outcome = _ask(session, method, url, patience)
        if isinstance(outcome, Remote):
            return outcome
        if method == 'HEAD' and outcome.status is not None and not outcome.transient:
            method = 'GET'
            continue
        failures += 1
        if not outcome.transient or failures >= patience.attempts:
            raise answers.error('requesting.head', name, 0, outcome, failures)
        time.sleep(patience.delay(failures, outcome.wait))


def _ask(session, method: str, url: str, patience: Patience) -> Remote | Failure:
    headers = {'Accept-Encoding': 'identity'}
    if method == 'GET':
        headers['Range'] = 'bytes=0-0'
    try:
        with send(session, method, url, headers, patience) as response:
            return answers.check(response, url) or answers.describe(response)[0]
    except answers.NETWORK_ERRORS as error:
        return answers.network_failure(error, patience.read_timeout)
