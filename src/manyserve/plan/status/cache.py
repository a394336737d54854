"""Cache of the statuses of settled models: their inputs, once the computed status was the stored one.

Statuses take half of a plan for thousands of models, and a plan in a burst changes a tenth of them. A stored status is
valid while the model, its entry, its agents' reports and all that the host's models share are the same.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from manyserve.api.names import Key
from manyserve.api.trainedmodel import TrainedModel, TrainedModelStatus
from manyserve.plan.placement import Placement
from manyserve.plan.status.model import HostContext, model_status

MAX_HOSTS = 1000
_Inputs = tuple[object, ...]
"""A model, its entry, and its report of each replica."""


@dataclass(frozen=True)
class _Settled:
    """The inputs of the settled models of a host, by name."""

    shared: _Inputs
    models: Mapping[str, _Inputs]


@dataclass
class StatusCache:
    """Cache of settled models by the host's key; the host that was planned first is evicted first."""

    max_hosts: int = MAX_HOSTS
    _hosts: dict[Key, _Settled] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def statuses(self, context: HostContext, now: datetime) -> list[tuple[TrainedModel, TrainedModelStatus]]:
        """Return each model of a host with its status; it is the stored object when nothing changed."""
        key, shared, errors = context.observed.key, _shared(context), _with_errors(context.placement)
        before = self._hosts.get(key)
        known = before.models if before is not None and before.shared == shared else {}
        reports = [replica.report.models if replica.report else {} for replica in context.replicas]
        settled: dict[str, _Inputs] = {}
        statuses: list[tuple[TrainedModel, TrainedModelStatus]] = []
        for model in context.observed.models:
            name = model.metadata.name
            inputs = known.get(name, ())
            now_given = (model, context.placement.placed.get(name), *[models.get(name) for models in reports])
            if not inputs or inputs[0] is not model or inputs != now_given or name in errors:
                inputs, status = now_given, model_status(model, context, now)
            else:
                status = model.status
            statuses.append((model, status))
            if status is model.status and inputs[1] is not None and name not in errors:
                settled[name] = inputs
        self._insert(key, _Settled(shared, settled))
        return statuses

    def drop(self, key: Key) -> None:
        """Drop a host that is gone."""
        with self._lock:  # large hosts are planned in a thread
            self._hosts.pop(key, None)

    def _insert(self, key: Key, settled: _Settled) -> None:
        with self._lock:
            self._hosts[key] = settled
            while len(self._hosts) > self.max_hosts:
                del self._hosts[next(iter(self._hosts))]


STATUS_CACHE = StatusCache()


def _shared(context: HostContext) -> _Inputs:
    """Return the inputs that the statuses of a host's placed models share."""
    host, observed = context.host, context.observed
    replicas = [
        (each.name, each.ready, each.claims, each.report and (each.report.server_ready, each.report.config_error))
        for each in context.replicas
    ]
    claims = (dict(observed.claims), dict(observed.refused_claims), observed.unverified_claims)
    of_host = (host.metadata.name, host.metadata.uid, host.spec, observed.config)
    return (*of_host, context.is_multi_model, context.is_ready, context.url_parts, replicas, *claims)


def _with_errors(placement: Placement) -> frozenset[str]:
    """Return the models with a sentence about their placement."""
    sentences = (placement.invalid, placement.insufficient_memory, placement.left_out, placement.waiting_for_unload)
    return frozenset().union(*sentences)
