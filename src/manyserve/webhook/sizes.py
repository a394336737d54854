"""Bounds on the number of values of a review: each costs time and memory to parse, and each invalid one an error.

The API server limits objects to some megabytes and checks their types before it calls the webhook. Another client may
send millions of values of wrong types. A body of them takes the event loop for half a second, and thirty times its
length in memory. So its brackets and commas are counted before it is parsed, which takes some milliseconds.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from manyserve.json_size import separators

MOST_VALUES = 20_000
"""Values of a spec and of the metadata that users write; the largest valid host has some thousand."""
MOST_SEPARATORS = 1_000_000
"""Opening brackets and commas of a body. The API server stores objects of 1.5 MiB, of which a review has two."""


def has_too_many_separators(body: bytearray) -> bool:
    """Return whether a body, with the texts in it, has more than `MOST_SEPARATORS`."""
    return len(body) > MOST_SEPARATORS and separators(body) > MOST_SEPARATORS


def has_too_many_values(*values: Any) -> bool:
    """Return whether JSON values contain more than `MOST_VALUES`; the walk ends there."""
    left, stack = MOST_VALUES, list(values)
    while stack:
        inner = _inner(stack.pop())
        left -= len(inner)
        if left < 0:
            return True
        stack.extend(each for each in inner if isinstance(each, dict | list))
    return False


def _inner(value: Any) -> Collection[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()
