"""One look at one host: observe, plan, apply.

The plan is made in a thread, from a picture that nobody changes any more: for tens of thousands of models it
takes longer than the watches, the agents and the probes should wait.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from functools import partial

from manyserve.api.names import Key
from manyserve.cluster.apply import Applier
from manyserve.cluster.errors import ClusterError
from manyserve.cluster.known import Known
from manyserve.cluster.lookups import Lookups
from manyserve.cluster.manners import Manners
from manyserve.cluster.observe import observe
from manyserve.cluster.surroundings import needed
from manyserve.cluster.wall import utc_now
from manyserve.operator.lulls import Lulls
from manyserve.operator.queue import Ran, Run
from manyserve.plan.actions import Plan
from manyserve.plan.observed import Observed
from manyserve.plan.pace import seconds_left
from manyserve.plan.plan import plan

Decide = Callable[[Observed, datetime], Plan]
_PLANNERS = ThreadPoolExecutor(2, thread_name_prefix="plan")
"""Each takes turns at Python with the event loop; two, so that a large host keeps no small one waiting."""


def _timed(decide: Decide, observed: Observed, moment: datetime) -> tuple[Plan, float]:
    """Return a plan, and the seconds of processor time that it took; how long it waited for others is not its fault."""
    began = time.thread_time()
    return decide(observed, moment), time.thread_time() - began


def reconciler(
    known: Known,
    applier: Applier,
    lookups: Lookups,
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
    leaving: dict[Key, datetime] = {}

    async def reconcile(key: Key) -> Ran:
        lookups.want(key, needed(known, key))
        observed = observe(known, key)
        if observed is None:
            return Ran()
        moment = now()
        work = partial(_timed, decide, dated(observed, moment), moment)
        todo, planning = await asyncio.get_running_loop().run_in_executor(_PLANNERS, work)
        todo = lulls.paced(key, todo, moment)
        try:
            await applier.carry_out(key, todo, manners(key))
        except ClusterError:
            lulls.failed(key)
            raise
        return Ran(todo.look_again_after, planning)

    def dated(observed: Observed, moment: datetime) -> Observed:
        """Return the picture with the time since which its host is seen to be gone, or on its way out."""
        service = observed.service
        if not observed.models or (service is not None and not service.metadata.deletion_timestamp):
            leaving.pop(observed.key, None)
            return observed
        return replace(observed, leaves_since=leaving.setdefault(observed.key, moment))

    def manners(key: Key) -> Manners:
        return Manners(partial(hurry, key), partial(lulls.leave, key), lulls.narrow, partial(lulls.later, key))

    def hurry(key: Key) -> bool:
        """Tell whether there is news, and `models.json` could be changed for it: then the rest can wait."""
        return is_due(key) and not seconds_left(lulls.around(key), now())

    return reconcile
