"""Sizes of archives, as a server tells them before anything is downloaded."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent import futures

from segment_anything_tfds.source import meter
from segment_anything_tfds.source.remote import links_file

_CONNECTIONS = 16


class Unreachable(str):
    """Why a size is not known: no server answered."""


def ask(wanted: Sequence[links_file.Link], *, progress: meter.Show = True) -> dict[int, int | str]:
    """Asks for many sizes at a time, and for none of them long.

    Once as many links in a row as are asked for at a time find no server, the rest is not tried.

    Args:
      wanted: links to archives.
      progress: whether and how to show how many were asked for; see `meter.show`.

    Returns:
      By number, the size in bytes, or why it is not known.
    """
    import requests

    from segment_anything_tfds.source.remote import answers, patience, requesting

    hasty = patience.Patience(attempts=2, connect_timeout=5.0, read_timeout=10.0)
    session = requests.Session()  # keeps connections open between requests
    for scheme in ('http://', 'https://'):
        session.mount(scheme, requests.adapters.HTTPAdapter(pool_maxsize=_CONNECTIONS))
    unreachable = 0  # in a row

    def ask_one(link: links_file.Link) -> int | str:
        nonlocal unreachable
        if unreachable >= _CONNECTIONS:
            return Unreachable('not asked, since the server cannot be reached')
        try:
            size = requesting.head(link.url, name=link.name, patience=hasty, session=session).size
        except answers.FetchError as error:
            gone = error.reason == 'unreachable'
            unreachable = unreachable + 1 if gone else 0
            return Unreachable(error) if gone else str(error)
        unreachable = 0
        return 'the server does not say' if size is None else size

    shown = meter.show('sizes', total=len(wanted), unit=' archives', progress=progress)
    with session, shown as counted, futures.ThreadPoolExecutor(_CONNECTIONS) as pool:
        found = {}
        try:
            for link, answer in zip(wanted, pool.map(ask_one, wanted), strict=True):
                found[link.number] = answer
                counted.add(1)
        except KeyboardInterrupt:
            pool.shutdown(cancel_futures=True)
            raise
    return found
