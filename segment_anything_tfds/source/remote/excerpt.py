"""Shortens what a server answered for an error message: no markup, no secrets."""

from __future__ import annotations

import html
import re

from segment_anything_tfds.source.remote import redaction

LENGTH = 200


def excerpt(body: bytes) -> str:
    """Gives the visible text of a web page or a plain answer, at most `LENGTH` characters."""
    text = body.decode('utf-8', 'replace')
    text = re.sub(r'(?is)<(script|style)\b.*?(</\1>|$)', ' ', text)
    text = re.sub(r'(?s)<!--.*?(-->|$)', ' ', text)
    text = html.unescape(re.sub(r'<[^>]*(>|$)', ' ', text))
    text = ''.join(letter if letter.isprintable() else ' ' for letter in redaction.redact(text))
    text = ' '.join(text.split())
    return text if len(text) <= LENGTH else text[: LENGTH - 1] + '…'
