"""Incremental decoding of a JSON list: one element at a time, in windows of bounded length.

A decoder of whole documents builds all of a document before a check. This decoder stops at the first element that is
refused, so the cost is that of the text before it. No element is longer than a window.
"""

from __future__ import annotations

import json
import re
from collections.abc import Generator, Iterator

WINDOW = 64 * 1024
"""Characters of the longest element."""

_BLANK = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder()


def elements(text: str) -> Iterator[object]:
    """Yield the elements of a JSON list. Raises `ValueError` with a sentence when the text is not a JSON list."""
    start = _skip(text, 0)
    if text[start : start + 1] != "[":
        raise ValueError("it is not a JSON list" if text else "it is empty")
    start = _skip(text, start + 1)
    if text[start : start + 1] != "]":
        start = yield from _separated(text, start)
    if _skip(text, start + 1) != len(text):
        raise ValueError(f"something follows the list at character {start + 1}")


def _separated(text: str, start: int) -> Generator[object, None, int]:
    """Yield the elements from `start` on, and return the position of the closing bracket."""
    window, base = text[start : start + WINDOW], start
    while True:
        try:
            element, end = _DECODER.raw_decode(window, start - base)
        except (ValueError, RecursionError) as error:
            if base == start:
                raise ValueError(_refusal(error, text, start)) from None
            window, base = text[start : start + WINDOW], start
            continue
        yield element
        start = _skip(text, base + end)
        if text[start : start + 1] == "]":
            return start
        if text[start : start + 1] != ",":
            raise ValueError(f"the list does not go on with ',' or ']' at character {start}")
        start = _skip(text, start + 1)
        if start - base >= len(window):
            window, base = text[start : start + WINDOW], start


def _skip(text: str, start: int) -> int:
    """Return the position of the next character that is not blank."""
    blank = _BLANK.match(text, start)
    return blank.end() if blank else start


def _refusal(error: Exception, text: str, start: int) -> str:
    element = f"the element at character {start}"
    if isinstance(error, RecursionError):
        return f"{element} is nested too deeply"
    reason = error.msg if isinstance(error, json.JSONDecodeError) else error
    if start + WINDOW < len(text):
        return f"{element} is not JSON, or has more than {WINDOW} characters: {reason}"
    return f"{element} is not JSON: {reason}"
