"""Scanner of the volume, cheap while nothing changes.

The names of the folders and of the markers hold the whole state: two listings, which also show changes made by hand.
A scan skips them while the times of the two folders are unchanged, except for every `_FORCED_LISTING_EVERY`th scan.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from manyserve.agent.reconcile import OnDisk
from manyserve.agent.volume.markers import KEPT, LOADED, NAME, SUCCESS, MarkerStore, listing

_FORCED_LISTING_EVERY = 30  # scans
_TICK_NS = 100_000_000  # two changes within one tick of the kernel's clock leave the same time


class Scanner:
    """Scanner of one volume."""

    def __init__(self, models: Path, markers: MarkerStore) -> None:
        self._models = models
        self._markers = markers
        self._last: Mapping[str, OnDisk] = {}
        self._times: tuple[int, ...] | None = None
        self._scans = 0

    def scan(self) -> Mapping[str, OnDisk]:
        """Return the models on disk; the identical mapping while nothing changed."""
        self._scans = (self._scans + 1) % _FORCED_LISTING_EVERY
        times = tuple(folder.stat().st_mtime_ns for folder in (self._models, self._markers.folder))
        if times != self._times or not self._scans:
            self._times = times if time.time_ns() - max(times) > _TICK_NS else None
            listed = self._list()
            self._last = listed if listed != self._last else self._last
        return self._last

    def _list(self) -> dict[str, OnDisk]:
        digests = {name: _digests_by_kind(markers) for name, markers in self._markers.all().items()}
        names = {*models_in(self._models), *(name for name, kinds in digests.items() if KEPT in kinds)}
        return {name: _on_disk(digests.get(name, {})) for name in names}


def models_in(folder: Path) -> list[str]:
    """Return the models in the folder; other names, such as lost+found, are ignored."""
    return [name for name in listing(folder) if NAME.fullmatch(name)]


def _digests_by_kind(markers: Iterable[str]) -> dict[str, set[str]]:
    """Return the digests in the names of a model's markers, by the kind of marker."""
    digests: dict[str, set[str]] = {}
    for marker in markers:
        _, kind, digest = marker.rsplit(".", 2)
        digests.setdefault(kind, set()).add(digest)
    return digests


def _on_disk(markers: dict[str, set[str]]) -> OnDisk:
    """Return the state that a model's markers prove. Two SUCCESS markers prove nothing."""
    digests, kept_digests = markers.get(SUCCESS, set()), markers.get(KEPT, set())
    kept = next(iter(kept_digests)) if len(kept_digests) == 1 else ""
    if len(digests) != 1:
        return OnDisk(kept=kept)
    (digest,) = digests
    return OnDisk(digest, loaded=markers.get(LOADED) == {digest}, kept=kept)
