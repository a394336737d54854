"""What the operator's process takes, and what it counts: read from outside, while it works."""

from __future__ import annotations

import asyncio
import os
import re
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.programs import Program, read

_SAMPLE = re.compile(r"^manyserve_(\w+?)(?:_total)?(?:\{([^}]*)\})? ([0-9.e+-]+)$", re.MULTILINE)
_TICKS = os.sysconf("SC_CLK_TCK")
LOOK = 0.25


@dataclass
class Meter:
    """Looks at a running operator four times a second."""

    program: Program
    worst_lag: float = 0.0
    most_memory: float = 0.0
    _looking: asyncio.Task[None] | None = field(default=None, repr=False)

    async def __aenter__(self) -> Meter:
        self._looking = asyncio.create_task(self._look())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._looking is not None:
            self._looking.cancel()
            with suppress(asyncio.CancelledError):
                await self._looking

    def cpu(self) -> float:
        """Return the seconds of processor time until now."""
        fields = Path(f"/proc/{self.program.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def memory(self) -> float:
        """Return the resident MB."""
        status = Path(f"/proc/{self.program.process.pid}/status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) / 1024

    def counts(self) -> dict[tuple[str, str], float]:
        """Return what the operator counts, by metric and labels."""
        return {(name, labels): float(value) for name, labels, value in _SAMPLE.findall(read(self._port, "/metrics"))}

    def writes(self) -> dict[str, int]:
        """Return the writes that succeeded, by kind and verb."""
        found = {labels: int(value) for (name, labels), value in self.counts().items() if name == "writes"}
        return {" ".join(re.findall(r'"([^"]*)"', labels)): value for labels, value in found.items() if value}

    def runs(self) -> int:
        """Return how often hosts were looked at."""
        return int(sum(value for (name, _), value in self.counts().items() if name == "reconcile_runs"))

    @property
    def _port(self) -> int:
        return self.program.metrics

    async def _look(self) -> None:
        while True:
            counts = await asyncio.to_thread(self.counts)
            self.worst_lag = max(self.worst_lag, counts.get(("event_loop_lag_seconds", ""), 0.0))
            self.most_memory = max(self.most_memory, self.memory())
            await asyncio.sleep(LOOK)
