"""What is known by host, and there by a name: a host of which nothing is known has no entry."""

from __future__ import annotations

from collections import defaultdict
from typing import TypeVar

from manyserve.api.names import Key

Item = TypeVar("Item")
Value = TypeVar("Value")


def remove(index: defaultdict[Key, dict[Item, Value]], host: Key, name: Item) -> Value | None:
    """Take something of a host away, and return it if it was there."""
    found = index[host].pop(name, None)
    if not index[host]:
        del index[host]
    return found
