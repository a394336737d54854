"""Routes: which address has which models, by bucket, with a version of each bucket. Pure.

A revision of an agent is *seen* when Envoy has acknowledged the versions of all buckets that the revision changed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet

from manyserve.router.buckets import BUCKETS, bucket_of

Versions = Mapping[int, int]
"""Version by bucket."""


class RouteMap:
    """Loaded models by bucket and address."""

    def __init__(self) -> None:
        self._buckets: list[dict[str, set[str]]] = [{} for _ in range(BUCKETS)]
        self._addresses: dict[str, set[str]] = {}
        """Addresses by model."""
        self.versions = [1] * BUCKETS

    def replace(self, address: str, before: AbstractSet[str], after: AbstractSet[str]) -> Versions:
        """Change the models of an address. Return the new versions of the buckets that changed."""
        for model in before - after:
            self._remove(address, model)
        for model in after - before:
            self._buckets[bucket_of(model)].setdefault(address, set()).add(model)
            self._addresses.setdefault(model, set()).add(address)
        changed = {bucket_of(model) for model in before ^ after}
        for bucket in changed:
            self.versions[bucket] += 1
        return {bucket: self.versions[bucket] for bucket in changed}

    def _remove(self, address: str, model: str) -> None:
        models = self._buckets[bucket_of(model)]
        models[address].discard(model)
        if not models[address]:
            del models[address]
        self._addresses[model].discard(address)
        if not self._addresses[model]:
            del self._addresses[model]

    def endpoints(self, bucket: int) -> Mapping[str, Collection[str]]:
        """Return the models of a bucket by address."""
        return self._buckets[bucket]

    @property
    def models(self) -> Collection[str]:
        """Names of all models with an endpoint."""
        return self._addresses.keys()


class Progress:
    """Revisions of one agent that Envoy has not acknowledged yet, the oldest first."""

    def __init__(self) -> None:
        self._steps: deque[tuple[int, Versions]] = deque()

    def add(self, revision: int, versions: Versions) -> None:
        """Add a revision that needs these versions."""
        self._steps.append((revision, versions))

    def advance(self, acknowledged: Sequence[int]) -> int | None:
        """Drop the acknowledged revisions at the front. Return the newest of them."""
        seen = None
        while self._steps and all(acknowledged[bucket] >= need for bucket, need in self._steps[0][1].items()):
            seen, _ = self._steps.popleft()
        return seen
