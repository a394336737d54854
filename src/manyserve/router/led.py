"""Models that a router leads: those with an endpoint that Envoy has acknowledged. Pure.

A model that is led stays so while it has an endpoint, whatever other models of its bucket wait for an acknowledgement.
"""

from __future__ import annotations

from collections.abc import Sequence

from manyserve.router.buckets import BUCKETS
from manyserve.router.routes import RouteMap


class Led:
    """The models by bucket, with a revision that changes with them."""

    def __init__(self) -> None:
        self.revision = 0
        self._buckets: list[frozenset[str]] = [frozenset()] * BUCKETS
        self._done: list[tuple[int, bool]] = [(0, False)] * BUCKETS
        """Version of each bucket at the last update, and whether Envoy had acknowledged it."""

    def update(self, routes: RouteMap, acknowledged: Sequence[int]) -> None:
        """Put the routes in force that Envoy has acknowledged, by bucket."""
        for bucket, version in enumerate(routes.versions):
            done = version, acknowledged[bucket] >= version
            if done != self._done[bucket]:
                self._done[bucket] = done
                self._set(bucket, frozenset().union(*routes.endpoints(bucket).values()), is_acknowledged=done[1])

    def _set(self, bucket: int, models: frozenset[str], *, is_acknowledged: bool) -> None:
        before = self._buckets[bucket]
        after = models if is_acknowledged else models & before
        if after != before:
            self._buckets[bucket] = after
            self.revision += 1

    @property
    def models(self) -> frozenset[str]:
        """Names of all models that are led."""
        return frozenset().union(*self._buckets)
