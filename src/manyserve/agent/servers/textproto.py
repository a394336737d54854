"""Reader of protobuf's text format, without a schema, for the few fields of `config.pbtxt` that the agent needs.

Source: https://protobuf.dev/reference/protobuf/textformat-spec/. Extensions and `Any` are not read.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Message = dict[str, list[Any]]
"""The values of each field: text, or messages."""

MAX_CHARACTERS = 1024 * 1024
MAX_VALUES = 50_000
"""Values of one text. As objects of Python, 300,000 of them, the most of 1 MiB, take 44 MiB."""
_MAX_DEPTH = 64
_TOKEN = re.compile(
    r"""\s+ | \#[^\n]*
    | (?P<string> "(?:[^"\\\n]|\\.)*" | '(?:[^'\\\n]|\\.)*' )
    | (?P<word> [-+.\w]+ )
    | (?P<sign> [{}<>\[\]:,;] )""",
    re.VERBOSE | re.ASCII,
)
_CLOSING = {"{": "}", "<": ">"}
_SEPARATORS = (",", ";")
_END = ""


_ESCAPE = re.compile(r"\\(?:([0-7]{1,3})|[xX]([0-9a-fA-F]{1,2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))", re.DOTALL)
_LETTERS = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


def read(file: Path) -> Message:
    """Read the fields of a file. Comments may have any bytes, and only a newline ends them.

    Raises `OSError`, and `ValueError` for text of another form.
    """
    with file.open(encoding="utf-8-sig", errors="replace", newline="\n") as opened:
        return parse(opened.read(MAX_CHARACTERS + 1))


def parse(text: str) -> Message:
    """Return the fields of a message. Raises `ValueError` for text of another form."""
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"it has more than {MAX_CHARACTERS} characters")
    return _Parser(text).message(_END, 0)


class _Parser:
    """Recursive descent parser with one token of lookahead."""

    def __init__(self, text: str) -> None:
        self._tokens = _tokens(text)
        self._ahead = next(self._tokens, _END)
        self._left = MAX_VALUES

    def message(self, closing: str, depth: int) -> Message:
        """Read fields up to the closing sign."""
        if depth > _MAX_DEPTH:
            raise ValueError("it is nested too deeply")
        fields: Message = {}
        while self._ahead != closing:
            name = self._next()
            if not re.fullmatch(r"[A-Za-z_]\w*", name):
                raise ValueError(f"{name!r} is no name of a field")
            has_colon = self._skip(":")
            if not has_colon and self._ahead not in (*_CLOSING, "["):
                raise ValueError(f"no ':' follows {name}")
            fields.setdefault(name, []).extend(self._values(depth))
            self._skip(*_SEPARATORS)
        self._next()
        return fields

    def _values(self, depth: int) -> Iterator[Any]:
        """Read one value, or those of a list."""
        if not self._skip("["):
            yield self._value(depth)
            return
        while not self._skip("]"):
            yield self._value(depth)
            if not self._skip(",") and self._ahead != "]":
                raise ValueError("a list does not go on with ',' or ']'")

    def _value(self, depth: int) -> Any:
        self._left -= 1
        if self._left < 0:
            raise ValueError(f"it has more than {MAX_VALUES} values")
        token = self._next()
        if token in _CLOSING:
            return self.message(_CLOSING[token], depth + 1)
        if token[:1] in ("'", '"'):
            parts = [token]
            while self._ahead[:1] in ("'", '"'):
                parts.append(self._next())
            return "".join(_ESCAPE.sub(_unescaped, part[1:-1]) for part in parts)
        if not token or not re.match(r"[-+.\w]", token):
            raise ValueError(f"{token!r} is no value")
        return token

    def _skip(self, *signs: str) -> bool:
        """Read the token if it is one of these signs."""
        if self._ahead not in signs:
            return False
        self._next()
        return True

    def _next(self) -> str:
        token, self._ahead = self._ahead, next(self._tokens, _END)
        return token


def _unescaped(escape: re.Match[str]) -> str:
    octal, short, long, longest, letter = escape.groups()
    if letter:
        return _LETTERS.get(letter, letter)
    number = int(octal, 8) & 0xFF if octal else int(short or long or longest, 16)
    return chr(min(number, sys.maxunicode))


def _tokens(text: str) -> Iterator[str]:
    start = 0
    while start < len(text):
        match = _TOKEN.match(text, start)
        if match is None:
            raise ValueError(f"character {start} begins no token")
        if match.lastgroup:
            yield match[0]
        start = match.end()
