"""The project's programs as processes, as they are deployed: in the background, or run to their end."""

from __future__ import annotations

import os
import random
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).parents[2]
_MANYSERVE = ("-c", "from manyserve.cli import main; main()")
OPERATOR = (*_MANYSERVE, "operator")
WEBHOOK = (*_MANYSERVE, "webhook")
PORTS = (12000, 22000)
"""Below the ports that the kernel gives to clients, and apart from those of the API servers."""


def ports_of_worker(ports: range) -> range:
    """Return the share of this worker of pytest-xdist, since two workers could find the same port free."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    size = len(ports) // workers
    return ports[worker * size : (worker + 1) * size]


def free_port() -> int:
    """Return a port that is free now, and that the kernel gives to no client meanwhile."""
    for _ in range(100):
        port = random.choice(ports_of_worker(range(*PORTS)))
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("", port))
            return port
    raise AssertionError("no free port")


def free_ports(count: int) -> list[int]:
    """Return different ports that are free now."""
    ports: set[int] = set()
    while len(ports) < count:
        ports.add(free_port())
    return list(ports)


def read(port: int, path: str) -> str:
    """Return the response, or an empty text without a successful response."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return str(answer.read().decode())
    except (OSError, urllib.error.HTTPError):
        return ""


def peak_mib(running: Program) -> float:
    """Return the peak resident memory of a program, in MiB."""
    status = Path(f"/proc/{running.process.pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1024


def processor_seconds(pid: int) -> float:
    """Return the processor time that a process has taken so far, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def manyserve(*words: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run `manyserve WORDS` to its end, in this environment, changed by `env`."""
    program = [sys.executable, "-c", "from manyserve.cli import main; main()", *words]
    whole = os.environ | {"PYTHONPATH": str(PROJECT / "src")} | env
    return subprocess.run(program, env=whole, capture_output=True, text=True, timeout=60, check=False)


@dataclass(frozen=True)
class Program:
    """A running program and its two ports. The webhook has its probes at the port of the metrics."""

    process: subprocess.Popen[bytes]
    health: int
    metrics: int
    log: Path


@contextmanager
def program(
    kubeconfig: Path, namespace: str, log: Path, *words: str, settings: dict[str, str] | None = None
) -> Iterator[Program]:
    """Run `manyserve operator` for one namespace, or another program of Python's; its end is SIGKILL."""
    health, metrics = free_port(), free_port()
    env = dict(os.environ) | {
        "KUBECONFIG": str(kubeconfig),
        "PYTHONPATH": f"{PROJECT / 'src'}{os.pathsep}{PROJECT}",
        "POD_NAMESPACE": namespace,
        "MANYSERVE_WATCH_NAMESPACES": namespace,
        "MANYSERVE_HEALTH_PORT": str(health),
        "MANYSERVE_METRICS_PORT": str(metrics),
    }
    command = [sys.executable, *(words or OPERATOR)]
    with (
        log.open("ab") as out,
        subprocess.Popen(command, env=env | (settings or {}), stdout=out, stderr=subprocess.STDOUT) as running,
    ):
        try:
            yield Program(running, health, metrics, log)
        finally:
            running.kill()
