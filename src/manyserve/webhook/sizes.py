"""Bound on the number of values of an object in a review, since each invalid one costs an error in memory.

The API server limits objects to some megabytes and checks their types before it calls the webhook. Another client may
send millions of values of wrong types.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

MOST_VALUES = 20_000
"""Values of a spec and of the metadata that users write; the largest valid host has some thousand."""


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
