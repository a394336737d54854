"""The live scope: which namespaces are in scope now, and which cached objects the cluster state may know.

With a label selector every namespace is watched. The objects of a namespace out of scope stay in the informers'
caches and go no further. When its labels change, all of them enter or leave the cluster state in one step.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

from manyserve.api.names import Key
from manyserve.api.scope import Scope
from manyserve.cluster.client import KubeClient
from manyserve.cluster.informer import Informer
from manyserve.cluster.kinds import NAMESPACE
from manyserve.cluster.store import Change, Manifest, identity, key_of_change


class Filter:
    """Passes on the changes of one informer that are in scope.

    Parameters
    ----------
    contains
        The predicate of the scope, by namespace.
    on_store, on_change
        What gets the changes, see `Copy`.
    """

    def __init__(self, contains: Callable[[str], bool], on_store: Change, on_change: Change) -> None:
        self._contains = contains
        self._on_store = on_store
        self._on_change = on_change
        self._withheld: defaultdict[str, set[Key]] = defaultdict(set)

    def stored(self, old: Manifest | None, new: Manifest | None) -> None:
        """Pass on a change of the cache, or note which object is withheld."""
        key = key_of_change(old, new)
        if self._contains(key.namespace):
            self._on_store(old, new)
        elif new is not None:
            self._withheld[key.namespace].add(key)
        else:
            self._gone(key)

    def changed(self, old: Manifest | None, new: Manifest | None) -> None:
        """Pass on a change that is not an echo of our own write."""
        if self._contains(key_of_change(old, new).namespace):
            self._on_change(old, new)

    def enter(self, namespace: str, objects: dict[Key, Manifest]) -> None:
        """Pass on the cached objects of a namespace as if they had been created now."""
        for key in self._withheld.pop(namespace, ()):
            self._on_store(None, objects[key])
            self._on_change(None, objects[key])

    def leave(self, namespace: str, objects: dict[Key, Manifest]) -> None:
        """Pass on the cached objects of a namespace as if they had been deleted now."""
        for key in [key for key in objects if key.namespace == namespace]:
            self._withheld[namespace].add(key)
            self._on_store(objects[key], None)
            self._on_change(objects[key], None)

    def _gone(self, key: Key) -> None:
        self._withheld[key.namespace].discard(key)
        if not self._withheld[key.namespace]:
            del self._withheld[key.namespace]

    def __len__(self) -> int:
        """Return how many cached objects are out of scope."""
        return sum(len(keys) for keys in self._withheld.values())


class LiveScope:
    """Which namespaces are in scope now; with a selector that follows the labels of the namespaces.

    Parameters
    ----------
    on_change
        Called with a namespace that has just entered the scope (True) or left it (False).
    """

    def __init__(
        self, client: KubeClient, scope: Scope, on_change: Callable[[str, bool], None] = lambda _name, _inside: None
    ) -> None:
        self._scope = scope
        self._on_change = on_change
        self._selected: set[str] = set()
        self.informers: tuple[Informer, ...] = ()
        """The informer of the namespaces, when their labels matter."""
        if scope.selector is not None:
            self.informers = (Informer(client, NAMESPACE, on_store=self.namespace_stored, keep=identity),)

    def contains(self, namespace: str) -> bool:
        """Return whether a namespace is in scope; with a selector one that is not known yet is not."""
        if self._scope.selector is not None:
            return namespace in self._selected
        return not self._scope.namespaces or namespace in self._scope.namespaces

    def namespace_stored(self, old: Manifest | None, new: Manifest | None) -> None:
        """Take over the labels of a namespace."""
        name, selector = key_of_change(old, new).name, self._scope.selector
        labels = new["metadata"].get("labels") or {} if new is not None else None
        inside = labels is not None and selector is not None and selector.matches(labels)
        if inside is (name in self._selected):
            return
        (self._selected.add if inside else self._selected.discard)(name)
        self._on_change(name, inside)
