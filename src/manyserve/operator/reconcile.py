"""Reconciles one host: observe, plan, apply."""

from __future__ import annotations

from functools import partial

from manyserve.api.names import Key
from manyserve.cluster.apply import Applier
from manyserve.cluster.metadata_poller import MetadataPoller
from manyserve.cluster.observe import observe, required_lookups, size
from manyserve.cluster.state import ClusterState
from manyserve.operator.debounce import Debouncer
from manyserve.operator.planner import Planner
from manyserve.operator.workqueue import Result


class Reconciler:
    """Makes hosts as they should be."""

    def __init__(
        self, state: ClusterState, applier: Applier, poller: MetadataPoller, debouncer: Debouncer, planner: Planner
    ) -> None:
        self._state = state
        self._applier = applier
        self._poller = poller
        self._debouncer = debouncer
        self._planner = planner

    async def reconcile(self, key: Key) -> Result:
        """Make a host as it should be; its `models.json` only when the debouncer lets it. Raises `ClusterError`."""
        self._poller.set_required(key, required_lookups(self._state, key))
        defer = self._debouncer.take(key) > 0
        made = await self._planner.make(partial(observe, self._state, key), size(self._state, key))
        if made is None:
            return Result()
        todo, seconds = made
        await self._applier.apply(key, todo, defer_config=defer and todo.changes_config)
        if todo.changes_config:
            (self._debouncer.defer if defer else self._debouncer.on_write)(key)
        return Result(todo.requeue_after, seconds)
