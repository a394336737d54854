"""Periodic resync: reconcile all hosts, in case an event was lost unnoticed.

Before each period all live objects are frozen, so that the garbage collector skips them. They hold no cycles, and a
collection over 20,000 models stops the process for half a second (measured). References still free them.
"""

from __future__ import annotations

import asyncio
import gc

from manyserve.cluster.state import ClusterState
from manyserve.operator.queue import Queue

PERIOD = 600.0
"""Seconds."""


async def resync(known: ClusterState, queue: Queue, period: float = PERIOD) -> None:
    """Enqueue every host once in each period, until cancelled."""
    while True:
        gc.freeze()
        await asyncio.sleep(period)
        queue.forget_idle()
        known.enqueue_all()
