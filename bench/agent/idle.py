"""The cost of an idle agent with all models loaded."""

from __future__ import annotations

import time

from bench.agent.figures import figure
from bench.agent.models import LIMIT, names
from bench.agent.pod import cpu_seconds, entry, seconds_until, stage

_CALM_SECONDS = 3.0


def measure(count: int = 2000, seconds: float = 60.0) -> dict[str, object]:
    """Load so many models, then look at the processor for so many seconds."""
    with stage() as place:
        place.write(map(entry, names(count)))
        agent = place.start()
        seconds_until(lambda: place.ready() == count and place.loaded() == count, "all are loaded", LIMIT, agent)
        time.sleep(_CALM_SECONDS)
        before, began = cpu_seconds(agent.pid), time.monotonic()
        time.sleep(seconds)
        share = (cpu_seconds(agent.pid) - before) / (time.monotonic() - began)
        loads = place.calls()["load"]
    return {
        f"{count} models, idle: processor": figure(100 * share, "% of one", below=1),
        f"{count} models, idle: loads that nobody asked for": figure(loads - count, "loads", exactly=0),
    }
