"""The operator as a process: start, HTTP endpoints, end, and resident memory."""

from __future__ import annotations

import json
import signal
from pathlib import Path

from localcluster.paths import Cluster
from tests.contract.stage import HOST, configure
from tests.support import make
from tests.support.eventually import eventually_sync
from tests.support.kubectl import Kubectl
from tests.support.programs import program, read

MEMORY_LIMIT_MB = 120


def test_operator_process_starts_serves_reports_and_ends(api_server: Cluster, kubectl: Kubectl, tmp_path: Path) -> None:
    configure(kubectl)
    log = tmp_path / "log"
    with program(api_server.kubeconfig, kubectl.namespace, log) as operator:
        running = operator.process
        eventually_sync(lambda: read(operator.health, "/readyz") == "ok", "it is ready")
        assert read(operator.health, "/healthz") == "ok"
        host = make.host_object() | {"metadata": {"name": HOST, "namespace": kubectl.namespace}}
        kubectl.apply(host)
        eventually_sync(lambda: kubectl.exists("deployment", f"{HOST}-predictor-default"), "the Deployment is made")
        assert 'manyserve_api_writes_total{kind="Deployment",verb="apply"} 1.0' in read(operator.metrics, "/metrics")
        status = Path(f"/proc/{running.pid}/status").read_text()
        resident = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
        assert resident / 1024 < MEMORY_LIMIT_MB
        running.send_signal(signal.SIGTERM)
        assert running.wait(timeout=20) == 0
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert any("apply Deployment" in line["msg"] for line in lines)
    assert {line["level"] for line in lines} <= {"info", "warning"}
