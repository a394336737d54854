"""Types of the placement on shards: the shards of a snapshot, the demands of models, and the bounds of a host."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from manyserve.api.modelconfig import Entry
from manyserve.api.names import SHARD_DIGITS


@dataclass(frozen=True)
class Shard:
    """One shard as it was observed."""

    entries: Mapping[str, Entry] = field(default_factory=dict)
    """Entries of its `models.json`, by model."""
    routed: frozenset[str] = frozenset()
    """Models that answer here with the version of their entry, and to which the routers send requests."""
    load: int = 0
    """Requests in flight on the shard, in thousandths, on average of a minute."""
    not_unloaded: Collection[str] = ()
    """Removed models that the server does not unload: their memory is not free, so the shard takes no new model."""

    def is_closed_to(self, name: str) -> bool:
        """Return whether the shard takes no copy of a model; one of the same name as a removed model may come back."""
        return bool(self.not_unloaded) and name not in self.not_unloaded


class Demand(NamedTuple):
    """Copies that a model needs."""

    entry: Entry
    """The entry of each new copy."""
    memory: int
    copies: int = 1
    age: tuple[int, str, str] = (0, "", "")
    """The order of placement: new models after placed ones, then creation time and uid."""


@dataclass(frozen=True)
class Bounds:
    """Memory of a shard, and the fewest and most shards of a host."""

    limit: int
    least: int = 1
    most: int = 1
    keeps_grown: bool = False
    """Whether a model that grew past its shard keeps its entry until the new one fits somewhere; else it waits."""


def shard_names(indices: Iterable[int]) -> str:
    """Return the names of shards as users read them: `s0,s3`."""
    return ",".join(f"s{index}" for index in sorted(indices))


def shard_indices(text: str) -> frozenset[int]:
    """Return the shards in a stored text of `shard_names`; other words in it are skipped."""
    return frozenset(int(each[1]) for each in map(_NAME.fullmatch, text.split(",")) if each)


_NAME = re.compile(rf"s([0-9]{{1,{SHARD_DIGITS}}})")
