"""Index of the hosts by their host name outside the cluster, over all namespaces.

The names depend on the configuration. The index is built when a host is first observed with a configuration, and then
updated by each change of a host.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from manyserve.api.inferenceservice import InferenceService
from manyserve.api.names import Key
from manyserve.api.servingconfig import IngressConfig
from manyserve.plan.hostname import exposed_hostname


class Hostnames:
    """The hosts of each host name."""

    def __init__(self) -> None:
        self._ingress: IngressConfig | None = None
        self._entries: dict[Key, tuple[str, str]] = {}
        """Host name and uid of each exposed host."""
        self._keys: defaultdict[str, set[Key]] = defaultdict(set)

    def others(self, key: Key, hosts: Mapping[Key, InferenceService], ingress: IngressConfig) -> frozenset[Key]:
        """Return the other hosts with the host name of this one."""
        if self._ingress != ingress:
            self._build(hosts, ingress)
        entry = self._entries.get(key)
        return frozenset(self._keys[entry[0]] - {key}) if entry else frozenset()

    def update(self, key: Key, host: InferenceService | None) -> frozenset[Key]:
        """Update the entry of a host. Return the other hosts of its old and new names, if they changed."""
        if self._ingress is None:
            return frozenset()
        before, after = self._entries.pop(key, None), self._entry(host, self._ingress)
        others = self._remove(key, before[0]) if before else set()
        if after:
            self._entries[key] = after
            others |= self._keys[after[0]]
            self._keys[after[0]].add(key)
        return frozenset(others) if before != after else frozenset()

    def _remove(self, key: Key, name: str) -> set[Key]:
        """Remove a host from those of a name, and return the others. A name without hosts has no entry."""
        self._keys[name].discard(key)
        return set(self._keys[name]) if self._keys[name] else self._keys.pop(name)

    def _build(self, hosts: Mapping[Key, InferenceService], ingress: IngressConfig) -> None:
        self._ingress = ingress
        self._entries.clear()
        self._keys.clear()
        for key, host in hosts.items():
            self.update(key, host)

    @staticmethod
    def _entry(host: InferenceService | None, ingress: IngressConfig) -> tuple[str, str] | None:
        name = exposed_hostname(host, ingress) if host else None
        return (name, host.metadata.uid) if host and name else None
