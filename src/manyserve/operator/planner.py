"""Where plans are made: for many models in a thread, for few between two turns of the event loop.

For tens of thousands of models a plan takes longer than the watches, the agents and the probes should wait. A hundred
hosts with few models each, that are due together, are planned one a turn instead: threads would take from the loop,
each time that it lets go of Python for a moment, more time than all these plans need.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime

from manyserve.plan.actions import Plan
from manyserve.plan.observed import Observed

Decide = Callable[[Observed, datetime], Plan]
MANY = 200
"""Models; to plan for fewer takes a few milliseconds."""
_THREADS = ThreadPoolExecutor(2, thread_name_prefix="plan")
"""Each takes turns at Python with the event loop; two, so that a large host keeps no small one waiting."""


@dataclass(frozen=True)
class Seen:
    """A picture that nobody changes any more, and when it was taken."""

    observed: Observed
    moment: datetime


@dataclass(frozen=True)
class Planned:
    """A plan, and when its picture was taken."""

    todo: Plan
    moment: datetime
    seconds: float
    """Of processor time that it took; how long it waited for others is not its fault."""


class Planner:
    """Makes plans."""

    def __init__(self, decide: Decide) -> None:
        self._decide = decide
        self._turn = asyncio.Lock()

    async def make(self, look: Callable[[], Seen | None], models: int) -> Planned | None:
        """Return the plan for what is seen when it is its turn, of about so many models; None when nothing is.

        `models` counts those that may stand in `models.json`, too: to read it is a part of the plan.
        """
        if models < MANY:
            async with self._turn:
                seen = look()
                made = self._plan(seen) if seen else None
                await asyncio.sleep(0)
                return made
        seen = look()
        return await asyncio.get_running_loop().run_in_executor(_THREADS, self._plan, seen) if seen else None

    def _plan(self, seen: Seen) -> Planned:
        began = time.thread_time()
        todo = self._decide(seen.observed, seen.moment)
        return Planned(todo, seen.moment, time.thread_time() - began)
