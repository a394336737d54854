"""Rules for pods, compared with the API server: a dry run of the Deployment that the operator would apply.

The rules and the API server must agree on each value of `SERVER` and `POD`. `STRICTER` has what Kubernetes accepts
although the pod would not start, or the agent could not work: only the rules refuse it.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from localcluster.paths import Cluster
from manyserve.plan.children.deployment import build_deployment
from manyserve.plan.rules.validation import host_problems, parse_host
from tests.contract.pod_cases import POD, SERVER, STRICTER, VOLUMES
from tests.support import make
from tests.support.control_plane import new_namespace
from tests.support.kubectl import Kubectl

Manifest = dict[str, Any]


def cases() -> dict[str, Manifest]:
    """Return the predictor of each case, by a name."""
    server = {f"server.{name} {json.dumps(value)}": {"triton": {name: value}} for name, value in _values(SERVER)}
    pod = {f"pod.{name} {json.dumps(value)}": {name: value, "triton": {}} for name, value in _values(POD)}
    return {name: {"volumes": VOLUMES} | predictor for name, predictor in (server | pod).items()}


def stricter() -> dict[str, Manifest]:
    """Return the predictor of each case that only the rules refuse."""
    return {name: {"volumes": VOLUMES} | predictor for name, predictor in STRICTER.items()}


def _values(fields: dict[str, list[Any]]) -> Iterator[tuple[str, Any]]:
    return ((name, value) for name, values in fields.items() for value in values)


@pytest.fixture(scope="module")
def rejections(api_server: Cluster) -> dict[str, str]:
    """Return the cases that the API server refuses, with its sentences."""
    with new_namespace(api_server) as kubectl:
        return dry_run(kubectl, cases() | stricter())


def dry_run(kubectl: Kubectl, predictors: dict[str, Manifest]) -> dict[str, str]:
    """Apply Deployments and pods of hosts as a dry run, and return the cases that are refused, with sentences."""
    names = {f"h{index}x": case for index, case in enumerate(predictors)}
    deployments = {name: deployment(name, predictors[case], kubectl) for name, case in names.items()}
    pods = [pod(name, manifest) for name, manifest in deployments.items()]
    lines = [*apply(kubectl, list(deployments.values())), *apply(kubectl, pods)]
    return {
        case: "; ".join(found) for name, case in names.items() if (found := [each for each in lines if name in each])
    }


def apply(kubectl: Kubectl, manifests: list[Manifest]) -> list[str]:
    """Apply objects as a dry run, and return the lines about invalid ones; other refusals are those of admission."""
    text = "\n---\n".join(map(json.dumps, manifests))
    command = ["kubectl", "apply", "--server-side", "--dry-run=server", "--validate=false", "-f", "-"]
    done = subprocess.run(
        command, input=text, text=True, capture_output=True, env=kubectl.env, check=False, timeout=300
    )
    assert "serverside-applied" in done.stdout, done.stderr
    return [line for line in done.stderr.splitlines() if "(Forbidden)" not in line]


def deployment(name: str, predictor: Manifest, kubectl: Kubectl) -> Manifest:
    """Return the Deployment that the operator would apply for a host."""
    manifest = build_deployment(parse_host(make.host_object(name, **predictor)), make.config(), None)
    return {**manifest, "metadata": {"name": manifest["metadata"]["name"], "namespace": kubectl.namespace}}


def pod(name: str, deployment: Manifest) -> Manifest:
    """Return a pod of a Deployment."""
    metadata = {"name": name, "namespace": deployment["metadata"]["namespace"]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": deployment["spec"]["template"]["spec"]}


def problems(predictor: Manifest) -> str:
    """Return the sentences of the rules about a predictor."""
    return "; ".join(map(str, host_problems(make.host_object(**predictor))))


def test_pod_rules_agree_with_the_api_server(rejections: dict[str, str]) -> None:
    wrong = {case: (problems(predictor), rejections.get(case)) for case, predictor in cases().items()}
    wrong = {case: verdicts for case, verdicts in wrong.items() if bool(verdicts[0]) != (verdicts[1] is not None)}
    assert wrong == {}, "\n".join(f"{case}: {verdicts}" for case, verdicts in wrong.items())
    assert 100 < len(rejections) < len(cases()) - 100, "both verdicts are frequent"


def test_pod_rules_are_stricter_only_where_the_pod_could_not_work(rejections: dict[str, str]) -> None:
    assert [case for case in stricter() if case in rejections] == []
    assert [case for case, predictor in stricter().items() if not problems(predictor)] == []
