"""Keeps the queries of signed links out of everything that is shown, logged or written.

Whoever has a signed link can download, so its query is a secret. A text may hold it in two ways:
as a URL, which a pattern finds; or in parts, as where a server repeats the signature alone or
escapes what it repeats. The parts of every link that is asked for are therefore remembered, and
found in any text, however it is escaped.
"""

from __future__ import annotations

import html
import logging
import re
import string
import traceback
import urllib.parse
from collections.abc import Iterable, Iterator, Sequence

_PIECE = 12  # letters of a secret, in a row, that are taken for it
_ODD_PIECE = 8  # as many are enough where they are no word and no number
_SHORTEST = 4  # shorter values, such as `1`, stand in every text
_ROUNDS = 16  # escapes inside escapes
# `&` in JSON and Python, JavaScript, C, old JavaScript and CSS:
#   \u0026  \U00000026  \u{26}  \x26  %u0026  \26 and a blank
_ESCAPE = re.compile(
    r'\\u00([0-9a-fA-F]{2})|\\U000000([0-9a-fA-F]{2})|\\u\{0*([0-9a-fA-F]{2})\}'
    r'|\\x([0-9a-fA-F]{2})|%u00([0-9a-fA-F]{2})|\\0*([2-7][0-9a-fA-F]) '
)
_OCTAL = re.compile(r'\\([01][0-7]{2})')
_LIBRARIES = ('requests', 'urllib3')
_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
# Parameters of Meta's links: found in a text even where no `?` is left before them.
_FAMILIAR = re.compile(r'\b(ccb|oh|oe|_nc_\w+)(=|%3[Dd])[^\s\'"<>]+')

_pieces: set[str] = set()  # of longer values, and of their letters and digits alone
_words: set[str] = set()  # shorter values


def remember(url: str) -> None:
    """Makes the parts of a signed URL known to `redact`, in this process.

    What its host and path hold too, such as the archive's name, is no secret.
    """
    try:
        parts = urllib.parse.urlsplit(url)
        values = [value for _, value in urllib.parse.parse_qsl(parts.query)]
        values += [parts.username or '', parts.password or '']
    except ValueError:  # no URL: nothing will be asked for
        return
    values += urllib.parse.unquote(parts.query).split('&')
    known = f'{parts.netloc.rpartition("@")[2]} {parts.path}'.translate(_LOWER)
    for value in values:
        plain = _alphanumeric(value)
        odd = filter(_is_odd, _cut(plain, _ODD_PIECE))
        _remember(_cut(value, _PIECE), known, _pieces)
        _remember([*_cut(plain, _PIECE), *odd], _alphanumeric(known), _pieces)
        if _SHORTEST <= len(value) < _PIECE:
            _remember([value], known, _words)


def _remember(pieces: Iterable[str], known: str, kept: set[str]) -> None:
    low = {piece.translate(_LOWER) for piece in pieces}
    kept.update(piece for piece in low if piece not in known)


def _is_odd(piece: str) -> bool:
    """Tells whether digits and letters, or letters of both cases, are mixed as in no word."""
    if piece.isalpha():
        return not (piece[1:].islower() or piece[1:].isupper())
    return not piece.isdecimal()


def redact(text: str) -> str:
    """Replaces the query of every URL in a text, and the parts of all that were asked for, by `…`.

    Where a query is found only once escapes are undone, the whole text is given without them.

    Example:
      >>> redact('403 for url: https://example.com/a.tar?oh=00_AfB&oe=65000000')
      '403 for url: https://example.com/a.tar?…'
      >>> redact('a.tar%3Foh%3D00_AfB is not known')
      'a.tar?… is not known'
    """
    plain = _unescape(text)
    hidden = _hide(plain)
    return _hide(text) if hidden == plain else hidden


def guard_loggers() -> None:
    """Makes the loggers of `requests` and `urllib3`, which know URLs, redact what they log."""
    for name in list(logging.root.manager.loggerDict):
        if name.partition('.')[0] in _LIBRARIES:
            logger = logging.getLogger(name)
            if _redact_record not in logger.filters:
                logger.addFilter(_redact_record)


def _redact_record(record: logging.LogRecord) -> bool:
    record.msg, record.args = redact(record.getMessage()), None
    if record.exc_info:  # as text, since the exception's own could not be changed
        lines = traceback.format_exception(*record.exc_info)
        record.exc_text, record.exc_info = redact(''.join(lines).rstrip()), None
    return True


def _unescape(text: str) -> str:
    """Undoes escapes of URLs, HTML and JSON, also of several layers."""
    for _ in range(_ROUNDS):
        before = text
        text = _ESCAPE.sub(lambda match: chr(int(match[match.lastindex], 16)), text)
        text = _OCTAL.sub(lambda match: chr(int(match[1], 8)), text)
        text = html.unescape(urllib.parse.unquote(text))
        if text == before:
            break
    return text


def _hide(text: str) -> str:
    text = re.sub(r'://[^/\s@\'"<>]+@', '://…@', text)
    text = re.sub(r'\?[^\s\'"<>]+', '?…', text)
    text = _FAMILIAR.sub(r'\1\2…', text)
    return ''.join(_without_parts(text))


def _without_parts(text: str) -> Iterator[str]:
    """Gives the text, with an ellipsis for each stretch that a remembered secret holds too."""
    low = text.translate(_LOWER)
    secret = bytearray(len(text))  # 1 where a letter is part of one
    # 'tag 00_Ab 12-Cd' is looked through as it is, and as 'tag00ab12cd': what a server puts into a
    # secret, such as spaces or quotes, hides it from nobody.
    _mark(low, range(len(low)), secret)
    _mark(low, [at for at, letter in enumerate(low) if letter.isalnum()], secret)
    for word in (r'[0-9a-z]+', r'\w[\w.~-]*\w'):
        for match in re.finditer(word, low):
            if match[0] in _words:
                secret[match.start() : match.end()] = b'\1' * len(match[0])
    for match in re.finditer(b'\0+|\1+', bytes(secret)):
        yield '…' if secret[match.start()] else text[match.start() : match.end()]


def _mark(text: str, kept: Sequence[int], secret: bytearray) -> None:
    """Marks where the letters at some positions, read in a row, hold a piece of a secret."""
    row = ''.join(text[at] for at in kept)
    for size in (_PIECE, _ODD_PIECE):
        for at, piece in enumerate(_cut(row, size)):
            if piece in _pieces:
                first, last = kept[at], kept[at + size - 1]
                secret[first : last + 1] = b'\1' * (last + 1 - first)


def _cut(text: str, size: int) -> list[str]:
    """Cuts a text into all pieces of a size, from the first on."""
    return [text[at : at + size] for at in range(len(text) - size + 1)]


def _alphanumeric(text: str) -> str:
    return ''.join(letter for letter in text if letter.isalnum())
