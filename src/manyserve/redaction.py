"""Redaction of foreign error messages: one short line without secrets, for statuses and logs."""

from __future__ import annotations

import re

LIMIT = 512  # characters
READ_LIMIT = 64 * 1024  # bytes
_URL = re.compile(r"://\S*")  # one match for each word keeps the time proportional to the length


def without_secrets(text: str) -> str:
    """Return the text with user names, passwords and query strings removed from its URLs."""
    return _URL.sub(lambda match: _bare(match[0]), text)


def _bare(rest: str) -> str:
    """Return the part of a URL after its scheme, without query, fragment and credentials."""
    parts = re.split(r"[?#]", rest, maxsplit=1)[0].split("://")
    return "://".join(_without_user(part) for part in parts)


def _without_user(part: str) -> str:
    authority, slash, path = part.partition("/")
    return authority.rpartition("@")[2] + slash + path


def one_line(text: object, limit: int = LIMIT) -> str:
    """Return a message for a status: one line, at most `limit` characters, without secrets."""
    words = without_secrets(" ".join(str(text)[: 8 * limit].split()))
    return printable(words if len(words) <= limit else words[: limit - 1] + "…", limit)


def printable(text: str, limit: int) -> str:
    """Return the first `limit` characters, with `?` for control characters and marks that change the direction."""
    short = text[:limit]
    return short if short.isprintable() else "".join(letter if letter.isprintable() else "?" for letter in short)
