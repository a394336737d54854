"""`make run` against a real API server: both programs become ready, and one Ctrl-C ends both."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from localcluster.paths import Cluster
from tests.contract.stage import configure
from tests.support import makefile
from tests.support.eventually import eventually_sync
from tests.support.kubectl import Kubectl
from tests.support.programs import free_port, read

LIMIT = 60.0
"""Seconds for a start, or an end, on a busy machine."""


@contextmanager
def make_run(log: Path, **variables: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run `make run` in a process group of its own, as a terminal does."""
    with (
        log.open("wb") as out,
        subprocess.Popen(
            makefile.command("run"),
            cwd=makefile.PROJECT,
            env=makefile.environment(**variables),
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as running,
    ):
        try:
            yield running
        finally:
            if running.poll() is None:
                os.killpg(running.pid, signal.SIGTERM)
                running.wait(timeout=LIMIT)


def ca_file(log: Path) -> str:
    """Return the path of the webhook's CA, as `make run` prints it."""
    return log.read_text().partition("its CA is ")[2].partition(",")[0]


def test_make_run_becomes_ready_and_ctrl_c_ends_both_programs(
    api_server: Cluster, kubectl: Kubectl, tmp_path: Path
) -> None:
    configure(kubectl)
    log, health, metrics, port = tmp_path / "log", free_port(), free_port(), free_port()
    variables = {
        "KUBECONFIG": str(api_server.kubeconfig),
        "POD_NAMESPACE": kubectl.namespace,
        "MANYSERVE_WATCH_NAMESPACES": kubectl.namespace,
        "MANYSERVE_HEALTH_PORT": str(health),
        "MANYSERVE_METRICS_PORT": str(metrics),
        "MANYSERVE_WEBHOOK_PORT": str(port),
    }
    with make_run(log, **variables) as running:
        eventually_sync(lambda: read(health, "/readyz") == "ok", f"the operator is ready: {log}", LIMIT)
        eventually_sync(lambda: read(metrics + 1, "/readyz") == "ok\n", f"the webhook is ready: {log}", LIMIT)
        assert "the webhook is not registered" in log.read_text()
        trust = ssl.create_default_context(cafile=ca_file(log))
        with urllib.request.urlopen(f"https://localhost:{port}/readyz", context=trust, timeout=5) as answer:
            assert answer.status == 200
        os.killpg(running.pid, signal.SIGINT)
        running.wait(timeout=LIMIT)
    assert not read(health, "/readyz")
    assert not read(metrics + 1, "/readyz")
    assert not Path(ca_file(log)).exists()


def test_make_run_ends_the_webhook_when_the_operator_ends(
    api_server: Cluster, kubectl: Kubectl, tmp_path: Path
) -> None:
    log, metrics = tmp_path / "log", free_port()
    with socket.create_server(("", free_port())) as taken:
        variables = {
            "KUBECONFIG": str(api_server.kubeconfig),
            "POD_NAMESPACE": kubectl.namespace,
            "MANYSERVE_HEALTH_PORT": str(taken.getsockname()[1]),
            "MANYSERVE_METRICS_PORT": str(metrics),
            "MANYSERVE_WEBHOOK_PORT": str(free_port()),
        }
        with make_run(log, **variables) as running:
            assert running.wait(timeout=LIMIT) == 2
    assert "make run: the operator ended with exit code 2" in log.read_text()
    assert not read(metrics + 1, "/readyz")


def test_make_run_in_a_missing_namespace_says_how_to_create_it(api_server: Cluster) -> None:
    ran = makefile.make("run", KUBECONFIG=str(api_server.kubeconfig), POD_NAMESPACE="missing")
    assert ran.returncode == 2
    assert "create it with: kubectl create namespace missing" in ran.stderr


def test_make_run_without_the_crds_says_how_to_install_them(bare_server: Cluster) -> None:
    ran = makefile.make("run", KUBECONFIG=str(bare_server.kubeconfig))
    assert ran.returncode == 2
    assert "kubectl apply --server-side -f -" in ran.stderr
