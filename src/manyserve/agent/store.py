"""The models on the volume: `staging/` for what arrives, `models/` for the server, `markers/` for what is true.

A model arrives in `staging/<name>.<digest>`, is flushed, and is renamed into `models/<name>` whole. Then a
marker `markers/<name>.SUCCESS.<digest>` says that the folder is what was asked for, and, after the server
took it, `markers/<name>.LOADED.<digest>`. Markers lie outside the model's folder, where nothing that is
downloaded can forge them, and are removed before the folder they speak of is touched: whatever the moment of
a kill, a folder without its marker is just not there yet. The server sees `models/` only, and only reads it.

One more marker, `markers/SETTLED`, speaks of the pod: an agent has seen it settled.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

from manyserve.agent.files import FileSystem
from manyserve.agent.sync import OnDisk

SUCCESS, LOADED = "SUCCESS", "LOADED"
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_MARKER = re.compile(rf"(?P<name>[-a-z0-9]+)\.(?P<kind>{SUCCESS}|{LOADED})\.(?P<digest>[0-9a-f]{{64}})")
_OLD = "old"
_SETTLED = "SETTLED"  # no model has capitals in its name


class Store:
    """The folders of one pod. Every method but `scan` blocks on the disk: call it from a thread."""

    def __init__(self, root: Path, files: FileSystem | None = None) -> None:
        self.models = root / "models"
        self.staging = root / "staging"
        self.markers = root / "markers"
        self._files = files or FileSystem()

    def open(self) -> None:
        """Create what is missing and clear away what an earlier run left half done."""
        for folder in (self.models, self.staging, self.markers):
            self._files.make_folder(folder)
        for leftover in self.staging.iterdir():
            self._files.remove_tree(leftover)
        present = set(self._names())
        for marker in self.markers.iterdir():
            found = _MARKER.fullmatch(marker.name)
            if marker.name != _SETTLED and (not found or found["name"] not in present):
                self._files.remove_tree(marker)

    def scan(self) -> dict[str, OnDisk]:
        """Return what is on disk. Two listings: quick, and right again after anything was done by hand."""
        found: dict[str, dict[str, set[str]]] = {}
        for marker in _listing(self.markers):
            if match := _MARKER.fullmatch(marker):
                found.setdefault(match["name"], {}).setdefault(match["kind"], set()).add(match["digest"])
        return {name: _judge(found.get(name, {})) for name in self._names()}

    def marker(self, name: str, kind: str, digest: str) -> Path:
        """Return the path of a marker."""
        return self.markers / f"{name}.{kind}.{digest}"

    def fingerprint(self, name: str, digest: str) -> str:
        """Return what the source looked like when these files were read; empty when that is not known."""
        try:
            text = self.marker(name, SUCCESS, digest).read_text(encoding="utf-8")
            return str(json.loads(text)["fingerprint"])
        except (OSError, ValueError, TypeError, KeyError):
            return ""

    def stage(self, name: str, digest: str) -> Path:
        """Return a new empty folder to download into."""
        folder = self._staged(name, digest)
        self._files.remove_tree(folder)
        self._files.make_folder(folder)
        return folder

    def discard(self, name: str, digest: str) -> None:
        """Remove what was downloaded and is not wanted any more."""
        self._files.remove_tree(self._staged(name, digest))

    def swap_in(self, name: str, digest: str) -> None:
        """Put the staged folder in the place of the model's, whose markers go first."""
        staged, old = self._staged(name, digest), self.staging / f"{name}.{_OLD}"
        self._files.flush_tree(staged)
        self._remove_markers(name)
        self._files.remove_tree(old)
        target = self.models / name
        if target.exists():
            self._files.rename(target, old)
        self._files.rename(staged, target)
        self._files.remove_tree(old)

    def mark(self, name: str, kind: str, digest: str, fingerprint: str = "") -> None:
        """Write a marker."""
        self._files.write(self.marker(name, kind, digest), json.dumps({"fingerprint": fingerprint}) + "\n")

    def settle(self) -> None:
        """Write down, for the agents that follow in this pod, that it was settled."""
        self._files.write(self.markers / _SETTLED, "")

    def was_settled(self) -> bool:
        """Tell whether an agent of this pod saw it settled."""
        return (self.markers / _SETTLED).exists()

    def delete(self, name: str) -> None:
        """Remove a model: its markers, then its folder, which leaves the server's sight in one step."""
        self._remove_markers(name)
        old = self.staging / f"{name}.{_OLD}"
        self._files.remove_tree(old)
        if (self.models / name).exists():
            self._files.rename(self.models / name, old)
        self._files.remove_tree(old)

    def _names(self) -> list[str]:
        """Return the models on disk; anything else there, such as lost+found, is not ours."""
        return [name for name in _listing(self.models) if _NAME.fullmatch(name)]

    def _staged(self, name: str, digest: str) -> Path:
        return self.staging / f"{name}.{digest[:16]}"

    def _remove_markers(self, name: str) -> None:
        for kind in (LOADED, SUCCESS):
            for marker in _listing(self.markers):
                if marker.startswith(f"{name}.{kind}."):
                    self._files.remove_file(self.markers / marker)


def _listing(folder: Path) -> list[str]:
    """Return the names in a folder; ten times as fast as with `Path` objects, and this is done all the time."""
    with os.scandir(folder) as entries:
        return [entry.name for entry in entries]


def _judge(markers: dict[str, set[str]]) -> OnDisk:
    """Return what a model's markers prove. Two successes prove nothing."""
    digests = markers.get(SUCCESS, set())
    if len(digests) != 1:
        return OnDisk()
    (digest,) = digests
    return OnDisk(digest, loaded=markers.get(LOADED) == {digest})
