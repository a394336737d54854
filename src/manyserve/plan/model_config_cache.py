"""The entries of a `models.json` as objects: the same ones from one plan to the next.

To read ten thousand entries keeps everybody else waiting for a tenth of a second, and their digests take longer. So
what was written is remembered as it was planned, and what was read is not read again; as much of it as the texts of
a few hosts of ten thousand are long.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from manyserve.api.modelconfig import Entry, dump, parse
from manyserve.plan.text_cache import TextCache

_LONGEST_ENTRY = 3000
"""Characters that an entry counts for at most: fields that we do not know are not kept."""


@dataclass(frozen=True)
class _Text:
    entries: tuple[Entry, ...]
    ours: bool
    """We wrote it: it says what it says in our words."""


@dataclass
class ModelConfigCache:
    """What the texts said that were read or written last, by their hash."""

    _texts: TextCache[_Text] = field(default_factory=TextCache)

    def entries(self, text: str) -> tuple[Entry, ...]:
        """Return the entries of a text; one that cannot be read has none."""
        return self._texts.get(text, _read).entries

    def text(self, placed: Mapping[str, Entry], current: str) -> str:
        """Return the text for entries by name, which is the current one when nothing differs."""
        known = self._texts.get(current, _read)
        same = len(known.entries) == len(placed) and all(placed.get(each.model_name) is each for each in known.entries)
        if same and known.ours:
            return current
        text = dump(placed.values())
        self._texts.put(text, _Text(tuple(placed[name] for name in sorted(placed)), ours=True), len(text))
        return text


def _read(text: str) -> tuple[_Text, int]:
    try:
        entries = parse(text)
    except ValueError:
        entries = ()
    return _Text(entries, ours=False), min(len(text), len(entries) * _LONGEST_ENTRY)


MODEL_CONFIG_CACHE = ModelConfigCache()
