"""Autoscaler: a decision about the copies of each model with traffic, every 5 s, on the leader only.

A host is enqueued when the copies of a model change. The traffic itself changes with each request.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping

from manyserve.api.inferenceservice import InferenceService
from manyserve.api.names import Key
from manyserve.cluster.state import ClusterState
from manyserve.operator.reconcile import IN_THREAD_FROM
from manyserve.plan.rules.allocation import serves_shards
from manyserve.plan.sharding.autoscale import Scaled, scaled, stored_copies
from manyserve.plan.sharding.scaling import TICK


class Autoscaler:
    """Keeps `scaling` of the cluster state up to date.

    Parameters
    ----------
    enqueue
        Called with each host with a changed number of copies.
    clock
        Seconds of a monotonic clock.
    """

    def __init__(
        self, state: ClusterState, enqueue: Callable[[Key], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._state = state
        self._enqueue = enqueue
        self._clock = clock
        self._scaled: dict[Key, Mapping[str, Scaled]] = {}

    async def run(self) -> None:
        """Decide once in each tick, until cancelled. A late tick does not move the later ones."""
        due = self._clock()
        try:
            while True:
                due = max(due + TICK, self._clock())
                await asyncio.sleep(due - self._clock())
                await self.tick()
        finally:
            self._scaled.clear()
            self._state.scaling.clear()

    async def tick(self) -> None:
        """Decide about the models of all heterogeneous hosts."""
        hosts = dict(self._state.hosts) if serves_shards() else {}
        heterogeneous = {key: host for key, host in hosts.items() if host.spec.predictor.is_heterogeneous}
        for gone in self._scaled.keys() - heterogeneous.keys():
            del self._scaled[gone]
            self._state.scaling.pop(gone, None)
        for key, host in heterogeneous.items():
            await self._update(key, host)

    async def _update(self, key: Key, host: InferenceService) -> None:
        """Decide about the models of a host; about many in a thread, as plans are made."""
        models, before = tuple(self._state.models.get(key, {}).values()), self._scaled.get(key, {})
        uids = (pod["metadata"]["uid"] for pod in self._state.replicas(key))
        intervals = [self._state.traffic[uid] for uid in uids if uid in self._state.traffic]
        arguments = (host, models, intervals, before, int(self._clock()))
        after = await asyncio.to_thread(scaled, *arguments) if len(models) >= IN_THREAD_FROM else scaled(*arguments)
        self._scaled[key] = after
        self._state.scaling[key] = {name: each.decision for name, each in after.items()}
        copies = stored_copies(host, models) | _copies(before)
        if any(each != copies[name] for name, each in _copies(after).items()):
            self._enqueue(key)


def _copies(decisions: Mapping[str, Scaled]) -> dict[str, int]:
    return {name: each.decision.copies for name, each in decisions.items()}
