"""Markers on the volume, and the scanner that reads the state of all models from them.

A marker is a small file with the model, the kind and the digest in its name.
`<name>.SUCCESS.<digest>`: the model's folder is complete. `<name>.LOADED.<digest>`: the server loaded these files.
`<name>.KEPT.<digest>`: the previous version is kept; with `still_loaded`, the server was not yet asked to load another
version. `<name>.LOADING.<digest>`: a load is under way, or the server ended during it. `<name>.ENDED.<digest>`: the
server ended during `ends` earlier loads. Markers are written atomically, and survive a power cut.

The names of the folders and of the markers hold the whole state: two listings, which also show changes made by hand.
A scan skips them while the times of the two folders are unchanged, except for every `_FORCED_LISTING_EVERY`th scan.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from manyserve.agent.reconcile import OnDisk
from manyserve.agent.volume.durable_fs import FileSystem

SUCCESS, LOADED, KEPT, LOADING, ENDED = "SUCCESS", "LOADED", "KEPT", "LOADING", "ENDED"
NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_KINDS = "|".join((SUCCESS, LOADED, KEPT, LOADING, ENDED))
MARKER = re.compile(rf"(?P<name>[-a-z0-9]+)\.(?P<kind>{_KINDS})\.(?P<digest>[0-9a-f]{{64}})")
_FORCED_LISTING_EVERY = 30  # scans
_TICK_NS = 100_000_000  # two changes within one tick of the kernel's clock leave the same time


@dataclass(frozen=True, slots=True)
class Marker:
    """Content of a marker."""

    kind: str
    digest: str
    fingerprint: str = ""
    """Fingerprint of the source at the download; empty when unknown."""
    still_loaded: bool = False
    """Of a kept version: if the server answers for the model, it has these files loaded."""
    ends: int = 0
    """Number of loads during which the server ended."""


class MarkerStore:
    """The markers in one folder. All methods block on the disk."""

    def __init__(self, folder: Path, files: FileSystem) -> None:
        self.folder = folder
        self._files = files
        self._listed: dict[str, set[str]] | None = None
        self._written: dict[str, set[str]] = {}

    def path(self, name: str, kind: str, digest: str) -> Path:
        """Return the path of a marker."""
        return self.folder / f"{name}.{kind}.{digest}"

    def all(self) -> Mapping[str, Collection[str]]:
        """List the folder; return the file names of the markers by model."""
        markers: dict[str, set[str]] = {}
        for marker in listing(self.folder):
            if match := MARKER.fullmatch(marker):
                markers.setdefault(match["name"], set()).add(marker)
        self._listed = markers
        return markers

    def write(self, name: str, marker: Marker) -> None:
        """Write a marker."""
        self._written.setdefault(name, set()).add(self.path(name, marker.kind, marker.digest).name)
        content = {key: value for key, value in asdict(marker).items() if key not in {"kind", "digest"}}
        self._files.write(self.path(name, marker.kind, marker.digest), json.dumps(content) + "\n")

    def get(self, name: str, kind: str) -> Marker | None:
        """Return the model's only marker of a kind; None for none, or for several, which prove nothing."""
        markers = self._existing(name, kind)
        return self.read(name, kind, markers[0].rpartition(".")[2]) if len(markers) == 1 else None

    def read(self, name: str, kind: str, digest: str) -> Marker:
        """Return a marker; one that cannot be read has only the values of its name."""
        try:
            content = json.loads(self.path(name, kind, digest).read_text(encoding="utf-8"))
            ends = int(content.get("ends", 0))
            return Marker(kind, digest, str(content["fingerprint"]), bool(content.get("still_loaded")), ends)
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return Marker(kind, digest)

    def remove(self, name: str, *kinds: str) -> None:
        """Remove the model's markers of these kinds, in this order."""
        for marker in self._existing(name, *kinds):
            self._files.remove_file(self.folder / marker)

    def _existing(self, name: str, *kinds: str) -> list[str]:
        """Return the existing markers among those once listed or written, since a new listing would be slow."""
        listed = self.all() if self._listed is None else self._listed
        known = {*listed.get(name, ()), *self._written.get(name, ())}
        existing = sorted(each for each in known if (self.folder / each).exists())
        self._written[name] = set(existing)
        return [each for kind in kinds for each in existing if each.startswith(f"{name}.{kind}.")]


def listing(folder: Path) -> list[str]:
    """Return the names in a folder, ten times as fast as with `Path` objects; each scan calls it."""
    with os.scandir(folder) as entries:
        return [entry.name for entry in entries]


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
