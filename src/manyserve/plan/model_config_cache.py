"""Cache of parsed `models.json` lists, so that one plan and the next share the same `Entry` objects.

Parsing ten thousand entries blocks the event loop for 0.1 s, and computing their digests takes longer. So a written
list is cached as it was planned, and a list that was read once is not parsed again. `TextCache` bounds the cache by the
length of the texts, to a few hosts of ten thousand models.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from manyserve.api.modelconfig import Entry, dump, parse

T = TypeVar("T")

LONGEST = 4 * 2**20
"""Characters of all cached texts. The last `FEWEST` values are exempt."""
FEWEST = 2
"""Values that stay, whatever their length: a plan needs the values of the current text and of the desired one."""
ENTRY = 256
"""Characters that a value counts beside its text, since an unreadable text is cached with length 0."""
_LONGEST_ENTRY = 3000
"""Characters that an entry of a list counts at most, since its unknown fields are not cached."""


@dataclass
class TextCache(Generic[T]):
    """LRU cache of values by the hash of the text that they derive from. It is locked: threads plan large hosts."""

    longest: int = LONGEST
    _values: OrderedDict[bytes, tuple[T, int]] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def get(self, text: str, make: Callable[[str], tuple[T, int]]) -> T:
        """Return the value for a text; `make` returns a new one and the characters that it counts."""
        key = _hash(text)
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
                return self._values[key][0]
        return self._store(key, *make(text))

    def put(self, text: str, value: T, length: int) -> None:
        """Store a value for a text."""
        self._store(_hash(text), value, length)

    def _store(self, key: bytes, value: T, length: int) -> T:
        with self._lock:
            self._values[key] = value, length + ENTRY
            self._values.move_to_end(key)
            while len(self._values) > FEWEST and sum(each for _, each in self._values.values()) > self.longest:
                self._values.popitem(last=False)
        return value


@dataclass(frozen=True)
class _ParsedText:
    entries: tuple[Entry, ...]
    canonical: bool
    """The operator wrote this text, so its form is the one of `dump`."""


@dataclass
class ModelConfigCache:
    """Parsed entries of the texts that were read or written last."""

    _texts: TextCache[_ParsedText] = field(default_factory=TextCache)

    def entries(self, text: str) -> tuple[Entry, ...]:
        """Return the entries of a text; none for an unreadable text."""
        return self._texts.get(text, _parse).entries

    def text(self, placed: Mapping[str, Entry], current: str) -> str:
        """Return the text for entries by name; it is `current` itself when nothing differs."""
        parsed = self._texts.get(current, _parse)
        same = len(parsed.entries) == len(placed) and all(
            placed.get(entry.model_name) is entry for entry in parsed.entries
        )
        if same and parsed.canonical:
            return current
        text = dump(placed.values())
        entries = tuple(placed[name] for name in sorted(placed))
        self._texts.put(text, _ParsedText(entries, canonical=True), len(text))
        return text


def _parse(text: str) -> tuple[_ParsedText, int]:
    try:
        entries = parse(text)
    except ValueError:
        entries = ()
    return _ParsedText(entries, canonical=False), min(len(text), len(entries) * _LONGEST_ENTRY)


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


MODEL_CONFIG_CACHE = ModelConfigCache()
