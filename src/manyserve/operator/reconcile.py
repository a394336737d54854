"""One look at one host: observe, plan, apply."""

from __future__ import annotations

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

    async def reconcile(key: Key) -> float | None:
        lookups.want(key, needed(known, key))
        observed = observe(known, key)
        if observed is None:
            return None
        todo = decide(observed, now())
        await applier.carry_out(key, todo)
        return todo.look_again_after

    return reconcile
