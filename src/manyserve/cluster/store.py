"""Store of one kind with a mutation cache: the objects of an informer, and our own writes. No I/O.

A write is stored at once, so that the next plan does not repeat it. Events are ordered by resourceVersion; since 1.35
Kubernetes promises that these compare as numbers. Scenarios, with v for the version of an object and time to the right:

    A1  The echo of our write is no change.
            write ──▶ 200 v7                store v7
            watch ─────────────▶ v7         the same version: no listener is called
    A2  An event that is older than our write is skipped.
            write ──▶ 200 v7                store v7
            watch ─────────────▶ v6 ─▶ v7   v6 is skipped; with v7 the watch has caught up
    A3  A response that is older than the store is skipped.
            write ───────────▶ 200 v7
            watch ──▶ v7 ─▶ v8              store v8

    B1  The echo is faster than the response.
            write ───────────▶ 200 v7
            watch ──▶ v7                    held back until the response; no listener is called
    B2  A second writer changes the object meanwhile.
            write ───────────▶ 200 v7
            watch ──▶ v7 ─▶ v8              held back until the response; listeners are called once, with v8

    C1  An object is deleted while no watch runs.
            list v5: a b    list v9: a      b is dropped, and listeners are called
    C2  We write an object after the list was made.
            list v9: a      write b v10     b stays, although the list does not have it
    C3  The API server is restored from a backup.
            list v9         list v4         lower than before: our writes are forgotten, the list is right
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from manyserve.api.names import Key
from manyserve.plan.children.replicas import owns_replicas

_IDENTITY = ("namespace", "name", "uid", "resourceVersion")

Manifest = dict[str, Any]
Change = Callable[[Manifest | None, Manifest | None], None]


def ignore_change(_old: Manifest | None, _new: Manifest | None) -> None:
    """Do nothing: the listener of a store without one."""


def _whole(item: Manifest) -> Manifest:
    return item


@dataclass
class _Write:
    """Writes of one object that are in flight, and the changes that were held back meanwhile."""

    in_flight: int = 0
    written_version: int = 0
    """The version that the API server returned."""
    held: list[tuple[Manifest | None, Manifest | None]] = field(default_factory=list)


class Store:
    """All objects of a kind by namespace and name, up to the last event.

    Parameters
    ----------
    on_change
        Called with the old and the new object; old is None for a creation, new is None for a deletion.
        Not called for our own write, see `record_write`, nor for its echo.
    on_store
        Called likewise, but for every change of the store: for indexes over it.
    keep
        Projection of an object for the store. Listeners get the new object whole, and the old one as kept.
    """

    def __init__(
        self,
        on_change: Change | None = None,
        on_store: Change | None = None,
        keep: Callable[[Manifest], Manifest] | None = None,
    ) -> None:
        self.objects: dict[Key, Manifest] = {}
        self._keep = keep or _whole
        self._on_change = on_change or ignore_change
        self._on_store = on_store or ignore_change
        self.observed_version = 0
        """The version up to which all events have arrived."""
        self.newest_version = 0
        """The version of the newest change of an object that has arrived in an event or a list."""
        self._written: dict[Key, int] = {}
        self._writing: dict[Key, _Write] = {}

    def replace(self, items: Iterable[Manifest], version: str) -> None:
        """Make the store equal to a list of this version, except for our own later writes."""
        self.begin_list(version)
        self.end_list(self.add_page(items), version)

    def begin_list(self, version: str) -> None:
        """Begin a list of this version."""
        if _version_number(version) < self.observed_version:  # the API server was restored from a backup
            self._written.clear()
            self.newest_version = 0

    def add_page(self, items: Iterable[Manifest]) -> set[Key]:
        """Store a page of a list, and return the keys of its objects."""
        page = {key_of(item): item for item in items}
        for key, item in page.items():
            self.newest_version = max(self.newest_version, _version_of(item))
            self._apply(key, item)
        return set(page)

    def end_list(self, listed: set[Key], version: str) -> None:
        """Drop the objects that were in no page, except for our own later writes."""
        list_version = _version_number(version)
        for key in [key for key in self.objects if key not in listed and self._written.get(key, 0) <= list_version]:
            self._drop(key)
        self.observed_version = list_version

    def apply_event(self, item: Manifest, *, deleted: bool = False) -> None:
        """Apply an event of the watch."""
        key = key_of(item)
        if not deleted:
            self._apply(key, item)
        elif _version_of(item) >= self._written.get(key, 0):
            self._drop(key)
        self.newest_version = max(self.newest_version, _version_of(item))
        self.advance(item["metadata"]["resourceVersion"])

    def advance(self, version: str) -> None:
        """Record the version that the watch has reached."""
        self.observed_version = _version_number(version)

    def record_write(self, item: Manifest) -> None:
        """Store an object as the API server returned it for our write."""
        key, version = key_of(item), _version_of(item)
        if key in self._writing:
            self._writing[key].written_version = version
        if version > self.observed_version and version > _version_of(self.objects.get(key)):
            self._written[key] = version
            self._put(key, item)

    @contextmanager
    def own_write(self, key: Key) -> Iterator[None]:
        """Hold back the changes of an object until our write has been recorded with `record_write`, or failed."""
        write = self._writing.setdefault(key, _Write())
        write.in_flight += 1
        try:
            yield
        finally:
            write.in_flight -= 1
            if not write.in_flight:
                del self._writing[key]
                self._notify_held(write)

    def _notify_held(self, write: _Write) -> None:
        held = [new for _, new in write.held]
        is_echo = len(held) == 1 and held[0] is not None and _version_of(held[0]) == write.written_version
        if held and not is_echo:
            self._on_change(write.held[0][0], held[-1])

    def _apply(self, key: Key, item: Manifest) -> None:
        if _version_of(item) < self._written.get(key, 0):
            return
        self._written.pop(key, None)
        if not _same(self.objects.get(key), item):
            self._changed(key, self._put(key, item), item)

    def _put(self, key: Key, item: Manifest) -> Manifest | None:
        _reduce_managed_fields(item["metadata"])
        old = self.objects.get(key)
        self.objects[key] = self._keep(item)
        self._on_store(old, item)
        return old

    def _drop(self, key: Key) -> None:
        self._written.pop(key, None)
        old = self.objects.pop(key, None)
        if old is not None:
            self._on_store(old, None)
            self._changed(key, old, None)

    def _changed(self, key: Key, old: Manifest | None, new: Manifest | None) -> None:
        if key in self._writing:
            self._writing[key].held.append((old, new))
        else:
            self._on_change(old, new)


def _reduce_managed_fields(metadata: Manifest) -> None:
    """Keep the managers of `spec.replicas` only: all others would be half of the bytes of the store."""
    entries = [each for each in metadata.pop("managedFields", None) or () if owns_replicas(each)]
    if entries:
        kept: Manifest = {"f:spec": {"f:replicas": {}}}
        metadata["managedFields"] = [{"manager": each.get("manager", ""), "fieldsV1": kept} for each in entries]


def key_of(manifest: Manifest) -> Key:
    """Return the namespace and the name of an object."""
    metadata = manifest["metadata"]
    return Key(metadata.get("namespace", ""), metadata["name"])


def key_of_change(old: Manifest | None, new: Manifest | None) -> Key:
    """Return the namespace and the name of an object that changed. At least one of the two is not None."""
    manifest = new if new is not None else old
    if manifest is None:
        raise ValueError("a change has an old or a new object")
    return key_of(manifest)


def identity(manifest: Manifest) -> Manifest:
    """Return the metadata that identifies an object, for a store with all other fields known elsewhere."""
    metadata = manifest["metadata"]
    return {"metadata": {name: metadata[name] for name in _IDENTITY if name in metadata}}


def _version_of(manifest: Manifest | None) -> int:
    return _version_number(manifest["metadata"].get("resourceVersion", "")) if manifest else 0


def _version_number(version: str) -> int:
    return int(version) if version.isdecimal() else 0


def _same(old: Manifest | None, new: Manifest) -> bool:
    names = ("uid", "resourceVersion")
    return old is not None and all(old["metadata"].get(name) == new["metadata"].get(name) for name in names)
