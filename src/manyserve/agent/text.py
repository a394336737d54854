"""What others say, made fit to repeat: error texts of stores and servers on one line, short, without secrets."""

from __future__ import annotations

import re

LIMIT = 512
READ_LIMIT = 64 * 1024
_USERINFO = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*://)[^\s/?#@]*@", re.IGNORECASE)
_QUERY = re.compile(r"(?P<url>[a-z][a-z0-9+.-]*://[^\s?#'\"]+)[?#][^\s'\"]*", re.IGNORECASE)


def without_secrets(text: str) -> str:
    """Return the text with user names, passwords and query strings taken out of its URLs."""
    return _QUERY.sub(r"\g<url>", _USERINFO.sub(r"\g<scheme>", text))


def one_line(text: object, limit: int = LIMIT) -> str:
    """Return a message for a status: one line, at most `limit` characters, without secrets."""
    words = " ".join(str(text)[:READ_LIMIT].split())
    printable = "".join(letter if letter.isprintable() else "?" for letter in without_secrets(words))
    return printable if len(printable) <= limit else printable[: limit - 1] + "…"
