"""Cache of the unmanaged objects, with the reason of each, and of the hosts that this was announced for."""

from __future__ import annotations

from collections import defaultdict

from manyserve.api.names import Key
from manyserve.cluster.store import Manifest
from manyserve.plan import management
from manyserve.plan.observed import UnmanagedHost


class UnmanagedObjects:
    """The unmanaged objects of the cluster, by host."""

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
