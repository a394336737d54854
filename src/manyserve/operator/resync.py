"""Now and then, another look at everything: whatever went wrong unseen is put right."""

from __future__ import annotations

import asyncio

from manyserve.cluster.known import Known
from manyserve.operator.queue import Queue

PERIOD = 600.0


async def resync(known: Known, queue: Queue, period: float = PERIOD) -> None:
    """Touch every host at each period until cancelled."""
    while True:
        await asyncio.sleep(period)
        queue.forget_idle()
        known.touch_all()
