"""Attacks by vegeta: requests to a model at a steady rate, through the gateway or through the Service.

An attack begins with the first answer and lasts until its block ends. Its report is that of vegeta.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from localcluster.paths import binary
from tests.support.eventually import eventually_sync
from tests.support.kubectl import Kubectl, Manifest
from tests.walkthrough.cluster import DemoCluster

RATE = 50
"""Requests of an attack, each second."""
Tensor = dict[str, Any]
Report = dict[str, Any]
POD = "attack"
FIND_RESULTS = ("find", "/tmp", "-name", "results", "-size", "+0")
SCRIPT = f"""
echo "$TARGET" | vegeta attack -format=json -keepalive=false -rate={RATE}/1s -duration=0 -output=/tmp/results
vegeta report -type=json /tmp/results
"""
"""Each request has a connection of its own, so that kube-proxy chooses a pod for each."""


@contextmanager
def gateway_attack(cluster: DemoCluster, kubectl: Kubectl, name: str, tensor: Tensor, folder: Path) -> Iterator[Report]:
    """Send requests to a model of `mms` through the gateway during the block, and fill in the report at its end."""
    report: Report = {}
    results = folder / f"{name}.bin"
    target = _target(f"{cluster.gateway}/v2/models/{name}/infer", tensor, Host=f"mms.{kubectl.namespace}.example.com")
    words = [binary("vegeta"), "attack", "-format=json", f"-rate={RATE}/1s", "-duration=0", f"-output={results}"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, text=True) as attack:
        assert attack.stdin is not None
        attack.stdin.write(target)
        attack.stdin.close()
        try:
            eventually_sync(lambda: results.exists() and results.stat().st_size, "the attack is under way", 30)
            yield report
        finally:
            os.kill(attack.pid, signal.SIGINT)
    words = [binary("vegeta"), "report", "-type=json", str(results)]
    report.update(json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout))


@contextmanager
def service_attack(kubectl: Kubectl, name: str, tensor: Tensor) -> Iterator[Report]:
    """Send requests to a model of `mms` from a pod during the block, and fill in the report at its end."""
    report: Report = {}
    kubectl.apply(_pod(_target(f"http://mms.{kubectl.namespace}.svc.cluster.local/v2/models/{name}/infer", tensor)))
    kubectl("wait", "--for=condition=Ready", f"pod/{POD}", "--timeout=60s")
    eventually_sync(lambda: kubectl("exec", POD, "--", *FIND_RESULTS), "the attack is under way", 30)
    try:
        yield report
    finally:
        kubectl("exec", POD, "--", "killall", "-INT", "vegeta")
    kubectl("wait", "--for=jsonpath={.status.phase}=Succeeded", f"pod/{POD}", "--timeout=60s")
    report.update(json.loads(kubectl("logs", POD)))
    kubectl("delete", "pod", POD)


def lost(report: Report) -> int:
    """Return the number of requests without a good answer."""
    asked = int(report["requests"])
    return asked - round(asked * float(report["success"]))


def _target(url: str, tensor: Tensor, **headers: str) -> str:
    """Return a request in vegeta's form."""
    body = b64encode(json.dumps({"inputs": [tensor]}).encode()).decode()
    all_headers = {key: [value] for key, value in ({"Content-Type": "application/json"} | headers).items()}
    return json.dumps({"method": "POST", "url": url, "header": all_headers, "body": body}) + "\n"


def _pod(target: str) -> Manifest:
    container = {
        "name": "vegeta",
        "image": "docker.io/manyserve/vegeta:12",
        "imagePullPolicy": "IfNotPresent",
        "command": ["sh", "-ec", SCRIPT],
        "env": [{"name": "TARGET", "value": target}],
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
    }
    security = {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}}
    spec = {"restartPolicy": "Never", "securityContext": security, "containers": [container]}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": POD},
        "spec": spec | {"terminationGracePeriodSeconds": 0, "volumes": [{"name": "tmp", "emptyDir": {}}]},
    }
