"""Now and then, another look at everything: whatever went wrong unseen is put right.

What is known by then is set aside from the collector of garbage: it has no cycles, and to walk through twenty
thousand models in search of some stops the program for half a second (measured). It is freed all the same, when
nothing refers to it any more.
"""

from __future__ import annotations

import asyncio
import gc

from manyserve.cluster.state import ClusterState
from manyserve.operator.workqueue import WorkQueue

PERIOD = 600.0


async def resync(known: ClusterState, queue: WorkQueue, period: float = PERIOD) -> None:
    """Touch every host at each period until cancelled."""
    while True:
        gc.freeze()
        await asyncio.sleep(period)
        queue.prune()
        known.enqueue_all()
