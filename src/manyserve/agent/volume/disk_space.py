"""Disk space of models of one source: they share it by hard links.

Downloads of the same URI run one after the other, so that all but the first find the files on the volume. A hard
link takes no disk space and lives as long as any of the models. Without hard links in the file system, the file is
copied.
"""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from weakref import WeakValueDictionary

from manyserve.agent.reconcile import NOTHING, OnDisk
from manyserve.api.modelconfig import Entry


class Deduplicator:
    """A lock for each URI, and an index of the models by URI."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._desired: Mapping[str, Entry] = {}
        self._names: dict[str, list[str]] = {}

    def lock_for(self, uri: str) -> asyncio.Lock:
        """Return the lock for downloads from the URI."""
        lock = self._locks.get(uri)
        if lock is None:
            self._locks[uri] = lock = asyncio.Lock()
        return lock

    def candidates(self, entry: Entry, desired: Mapping[str, Entry], disk: Mapping[str, OnDisk]) -> Iterator[str]:
        """Yield the other models on the volume with the same URI and content digest."""
        if self._desired is not desired:
            self._desired, self._names = desired, _by_uri(desired)
        spec = entry.model_spec
        for name in self._names.get(spec.storage_uri, ()):
            other, on_disk = desired[name], disk.get(name, NOTHING)
            is_same = other.model_spec.digest == spec.digest and on_disk.digest == other.digest
            if name != entry.model_name and is_same:
                yield name


def _by_uri(desired: Mapping[str, Entry]) -> dict[str, list[str]]:
    names: dict[str, list[str]] = {}
    for name, entry in desired.items():
        names.setdefault(entry.model_spec.storage_uri, []).append(name)
    return names


def link_tree(source: Path, target: Path, *, may_copy: bool) -> None:
    """Link all files below a folder into an empty one, or copy them. Blocks on the disk. Raises `OSError`."""
    for parent, _, names in os.walk(source):
        folder = target / Path(parent).relative_to(source)
        folder.mkdir(exist_ok=True)
        for name in names:
            _link(Path(parent) / name, folder / name, may_copy=may_copy)


def _link(source: Path, target: Path, *, may_copy: bool) -> None:
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:
        if not may_copy:
            raise
        shutil.copyfile(source, target)


def is_full(error: BaseException) -> bool:
    """Return whether a full volume or quota caused the error."""
    return any(isinstance(each, OSError) and each.errno in {errno.ENOSPC, errno.EDQUOT} for each in _causes(error))


def _causes(error: BaseException) -> list[BaseException]:
    """Return an error, those in its group, and all their causes; a raised-again error may be its own cause."""
    causes: list[BaseException] = []
    pending: list[BaseException | None] = [error]
    while pending:
        cause = pending.pop()
        if cause is not None and cause not in causes:
            causes.append(cause)
            pending += [cause.__cause__, *(cause.exceptions if isinstance(cause, BaseExceptionGroup) else ())]
    return causes
