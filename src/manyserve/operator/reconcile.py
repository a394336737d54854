"""One look at one host: observe, plan, apply.

The plan is made in a thread, from a picture that nobody changes any more: for tens of thousands of models it
takes longer than the watches, the agents and the probes should wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

from manyserve.api.names import Key
from manyserve.cluster.apply import Applier
from manyserve.cluster.known import Known
from manyserve.cluster.lookups import Lookups
from manyserve.cluster.observe import observe
from manyserve.cluster.surroundings import needed
from manyserve.operator.queue import Run
from manyserve.plan.actions import Plan
from manyserve.plan.observed import Observed
from manyserve.plan.pace import hold_back
from manyserve.plan.plan import plan


def utc_now() -> datetime:
    """Return the time on the wall."""
    return datetime.now(UTC)


def reconciler(
    known: Known,
    applier: Applier,
    lookups: Lookups,
    decide: Callable[[Observed, datetime], Plan] = plan,
    now: Callable[[], datetime] = utc_now,
) -> Run:
    """Return the function that looks at one host and makes it as it should be."""
    written: dict[Key, datetime] = {}

    async def reconcile(key: Key) -> float | None:
        lookups.want(key, needed(known, key))
        observed = observe(known, key)
        if observed is None:
            return None
        moment = now()
        todo = await asyncio.to_thread(decide, observed, moment)
        todo = hold_back(todo, written.get(key), moment)
        await applier.carry_out(key, todo)
        if observed.service is None:
            written.pop(key, None)
        elif todo.config is not None and todo.config.resource_version is not None:
            written[key] = moment
        return todo.look_again_after

    return reconcile
