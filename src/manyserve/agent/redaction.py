"""What others say, made fit to repeat: error texts of stores and servers on one line, short, without secrets."""

from __future__ import annotations

import re

LIMIT = 512
READ_LIMIT = 64 * 1024
_URL = re.compile(r"://\S*")  # one match a word, so that the time stays in proportion to the length


def without_secrets(text: str) -> str:
    """Return the text with user names, passwords and query strings taken out of its URLs."""
    return _URL.sub(lambda found: _bare(found[0]), text)


def _bare(rest: str) -> str:
    """Return what follows a scheme, without query and fragment, and without what stands before an @."""
    places = re.split(r"[?#]", rest, maxsplit=1)[0].split("://")
    return "://".join(_without_user(place) for place in places)


def _without_user(place: str) -> str:
    host, slash, path = place.partition("/")
    return host.rpartition("@")[2] + slash + path


def one_line(text: object, limit: int = LIMIT) -> str:
    """Return a message for a status: one line, at most `limit` characters, without secrets."""
    words = " ".join(str(text)[: 8 * limit].split())
    printable = "".join(letter if letter.isprintable() else "?" for letter in without_secrets(words))
    return printable if len(printable) <= limit else printable[: limit - 1] + "…"
