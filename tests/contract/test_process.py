"""The program as it is deployed: its start, its doors, its end, and what it takes."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from localcluster.paths import Cluster
from tests.contract.stage import HOST, configure
from tests.support import make
from tests.support.kubectl import Kubectl, eventually

SOURCE = Path(__file__).parents[2] / "src"
MEMORY_LIMIT_MB = 120


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def read(port: int, path: str) -> str:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return str(answer.read().decode())
    except (OSError, urllib.error.HTTPError):
        return ""


@contextmanager
def program(api_server: Cluster, namespace: str, log: Path) -> Iterator[tuple[subprocess.Popen[bytes], int, int]]:
    """Run `manyserve operator`, and yield it with its two ports."""
    health, metrics = free_port(), free_port()
    env = dict(os.environ) | {
        "KUBECONFIG": str(api_server.kubeconfig),
        "PYTHONPATH": str(SOURCE),
        "POD_NAMESPACE": namespace,
        "MANYSERVE_WATCH_NAMESPACE": namespace,
        "MANYSERVE_HEALTH_PORT": str(health),
        "MANYSERVE_METRICS_PORT": str(metrics),
    }
    command = [sys.executable, "-c", "from manyserve.cli import main; main()", "operator"]
    with log.open("wb") as out, subprocess.Popen(command, env=env, stdout=out, stderr=subprocess.STDOUT) as running:
        try:
            yield running, health, metrics
        finally:
            running.kill()


def test_it_starts_works_tells_and_ends(api_server: Cluster, kubectl: Kubectl, tmp_path: Path) -> None:
    configure(kubectl)
    log = tmp_path / "log"
    with program(api_server, kubectl.namespace, log) as (running, health, metrics):
        eventually(lambda: read(health, "/readyz") == "ok", "it is ready", 30)
        assert read(health, "/healthz") == "ok"
        host = make.host_object() | {"metadata": {"name": HOST, "namespace": kubectl.namespace}}
        kubectl.apply(host)
        eventually(lambda: kubectl.exists("deployment", f"{HOST}-predictor-default"), "the Deployment is made", 10)
        assert 'manyserve_writes_total{kind="Deployment",verb="apply"} 1.0' in read(metrics, "/metrics")
        status = Path(f"/proc/{running.pid}/status").read_text()
        resident = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
        assert resident / 1024 < MEMORY_LIMIT_MB
        running.send_signal(signal.SIGTERM)
        assert running.wait(timeout=20) == 0
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert any("apply Deployment" in line["msg"] for line in lines)
    assert {line["level"] for line in lines} <= {"info", "warning"}
