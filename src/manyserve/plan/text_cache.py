"""A cache of what long texts say, by their hash: least recently used first out, bounded by the length of the texts.

The last two stay, however long they are: a plan needs the text that stands and the text that is wanted.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")

LONGEST = 4 * 2**20
"""Characters of all texts that are kept, but for the last two."""
FEWEST = 2
ENTRY = 256
"""Characters that each counts for beside its text: what cannot be read is kept, too, and is empty."""


@dataclass
class TextCache(Generic[T]):
    """Values by the hash of the text that they were made from. Large hosts are planned in threads."""

    longest: int = LONGEST
    _kept: OrderedDict[bytes, tuple[T, int]] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def get(self, text: str, make: Callable[[str], tuple[T, int]]) -> T:
        """Return the value for a text; `make` returns a new one and the characters that it counts for."""
        key = _hash(text)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key][0]
        return self._keep(key, *make(text))

    def put(self, text: str, value: T, length: int) -> None:
        """Keep a value for a text."""
        self._keep(_hash(text), value, length)

    def _keep(self, key: bytes, value: T, length: int) -> T:
        with self._lock:
            self._kept[key] = value, length + ENTRY
            self._kept.move_to_end(key)
            while len(self._kept) > FEWEST and sum(each for _, each in self._kept.values()) > self.longest:
                self._kept.popitem(last=False)
        return value


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
