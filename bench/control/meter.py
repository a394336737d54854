"""Counters of the operator's process, of the API server and of etcd, read from outside."""

from __future__ import annotations

import asyncio
import os
import re
import time
import urllib.request
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.programs import Program, read

from bench.control.agents import Agents
from localcluster import api, process
from localcluster.paths import Cluster

_NAME = r"(?:manyserve_|controller_runtime_)(\w+?)(?:_total)?"
_SAMPLE = re.compile(rf"^{_NAME}(?:\{{([^}}]*)\}})? ([0-9.e+-]+)$", re.MULTILINE)
_RECONCILED = re.compile(r"^controller_runtime_reconcile_total\{.*\} [1-9]", re.MULTILINE)
_LABEL = re.compile(r'"([^"]*)"')
_PUT = re.compile(r"^etcd_debugging_mvcc_total_put_size_in_bytes ([0-9.e+]+)$", re.MULTILINE)
_REFUSED = re.compile(r'^apiserver_request_total\{code="429".*\} ([0-9.e+]+)$', re.MULTILINE)
_TICKS = os.sysconf("SC_CLK_TCK")
LOOK = 0.25


@dataclass(frozen=True)
class Counts:
    """Counts until now; the difference of two is the cost of a scenario."""

    at: float = 0.0
    cpu: float = 0.0
    """Seconds of the operator's processor time."""
    server_cpu: float = 0.0
    """Seconds of the API server's and etcd's."""
    writes: Counter[str] = field(default_factory=Counter)
    """By kind and verb."""
    runs: int = 0
    etcd: float = 0.0
    """Bytes put into etcd, by all clients."""
    refused: float = 0.0
    """Requests that were answered with 429, of all clients."""
    late: Counter[float] = field(default_factory=Counter)
    """Counts of the event loop's delays, by their upper bound in seconds."""
    blocked: Counter[float] = field(default_factory=Counter)
    """Likewise, how long it was kept by the operator's own work at most."""
    series: int = 0
    """Series of the operator's metrics."""
    configs: tuple[int, ...] = ()
    """The bytes of each `models.json` that was written."""


@dataclass
class Meter:
    """Polls a running operator four times a second, and its API server on demand."""

    program: Program
    server: Cluster
    agents: Agents
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

    async def counts(self) -> Counts:
        """Return the counts."""
        return await asyncio.to_thread(self._counts)

    def _counts(self) -> Counts:
        metrics = self._metrics()
        samples = {(name, labels): float(value) for name, labels, value in _SAMPLE.findall(metrics)}
        writes = {
            " ".join(_LABEL.findall(labels)): int(n) for (name, labels), n in samples.items() if name == "api_writes"
        }
        servers = (process.find(self.server, name) for name in ("kube-apiserver", "etcd"))
        return Counts(
            at=time.monotonic(),
            cpu=cpu_of(self.program.process.pid),
            server_cpu=sum(cpu_of(pid) for pid in servers if pid),
            writes=Counter({name: count for name, count in writes.items() if count}),
            runs=int(sum(n for (name, _), n in samples.items() if name == "reconcile")),
            etcd=_sum(_PUT, _text(f"http://127.0.0.1:{self.server.port + 2}/metrics")),
            refused=_sum(_REFUSED, api.get(self.server, "/metrics") or ""),
            late=apart(_buckets(samples, "event_loop_lag_seconds")),
            blocked=apart(_buckets(samples, "event_loop_blocked_seconds")),
            series=sum(not line.startswith("#") for line in metrics.splitlines()),
            configs=tuple(self.agents.written),
        )

    def memory(self) -> float:
        """Return the resident MB."""
        status = Path(f"/proc/{self.program.process.pid}/status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) / 1024

    def is_ready(self) -> bool:
        """Return whether the operator has listed everything."""
        return read(self.program.health, "/readyz") == "ok"

    def has_run(self) -> bool:
        """Return whether it has reconciled any host."""
        return _RECONCILED.search(self._metrics()) is not None

    def _metrics(self) -> str:
        return read(self.program.metrics, "/metrics")

    async def _look(self) -> None:
        while True:
            self.most_memory = max(self.most_memory, self.memory())
            await asyncio.sleep(LOOK)


def difference(before: Counts, after: Counts) -> Counts:
    """Return the difference of two counts."""
    return Counts(
        at=after.at - before.at,
        cpu=after.cpu - before.cpu,
        server_cpu=after.server_cpu - before.server_cpu,
        writes=after.writes - before.writes,
        runs=after.runs - before.runs,
        etcd=after.etcd - before.etcd,
        refused=after.refused - before.refused,
        late=after.late - before.late,
        blocked=after.blocked - before.blocked,
        series=after.series,
        configs=after.configs[len(before.configs) :],
    )


def cpu_of(pid: int) -> float:
    """Return the seconds of processor time that a process has taken."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def apart(within: dict[str, float]) -> Counter[float]:
    """Return the counts of a histogram's buckets, from cumulative ones."""
    buckets, before = Counter[float](), 0.0
    for bound, count in sorted((float(bound), count) for bound, count in within.items()):
        buckets[bound] = int(count - before)
        before = count
    return buckets


def _buckets(said: dict[tuple[str, str], float], histogram: str) -> dict[str, float]:
    return {_LABEL.findall(labels)[0]: n for (name, labels), n in said.items() if name == f"{histogram}_bucket"}


def _text(url: str) -> str:
    with urllib.request.urlopen(url, timeout=30) as answer:
        return str(answer.read().decode())


def _sum(sample: re.Pattern[str], text: str) -> float:
    return sum(float(value) for value in sample.findall(text))
