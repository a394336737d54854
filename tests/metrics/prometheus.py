"""Prometheus and promtool of the Debian package `prometheus`, with a scrape configuration made from the monitors."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.eventually import eventually_sync
from tests.support.programs import free_port, read

Manifest = dict[str, Any]
Promtool = Callable[..., str]
Sample = tuple[dict[str, str], float]
"""Labels and value."""


def installed(name: str) -> str:
    """Return the path of a program of the package. Without it the test fails with a sentence."""
    program = shutil.which(name)
    if program is None:
        pytest.fail(f"there is no {name}: run make prometheus, which installs it", pytrace=False)
    return program


def promtool(*words: str) -> str:
    """Return the output of promtool. A failure fails the test with the output."""
    done = subprocess.run([installed("promtool"), *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@dataclass(frozen=True)
class Target:
    """One target as the discovery of Kubernetes finds it, at a port of this machine."""

    port: int
    namespace: str
    pod: str
    labels: dict[str, str]
    service: str = ""


def scrape_config(monitor: Manifest, endpoint: Manifest, targets: list[Target]) -> Manifest:
    """Return the job of one endpoint of a ServiceMonitor or PodMonitor, as the Prometheus Operator makes it."""
    metadata = monitor["metadata"]
    relabelings = [_copied("namespace"), _copied("pod_name", "pod")]
    if monitor["kind"] == "ServiceMonitor":
        relabelings.append(_copied("service_name", "job"))
    for label in monitor["spec"].get("podTargetLabels", ()):
        name = re.sub("[^a-zA-Z0-9_]", "_", label)
        relabelings.append(_copied(f"pod_label_{name}", name))
    relabelings += [
        {"source_labels": own["sourceLabels"], "target_label": own["targetLabel"]}
        for own in endpoint.get("relabelings", ())
    ]
    return {
        "job_name": f"{monitor['kind']}/{metadata['namespace']}/{metadata['name']}/{endpoint['port']}",
        "metrics_path": endpoint["path"],
        "honor_labels": endpoint.get("honorLabels", False),
        "relabel_configs": relabelings,
        "static_configs": [_static(each) for each in targets],
    }


def _copied(meta: str, label: str = "") -> Manifest:
    return {"source_labels": [f"__meta_kubernetes_{meta}"], "target_label": label or meta}


def _static(target: Target) -> Manifest:
    meta = {"namespace": target.namespace, "pod_name": target.pod, "service_name": target.service}
    meta |= {f"pod_label_{re.sub('[^a-zA-Z0-9_]', '_', key)}": value for key, value in target.labels.items()}
    labels = {f"__meta_kubernetes_{key}": value for key, value in meta.items()}
    return {"targets": [f"127.0.0.1:{target.port}"], "labels": labels}


@dataclass(frozen=True)
class Prometheus:
    """A running Prometheus."""

    port: int

    def query(self, expression: str) -> list[Sample]:
        """Return the samples of an instant query. An invalid expression fails the test."""
        found = self._get("query", query=expression)
        if found["resultType"] == "scalar":
            return [({}, float(found["result"][1]))]
        return [(each["metric"], float(each["value"][1])) for each in found["result"]]

    def course(self, expression: str, start: float, end: float, step: float) -> list[tuple[dict[str, str], Any]]:
        """Return the labels, and the pairs of time and value, of each series of a range query."""
        found = self._get("query_range", query=expression, start=str(start), end=str(end), step=str(step))
        return [(each["metric"], each["values"]) for each in found["result"]]

    def targets(self) -> list[Manifest]:
        """Return the active targets."""
        found: list[Manifest] = self._get("targets")["activeTargets"]
        return found

    def _get(self, path: str, **parameters: str) -> Any:
        text = read(self.port, f"/api/v1/{path}?{urllib.parse.urlencode(parameters)}")
        assert text, f"Prometheus refuses: {path} {parameters}"
        return json.loads(text)["data"]


@contextmanager
def prometheus(folder: Path, jobs: list[Manifest], rules: Path, interval: str) -> Iterator[Prometheus]:
    """Run Prometheus with these jobs and rules."""
    port, config = free_port(), folder / "prometheus.yaml"
    settings = {"scrape_interval": interval, "scrape_timeout": interval, "evaluation_interval": interval}
    config.write_text(yaml.safe_dump({"global": settings, "rule_files": [str(rules)], "scrape_configs": jobs}))
    promtool("check", "config", str(config))
    command = [
        installed("prometheus"),
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    log = folder / "prometheus.log"
    with log.open("wb") as out, subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT) as running:
        try:
            eventually_sync(lambda: "Ready" in read(port, "/-/ready"), f"Prometheus is ready: {log}", 60)
            yield Prometheus(port)
        finally:
            running.terminate()
            running.wait(20)
