"""Cache of the webhook: hosts, the memory used on each, and the serving configuration.

Informers call `Cache` with each change as `(old, new)`. The cache keeps sums and parsed hosts, not objects, so that a
review costs a few dictionary reads. `View` is the read-only part that a review gets.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, field
from typing import Any

from manyserve.api.conditions import MEMORY_RESOURCE_AVAILABLE
from manyserve.api.inferenceservice import InferenceService
from manyserve.api.names import Key
from manyserve.api.servingconfig import ServingConfig
from manyserve.plan.capacity import LARGEST_SHOWN, top_consumers
from manyserve.plan.management import Unmanaged, host_unmanaged, model_unmanaged
from manyserve.plan.memory import MemoryShare, declared_bytes, total_limit
from manyserve.plan.rules.allocation import REPLICAS, serves_shards
from manyserve.plan.rules.validation import UnreadableError, parse_host
from manyserve.webhook.allocations import Allocation, Allocations
from manyserve.webhook.reservations import Reservations

Raw = Mapping[str, Any]


@dataclass(frozen=True)
class View:
    """Hosts, used memory and configuration at the time of a review."""

    config: ServingConfig
    hosts: Mapping[Key, InferenceService | None]
    """The value is None when the host exists and cannot be parsed."""
    placed: Allocations
    reserved: Allocations
    in_scope: Callable[[str], bool]
    """Whether a namespace is in scope."""
    unmanaged: Mapping[Key, Unmanaged] = field(default_factory=dict)
    """Unmanaged InferenceServices."""
    refuse_unmanaged: bool = True
    uids: Mapping[Key, str] = field(default_factory=dict)
    """uids of all InferenceServices, also of unmanaged and unreadable ones."""

    def used(self, host: Key, *, without: str = "") -> int:
        """Return the bytes that are used on a host, without the model with this uid."""
        total = self.placed.total(host) + self.reserved.total(host)
        waiting = self._waiting(host)
        of_others = [self.placed.get(uid) for uid in waiting]
        own = [None if without in waiting else self.placed.get(without), self.reserved.get(without)]
        return total - sum(each.memory for each in (*of_others, *own) if each and each.host == host)

    def largest_consumers(self, host: Key, *, without: str = "") -> str:
        """Return the number of models on a host and its largest ones, without the model with this uid."""
        placed, reserved = self.placed.allocations(host), self.reserved.allocations(host)
        both, excluded = placed.keys() & reserved.keys(), {without, *self._waiting(host)}
        needed = LARGEST_SHOWN + len(excluded)
        largest = {*self.placed.largest(host, needed), *self.reserved.largest(host, needed), *both} - excluded
        count = len(placed) + len(reserved) - len(both) - sum(uid in placed or uid in reserved for uid in excluded)
        return top_consumers([_sum_of(placed.get(uid), reserved.get(uid)) for uid in largest], count)

    def _waiting(self, host: Key) -> frozenset[str]:
        """Return the uids of models that are larger than their host. They wait, even before their status says so."""
        parsed = self.hosts.get(host)
        return frozenset(self.placed.larger(host, total_limit(parsed)) if parsed else ())

    def frameworks(self, host: Key) -> Set[str]:
        """Return the frameworks of the models on a host."""
        return self.placed.frameworks(host)


class Cache:
    """State behind `View`. Its methods are the callbacks of the informers."""

    def __init__(
        self, reservations: Reservations, config: ServingConfig | None = None, *, refuse_unmanaged: bool = True
    ) -> None:
        self.config = config or ServingConfig()
        self._refuse_unmanaged = refuse_unmanaged
        self._unmanaged: dict[Key, Unmanaged] = {}
        self._uids: dict[Key, str] = {}
        self.reservations = reservations
        self.in_scope: Callable[[str], bool] = lambda _namespace: True
        """Whether a namespace is in scope."""
        self._hosts: dict[Key, InferenceService | None] = {}
        self._placed = Allocations()

    def view(self) -> View:
        """Return the current view."""
        self.reservations.expire()
        return View(
            self.config,
            self._hosts,
            self._placed,
            self.reservations.allocations,
            self.in_scope,
            self._unmanaged,
            self._refuse_unmanaged,
            self._uids,
        )

    def host_changed(self, old: Raw | None, new: Raw | None) -> None:
        """Update the cache with a host that was created, changed or deleted."""
        key = _key(old if new is None else new)
        self._hosts.pop(key, None)
        self._unmanaged.pop(key, None)
        self._uids.pop(key, None)
        if new is None:
            return
        self._uids[key] = _uid(new)
        unmanaged = host_unmanaged(new)
        if unmanaged is not None:
            self._unmanaged[key] = unmanaged
            return
        try:
            self._hosts[key] = parse_host(new)
        except UnreadableError:
            self._hosts[key] = None

    def model_changed(self, old: Raw | None, new: Raw | None) -> None:
        """Update the cache with a model that was created, changed, moved or deleted."""
        if old is not None and (new is None or _uid(old) != _uid(new)):
            self._placed.drop(_uid(old))
            self.reservations.release(_uid(old))
        if new is None:
            return
        uid, allocation = _uid(new), allocation_of(new)
        before = self._placed.get(uid)
        self._placed.drop(uid)
        if allocation is not None:
            self._placed.put(uid, allocation)
            grown = allocation.memory - (before.memory if before and before.host == allocation.host else 0)
            self.reservations.confirm(uid, allocation.host, grown)


def allocation_of(raw: Raw) -> Allocation | None:
    """Return a model's allocation; None when it waits for memory, is being deleted, unmanaged or unreadable."""
    if model_unmanaged(raw) is not None:
        return None
    try:
        spec, metadata = raw["spec"], raw["metadata"]
        model = spec["model"]
        if metadata.get("deletionTimestamp") or _waits_for_memory(raw):
            return None
        names = (spec["inferenceService"], model["framework"])
        if not all(isinstance(each, str) for each in names):
            return None  # another CRD than this project's accepted the object
        host = Key(metadata["namespace"], names[0])
        memory = declared_bytes(model["memory"]) * _copies(spec)
        return Allocation(host, names[1], MemoryShare(metadata["name"], memory))
    except (KeyError, TypeError, AttributeError, ValueError):
        return None


def _copies(spec: Raw) -> int:
    """Return the fewest copies of a model; a value that breaks the rules, or that no host can serve, counts as 1."""
    least = spec.get("minReplicas") if serves_shards() else None
    return least if isinstance(least, int) and REPLICAS[0] <= least <= REPLICAS[1] else 1


def _sum_of(*allocations: Allocation | None) -> MemoryShare:
    """Return the sum of a model's allocations."""
    shares = [allocation.share for allocation in allocations if allocation]
    return MemoryShare(shares[-1].model, sum(share.memory for share in shares))


def _waits_for_memory(raw: Raw) -> bool:
    conditions = (raw.get("status") or {}).get("conditions") or ()
    return any(each["type"] == MEMORY_RESOURCE_AVAILABLE and each["status"] == "False" for each in conditions)


def _key(raw: Raw | None) -> Key:
    metadata = (raw or {}).get("metadata", {})
    return Key(metadata.get("namespace", ""), metadata.get("name", ""))


def _uid(raw: Raw) -> str:
    metadata = raw.get("metadata", {})
    return str(metadata.get("uid") or f"{metadata.get('namespace')}/{metadata.get('name')}")
