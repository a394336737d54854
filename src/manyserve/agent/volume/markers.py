"""The markers of the volume: small files whose name says which model, what is true of it, and of which files.

`<name>.SUCCESS.<digest>`: the model's folder holds what was asked for, whole. `<name>.LOADED.<digest>`: the server
took these files. `<name>.KEPT.<digest>`: the version before is kept; `sure` in it says that the server was not yet
asked to take another. Each is written whole or not at all, and lasts a power cut.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from manyserve.agent.volume.durable_fs import FileSystem

SUCCESS, LOADED, KEPT = "SUCCESS", "LOADED", "KEPT"
NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
MARKER = re.compile(rf"(?P<name>[-a-z0-9]+)\.(?P<kind>{SUCCESS}|{LOADED}|{KEPT})\.(?P<digest>[0-9a-f]{{64}})")


@dataclass(frozen=True, slots=True)
class Marker:
    """What a marker says."""

    kind: str
    digest: str
    fingerprint: str = ""
    """What the source looked like when the files were read; empty when that is not known."""
    sure: bool = False
    """Of a kept version: while the server answers for the model, it is with these files."""


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
        """List the folder; return the file names of each model's markers."""
        found: dict[str, set[str]] = {}
        for marker in listing(self.folder):
            if match := MARKER.fullmatch(marker):
                found.setdefault(match["name"], set()).add(marker)
        self._listed = found
        return found

    def write(self, name: str, mark: Marker) -> None:
        """Write a marker."""
        self._written.setdefault(name, set()).add(self.path(name, mark.kind, mark.digest).name)
        words = {key: value for key, value in asdict(mark).items() if key in {"fingerprint", "sure"}}
        self._files.write(self.path(name, mark.kind, mark.digest), json.dumps(words) + "\n")

    def of(self, name: str, kind: str) -> Marker | None:
        """Return the model's only marker of a kind; two of them prove nothing."""
        found = self._found(name, kind)
        return self.read(name, kind, found[0].rpartition(".")[2]) if len(found) == 1 else None

    def read(self, name: str, kind: str, digest: str) -> Marker:
        """Return what a marker says; one that cannot be read says nothing but its name."""
        try:
            words = json.loads(self.path(name, kind, digest).read_text(encoding="utf-8"))
            return Marker(kind, digest, str(words["fingerprint"]), bool(words.get("sure")))
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return Marker(kind, digest)

    def remove(self, name: str, *kinds: str) -> None:
        """Remove the model's markers of these kinds, in this order."""
        for marker in self._found(name, *kinds):
            self._files.remove_file(self.folder / marker)

    def _found(self, name: str, *kinds: str) -> list[str]:
        """Return the model's markers that exist, of those ever listed or written: to list all again would be slow."""
        listed = self.all() if self._listed is None else self._listed
        known = {*listed.get(name, ()), *self._written.get(name, ())}
        there = sorted(each for each in known if (self.folder / each).exists())
        self._written[name] = set(there)
        return [each for kind in kinds for each in there if each.startswith(f"{name}.{kind}.")]


def listing(folder: Path) -> list[str]:
    """Return the names in a folder; ten times as fast as with `Path` objects, and this is done all the time."""
    with os.scandir(folder) as entries:
        return [entry.name for entry in entries]
