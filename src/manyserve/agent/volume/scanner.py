"""What is on the volume, by a look that costs next to nothing while nothing changes.

The names of the folders and of the markers tell everything: two listings, right again after anything was done by
hand. They are left out while the two folders' times tell of no change, but for every thirtieth look.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from manyserve.agent.reconcile import OnDisk
from manyserve.agent.volume.markers import KEPT, LOADED, NAME, SUCCESS, MarkerStore, listing

_LOOKS_BEFORE_LISTING_ANYWAY = 30
_TICK_NS = 100_000_000  # two changes within one tick of the kernel's clock leave the same time


class Scan:
    """The looks at one volume."""

    def __init__(self, models: Path, marks: MarkerStore) -> None:
        self._models = models
        self._marks = marks
        self._found: Mapping[str, OnDisk] = {}
        self._times: tuple[int, ...] | None = None
        self._looks = 0

    def look(self) -> Mapping[str, OnDisk]:
        """Return what is on disk; the identical mapping while nothing changed."""
        self._looks = (self._looks + 1) % _LOOKS_BEFORE_LISTING_ANYWAY
        times = tuple(folder.stat().st_mtime_ns for folder in (self._models, self._marks.folder))
        if times != self._times or not self._looks:
            self._times = times if time.time_ns() - max(times) > _TICK_NS else None
            found = self._listed()
            self._found = found if found != self._found else self._found
        return self._found

    def _listed(self) -> dict[str, OnDisk]:
        found = {name: _by_kind(markers) for name, markers in self._marks.all().items()}
        names = {*models_in(self._models), *(name for name, kinds in found.items() if KEPT in kinds)}
        return {name: _judge(found.get(name, {})) for name in names}


def models_in(folder: Path) -> list[str]:
    """Return the models in the folder; anything else there, such as lost+found, is not ours."""
    return [name for name in listing(folder) if NAME.fullmatch(name)]


def _by_kind(markers: Iterable[str]) -> dict[str, set[str]]:
    """Return the digests that a model's markers name, by the kind of marker."""
    found: dict[str, set[str]] = {}
    for marker in markers:
        _, kind, digest = marker.rsplit(".", 2)
        found.setdefault(kind, set()).add(digest)
    return found


def _judge(markers: dict[str, set[str]]) -> OnDisk:
    """Return what a model's markers prove. Two successes prove nothing."""
    digests, kept = markers.get(SUCCESS, set()), markers.get(KEPT, set())
    before = next(iter(kept)) if len(kept) == 1 else ""
    if len(digests) != 1:
        return OnDisk(kept=before)
    (digest,) = digests
    return OnDisk(digest, loaded=markers.get(LOADED) == {digest}, kept=before)
