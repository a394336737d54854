"""Reconciles one host: observe, plan, apply.

Plans for many models are made in a thread, and those for few in the event loop, one plan per iteration. A large plan
would block the loop. Of a hundred small ones, threads that take turns at the GIL would cost it more time.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial

from manyserve.api.names import Key
from manyserve.cluster.apply import Applier
from manyserve.cluster.clock import utc_now
from manyserve.cluster.metadata_poller import MetadataPoller
from manyserve.cluster.observe import observe, required_lookups, size
from manyserve.cluster.state import ClusterState
from manyserve.operator.debounce import Debouncer
from manyserve.operator.workqueue import Result
from manyserve.plan.actions import Plan
from manyserve.plan.observed import Observed
from manyserve.plan.plan import forget, plan

Decide = Callable[[Observed, datetime], Plan]
IN_THREAD_FROM = 200  # models; a plan for fewer takes a few milliseconds
_THREAD = ThreadPoolExecutor(1, thread_name_prefix="plan")  # one: two would only take turns at the GIL


class Planner:
    """Makes plans with `decide`."""

    def __init__(self, decide: Decide = plan, now: Callable[[], datetime] = utc_now) -> None:
        self._decide = decide
        self.now = now
        self._lock = asyncio.Lock()

    async def make(self, observe: Callable[[], Observed | None], models: int) -> tuple[Plan, float] | None:
        """Return the plan of a host with about so many models, and the seconds of processor time that it took."""
        if models >= IN_THREAD_FROM:
            observed, loop = observe(), asyncio.get_running_loop()
            return await loop.run_in_executor(_THREAD, self._plan, observed) if observed else None
        async with self._lock:
            planned = self._plan(observed) if (observed := observe()) else None
            await asyncio.sleep(0)
            return planned

    def _plan(self, observed: Observed) -> tuple[Plan, float]:
        began = time.thread_time()
        return self._decide(observed, self.now()), time.thread_time() - began


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
        defer, written = self._debouncer.take(key) > 0, False
        try:
            planned = await self._planner.make(partial(observe, self._state, key), size(self._state, key))
            if planned is None:
                forget(key)
                return Result()
            todo, seconds = planned
            await self._applier.apply(key, todo, defer_config=defer and todo.changes_config)
            written = todo.changes_config and not defer
        finally:
            if not (defer or written):
                self._debouncer.cancel(key)
        if defer and todo.changes_config:
            self._debouncer.defer(key)  # which adds the host again, so time alone does not
            return Result(planning=seconds)
        return Result(todo.requeue_after, seconds)
