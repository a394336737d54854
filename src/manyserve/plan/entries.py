"""The entries of a `models.json` as objects: the same ones from one plan to the next.

To read ten thousand entries keeps everybody else waiting for a tenth of a second, and their digests take longer. So
what was written is remembered as it was planned, and what was read is not read again; as much of it as the texts of
a few hosts of ten thousand are long.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field

from manyserve.api.modelconfig import Entry, dump, parse

LONGEST = 4 * 2**20
"""Characters of all texts that are remembered, but for the last two, which always are."""
FEWEST = 2


@dataclass(frozen=True)
class _Text:
    entries: tuple[Entry, ...]
    length: int
    ours: bool
    """We wrote it: it says what it says in our words."""


@dataclass
class Memory:
    """What the texts said that were read or written last, by their hash."""

    longest: int = LONGEST
    _texts: OrderedDict[bytes, _Text] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def entries(self, text: str) -> tuple[Entry, ...]:
        """Return the entries of a text; one that cannot be read has none."""
        return self._known(text).entries

    def text(self, placed: Mapping[str, Entry], current: str) -> str:
        """Return the text for entries by name, which is the current one when nothing differs."""
        known = self._known(current)
        same = len(known.entries) == len(placed) and all(placed.get(each.model_name) is each for each in known.entries)
        if same and known.ours:
            return current
        text = dump(placed.values())
        self._keep(_hash(text), _Text(tuple(placed[name] for name in sorted(placed)), len(text), ours=True))
        return text

    def _known(self, text: str) -> _Text:
        key = _hash(text)
        with self._lock:
            if key in self._texts:
                self._texts.move_to_end(key)
                return self._texts[key]
        try:
            entries = parse(text)
        except ValueError:
            entries = ()
        return self._keep(key, _Text(entries, len(text), ours=False))

    def _keep(self, key: bytes, kept: _Text) -> _Text:
        with self._lock:
            self._texts[key] = kept
            while len(self._texts) > FEWEST and sum(each.length for each in self._texts.values()) > self.longest:
                self._texts.popitem(last=False)
        return kept


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


MEMORY = Memory()
