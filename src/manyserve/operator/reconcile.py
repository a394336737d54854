"""One look at one host: observe, plan, apply."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial

from manyserve.api import names
from manyserve.api.names import Key
from manyserve.cluster.apply import Applier
from manyserve.cluster.clock import utc_now
from manyserve.cluster.errors import ClusterError
from manyserve.cluster.manners import Manners
from manyserve.cluster.metadata_poller import MetadataPoller
from manyserve.cluster.observe import observe, required_lookups
from manyserve.cluster.state import ClusterState
from manyserve.operator.lulls import Lulls
from manyserve.operator.planner import Decide, Planner, Seen
from manyserve.operator.queue import Ran, Run
from manyserve.plan.model_config import entries_at_most
from manyserve.plan.observed import Child
from manyserve.plan.pace import seconds_left
from manyserve.plan.plan import plan

IN_A_CROWD = 2
"""Times what it took counts a plan while users ask much, who need the processor too; when they make a pause, none."""


def reconciler(
    known: ClusterState,
    applier: Applier,
    lookups: MetadataPoller,
    lulls: Lulls,
    decide: Decide = plan,
    now: Callable[[], datetime] = utc_now,
    is_due: Callable[[Key], bool] = lambda _key: False,
) -> Run:
    """Return the function that looks at one host and makes it as it should be.

    Parameters
    ----------
    is_due
        Tells whether it is the turn of a host that runs once more: there has been news, and its gap is over.
    """
    planner = Planner(decide)

    async def reconcile(key: Key) -> Ran:
        lookups.set_required(key, required_lookups(known, key))
        made = await planner.make(partial(look, key), size(key))
        if made is None:
            return Ran()
        todo = lulls.paced(key, made.todo, made.moment)
        try:
            await applier.carry_out(key, todo, manners(key))
        except ClusterError:
            lulls.failed(key)
            raise
        return Ran(todo.requeue_after, made.seconds * (IN_A_CROWD if lulls.narrow() else 1))

    def size(key: Key) -> int:
        """Return the models to plan for: those that there are, or that may stand in `models.json`."""
        config_map = known.children.get(key, {}).get(Child("ConfigMap", names.model_config(key.name)))
        return max(len(known.models.get(key, ())), entries_at_most(config_map))

    def look(key: Key) -> Seen | None:
        observed, moment = observe(known, key), now()
        return Seen(observed, moment) if observed else None

    def manners(key: Key) -> Manners:
        return Manners(partial(hurry, key), lulls.narrow, partial(lulls.later, key))

    def hurry(key: Key) -> bool:
        """Tell whether there is news, and `models.json` could be changed for it: then the rest can wait."""
        return is_due(key) and not seconds_left(lulls.around(key), now())

    return reconcile
