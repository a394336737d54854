"""Autoscaler: a decision about the copies of each model with traffic, every 5 s, on the leader only.

A homogeneous host with a metric of traffic has one decision, about its replicas. A host is enqueued when a number
changes. The traffic itself changes with each request, and so do the loads of shards.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from manyserve.api.inferenceservice import InferenceService
from manyserve.api.names import Key
from manyserve.api.names import deployment as deployment_name
from manyserve.api.trainedmodel import TrainedModel
from manyserve.cluster.state import ClusterState
from manyserve.operator.reconcile import IN_THREAD_FROM
from manyserve.plan.children.replicas import bounded_replicas, replicas_number
from manyserve.plan.observed import Child, Scaling
from manyserve.plan.pods import shard_of
from manyserve.plan.rules.allocation import serves_shards
from manyserve.plan.sharding.autoscale import Scaled, needs_traffic, scaled, scaled_replicas, stored_copies
from manyserve.plan.sharding.load import Samples, load_samples, loads_of
from manyserve.plan.sharding.scaling import ALL_MODELS, TICK
from manyserve.plan.sharding.traffic import Interval


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
        self._last: dict[Key, _Last] = {}

    async def run(self) -> None:
        """Decide once in each tick, until cancelled. A late tick does not move the later ones."""
        due = self._clock()
        try:
            while True:
                due = max(due + TICK, self._clock())
                await asyncio.sleep(due - self._clock())
                await self.tick()
        finally:
            self._last.clear()
            self._state.scaling.clear()

    async def tick(self) -> None:
        """Decide about all hosts that are scaled on traffic."""
        hosts = {key: host for key, host in self._state.hosts.items() if self._is_scaled(key, host)}
        for gone in self._last.keys() - hosts.keys():
            del self._last[gone]
            self._state.scaling.pop(gone, None)
        for key, host in hosts.items():
            await (self._scale_models(key, host) if host.spec.predictor.is_heterogeneous else self._scale(key, host))

    def _is_scaled(self, key: Key, host: InferenceService) -> bool:
        """Return whether a host is scaled on traffic. A homogeneous one may have the autoscaler of a user."""
        is_allowed = serves_shards() if host.spec.predictor.is_heterogeneous else not self._state.autoscalers.get(key)
        return is_allowed and needs_traffic(host)

    async def _scale_models(self, key: Key, host: InferenceService) -> None:
        """Decide about the models of a host; about many in a thread, as plans are made."""
        models, before = tuple(self._state.models.get(key, {}).values()), self._before(key, host)
        arguments = (host, models, self._readings(key), before, int(self._clock()))
        after = await asyncio.to_thread(_decided, *arguments) if len(models) >= IN_THREAD_FROM else _decided(*arguments)
        self._store(key, after, stored_copies(host, models) | _copies(before))

    async def _scale(self, key: Key, host: InferenceService) -> None:
        """Decide about the replicas of a homogeneous host with a Deployment."""
        deployment = self._state.children.get(key, {}).get(Child("Deployment", deployment_name(key.name)))
        if deployment is None:
            return
        before, replicas = self._before(key, host), bounded_replicas(host, replicas_number(deployment))
        intervals = (interval for _, interval in self._readings(key))
        after = scaled_replicas(host, replicas, intervals, before.scaled, int(self._clock()))
        self._store(key, _Last(host.metadata.uid, after, {}, {}), {ALL_MODELS: replicas} | _copies(before))

    def _before(self, key: Key, host: InferenceService) -> _Last:
        """Return the last decisions about a host; those of an earlier host of its name do not count."""
        last = self._last.get(key)
        return last if last is not None and last.uid == host.metadata.uid else _Last(host.metadata.uid, {}, {}, {})

    def _readings(self, key: Key) -> list[tuple[int, Interval]]:
        """Return the shard and the readings of each pod with known counters."""
        traffic, pods = self._state.traffic, self._state.replicas(key)
        return [(shard_of(pod) or 0, traffic[uid]) for pod in pods if (uid := pod["metadata"]["uid"]) in traffic]

    def _store(self, key: Key, after: _Last, copies: Mapping[str, int]) -> None:
        """Store the decisions about a host, and enqueue it if a number differs."""
        self._last[key] = after
        decisions = {name: each.decision for name, each in after.scaled.items()}
        self._state.scaling[key] = Scaling(decisions, after.loads, after.uid)
        if any(each != copies[name] for name, each in _copies(after).items()):
            self._enqueue(key)


class _Last(NamedTuple):
    """The last decisions about a host, with what the next ones need of the past."""

    uid: str
    scaled: Mapping[str, Scaled]
    samples: Samples
    loads: Mapping[int, int]


def _decided(
    host: InferenceService,
    models: Iterable[TrainedModel],
    readings: Sequence[tuple[int, Interval]],
    before: _Last,
    now: int,
) -> _Last:
    samples = load_samples(readings, before.samples, now)
    intervals = (interval for _, interval in readings)
    after = scaled(host, models, intervals, before.scaled, now)
    return _Last(before.uid, after, samples, loads_of(samples, now))


def _copies(last: _Last) -> dict[str, int]:
    return {name: each.decision.copies for name, each in last.scaled.items()}
