"""Index by host, and within a host by name. A host without items has no entry."""

from __future__ import annotations

from collections import defaultdict
from typing import TypeVar

from manyserve.api.names import Key

Item = TypeVar("Item")
Value = TypeVar("Value")


def remove(index: defaultdict[Key, dict[Item, Value]], host: Key, name: Item) -> Value | None:
    """Remove an item of a host from an index, and return it, or None."""
    value = index[host].pop(name, None)
    if not index[host]:
        del index[host]
    return value
