"""Which cached objects are managed: the live scope with its filter, and the cache of unmanaged objects.

The live scope has the namespaces in scope now. With a label selector every namespace is watched. The objects of a
namespace out of scope stay in the informers' stores and go no further. When its labels change, all of them enter or
leave the cluster state in one step.

Unmanaged objects are in the cluster state, each with its reason, and apart from the managed ones.
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
from manyserve.plan import management
from manyserve.plan.observed import UnmanagedHost


class Filter:
    """Passes on the changes of one informer that are in scope.

    Parameters
    ----------
    contains
        The predicate of the scope, by namespace.
    on_store, on_change
        Listeners, see `Store`.
    """

    def __init__(self, contains: Callable[[str], bool], on_store: Change, on_change: Change) -> None:
        self._contains = contains
        self._on_store = on_store
        self._on_change = on_change
        self._withheld: defaultdict[str, set[Key]] = defaultdict(set)

    def stored(self, old: Manifest | None, new: Manifest | None) -> None:
        """Pass on a change of the store, or record its object as withheld."""
        key = key_of_change(old, new)
        if self._contains(key.namespace):
            self._on_store(old, new)
        elif new is not None:
            self._withheld[key.namespace].add(key)
        else:
            self._discard(key)

    def changed(self, old: Manifest | None, new: Manifest | None) -> None:
        """Pass on a change that is not an echo of our own write."""
        if self._contains(key_of_change(old, new).namespace):
            self._on_change(old, new)

    def enter(self, namespace: str, objects: dict[Key, Manifest]) -> None:
        """Pass on the objects of a namespace as if they had been created now."""
        for key in self._withheld.pop(namespace, ()):
            self._on_store(None, objects[key])
            self._on_change(None, objects[key])

    def leave(self, namespace: str, objects: dict[Key, Manifest]) -> None:
        """Pass on the objects of a namespace as if they had been deleted now."""
        for key in [key for key in objects if key.namespace == namespace]:
            self._withheld[namespace].add(key)
            self._on_store(objects[key], None)
            self._on_change(objects[key], None)

    def _discard(self, key: Key) -> None:
        self._withheld[key.namespace].discard(key)
        if not self._withheld[key.namespace]:
            del self._withheld[key.namespace]

    def __len__(self) -> int:
        """Return the number of objects that are out of scope."""
        return sum(len(keys) for keys in self._withheld.values())


class LiveScope:
    """The namespaces in scope now. With a selector they follow the labels of the namespaces.

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
        """With a selector: the informer of the namespaces."""
        if scope.selector is not None:
            self.informers = (Informer(client, NAMESPACE, on_store=self.update_namespace, keep=identity),)

    def contains(self, namespace: str) -> bool:
        """Return whether a namespace is in scope. With a selector an unknown namespace is not."""
        if self._scope.selector is not None:
            return namespace in self._selected
        return not self._scope.namespaces or namespace in self._scope.namespaces

    def update_namespace(self, old: Manifest | None, new: Manifest | None) -> None:
        """Update the scope by the labels of a namespace. One that is being terminated is out of scope."""
        name, selector = key_of_change(old, new).name, self._scope.selector
        alive = new is not None and "deletionTimestamp" not in new["metadata"]
        labels = new["metadata"].get("labels") or {} if new is not None and alive else None
        inside = labels is not None and selector is not None and selector.matches(labels)
        if inside is (name in self._selected):
            return
        (self._selected.add if inside else self._selected.discard)(name)
        self._on_change(name, inside)


class UnmanagedObjects:
    """The unmanaged objects of the cluster by host, with the reason of each."""

    def __init__(self) -> None:
        self.hosts: dict[Key, UnmanagedHost] = {}
        self.models: defaultdict[Key, dict[str, management.Unmanaged]] = defaultdict(dict)
        """By the host that they name. Those that are placed stay placed."""
        self.announced: set[str] = set()
        """Uids of hosts for which the Warning event `NotManaged` was sent."""

    def update_host(self, key: Key, host: Manifest | None, why: management.Unmanaged | None) -> None:
        """Update the cache by a change of an InferenceService."""
        before = self.hosts.pop(key, None)
        if host is not None and why is not None:
            self.hosts[key] = UnmanagedHost(host["metadata"]["uid"], why)
        elif before is not None:
            self.announced.discard(before.uid)

    def count(self, kind: str, reason: str) -> int:
        """Return the number of objects of a kind that are unmanaged for a reason."""
        if kind == "InferenceService":
            return sum(each.why.reason == reason for each in self.hosts.values())
        return sum(each.reason == reason for models in self.models.values() for each in models.values())
