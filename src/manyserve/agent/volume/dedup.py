"""Models of one source: their files are downloaded once, and the others take links to them.

Downloads of the same URI take turns, so that all but the first find the files on the volume. A hard link costs
no room and lives as long as any of the models; where the file system has none, the file is copied.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from weakref import WeakValueDictionary

from manyserve.agent.reconcile import NOTHING, OnDisk
from manyserve.api.modelconfig import Entry


class Deduplicator:
    """Who waits for whose download, and which models have the same source."""

    def __init__(self) -> None:
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._wanted: Mapping[str, Entry] = {}
        self._names: dict[str, list[str]] = {}

    def lock_for(self, uri: str) -> asyncio.Lock:
        """Return the lock that the one holds who downloads from the URI."""
        lock = self._turns.get(uri)
        if lock is None:
            self._turns[uri] = lock = asyncio.Lock()
        return lock

    def candidates(self, entry: Entry, wanted: Mapping[str, Entry], disk: Mapping[str, OnDisk]) -> Iterator[str]:
        """Yield the other models whose files on the volume came from the same URI under the same conditions."""
        if self._wanted is not wanted:
            self._wanted, self._names = wanted, _by_uri(wanted)
        asked = entry.model_spec
        for other in self._names.get(asked.storage_uri, ()):
            spec, here = wanted[other].model_spec, disk.get(other, NOTHING)
            if other != entry.model_name and spec.digest == asked.digest and here.digest == wanted[other].digest:
                yield other


def _by_uri(wanted: Mapping[str, Entry]) -> dict[str, list[str]]:
    names: dict[str, list[str]] = {}
    for name, entry in wanted.items():
        names.setdefault(entry.model_spec.storage_uri, []).append(name)
    return names


def link_tree(source: Path, target: Path, *, may_copy: bool) -> None:
    """Link all files below a folder into an empty one, or copy them. Blocks on the disk. Raises `OSError`."""
    for folder, _, names in os.walk(source):
        place = target / Path(folder).relative_to(source)
        place.mkdir(exist_ok=True)
        for name in names:
            _link(Path(folder) / name, place / name, may_copy=may_copy)


def _link(source: Path, target: Path, *, may_copy: bool) -> None:
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:
        if not may_copy:
            raise
        shutil.copyfile(source, target)
