"""CRD guard on an API server of its own: CRDs are replaced while an operator runs."""

from __future__ import annotations

import json
import shlex
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from localcluster.paths import Cluster
from manyserve.api import names
from manyserve.cluster.crd_guard import INSTALL, POLL_SECONDS
from tests.contract.stage import HOST, configure
from tests.support import make
from tests.support.control_plane import CRDS, control_plane, new_namespace
from tests.support.eventually import eventually_sync
from tests.support.figures import Figures
from tests.support.kubectl import Kubectl
from tests.support.programs import manyserve, program, read

PRESERVES = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
PRUNES = {
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "properties": {
                "predictor": {"type": "object", "properties": {"triton": PRESERVES}},
                "inferenceService": {"type": "string"},
                "model": PRESERVES,
            },
        },
        "status": PRESERVES,
    },
}
PRUNED = "the CRD inferenceservices.serving.kserve.io prunes unknown fields (spec)"
LIMIT = POLL_SECONDS + 10.0
"""Seconds for a poll on a busy machine, and for the API server to publish a CRD."""
CHILDREN = "deployment,service,ingress,events"


@pytest.fixture
def server() -> Iterator[Cluster]:
    """An API server that no other test uses."""
    with control_plane() as own:
        yield own


def put_crds(kubectl: Kubectl, schema: dict[str, Any]) -> None:
    """Replace the CRDs by CRDs with this schema."""
    for path in sorted(CRDS.glob("*.yaml")):
        crd = yaml.safe_load(path.read_text())
        for version in crd["spec"]["versions"]:
            version["schema"] = {"openAPIV3Schema": schema}
            version.pop("selectableFields", None)  # they must be fields of the schema
        kubectl("replace", "-f", "-", text=json.dumps(crd))


def readyz(port: int) -> str:
    """Return the answer of /readyz."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
            return str(answer.read().decode())
    except urllib.error.HTTPError as error:
        return error.read().decode()
    except OSError as error:
        return f"no answer: {error}"


def state(kubectl: Kubectl) -> dict[str, str]:
    """Return the resourceVersion of each object that an operator writes."""
    objects = kubectl.list(f"isvc,tm,configmap,{CHILDREN}")
    return {f"{each['kind']}/{each['metadata']['name']}": each["metadata"]["resourceVersion"] for each in objects}


def apply(kubectl: Kubectl, *manifests: dict[str, Any]) -> None:
    kubectl.apply(*(kubectl.here(each) for each in manifests))


def newer_form() -> dict[str, Any]:
    """Return an InferenceService with fields that the pruning CRD does not know."""
    host = make.host_object("newer", triton=None, model={"modelFormat": {"name": "sklearn"}, "storageUri": "gs://a/b"})
    return host | {"spec": host["spec"] | {"future": {"field": 1}}}


def test_crd_guard_stops_writes_while_crds_prune_and_readyz_has_the_reason(
    server: Cluster, tmp_path: Path, figures: Figures
) -> None:
    with new_namespace(server) as kubectl:
        configure(kubectl)
        put_crds(kubectl, PRESERVES)
        apply(kubectl, make.host_object(), make.model_object(), newer_form())
        put_crds(kubectl, PRUNES)
        at_start = state(kubectl)
        with program(server.kubeconfig, kubectl.namespace, tmp_path / "log") as operator:
            eventually_sync(lambda: readyz(operator.health).startswith(PRUNED), "/readyz has the sentence", LIMIT)
            time.sleep(POLL_SECONDS)  # nothing happens: there is no state to wait for
            assert state(kubectl) == at_start
            assert read(operator.health, "/healthz") == "ok"

            began = time.monotonic()
            put_crds(kubectl, PRESERVES)
            eventually_sync(lambda: readyz(operator.health) == "ok", "it is ready", LIMIT)
            eventually_sync(lambda: _is_placed(kubectl, "cifar10"), "the model is placed", LIMIT)
            figures.take("CRDs preserve again: a model is placed after", time.monotonic() - began, "s", below=LIMIT)

            put_crds(kubectl, PRUNES)
            eventually_sync(lambda: readyz(operator.health).startswith(PRUNED), "it notices the CRDs", LIMIT)
            kubectl("label", "isvc", HOST, "changed=yes")
            apply(kubectl, make.model_object("later"))
            before, writes = state(kubectl), _writes(operator.metrics)
            time.sleep(POLL_SECONDS)
            assert state(kubectl) == before
            assert _writes(operator.metrics) == writes
            assert read(operator.health, "/healthz") == "ok"

            _run_the_suggested_command(kubectl)
            eventually_sync(lambda: _is_placed(kubectl, "later"), "it goes on where it was", LIMIT)
            assert readyz(operator.health) == "ok"
            assert kubectl.get("isvc", "newer")["spec"] == newer_form()["spec"], "no write of ours pruned it"
        lines = [json.loads(line)["msg"] for line in (tmp_path / "log").read_text().splitlines()]
        messages = [each for each in lines if each.startswith(("the CRD ", "the published CRDs "))]
        assert messages[0].startswith(PRUNED)
        assert all(one != other for one, other in pairwise(messages)), "once for each change"


def _run_the_suggested_command(kubectl: Kubectl) -> None:
    """Install the CRDs of this release with the command in the message."""
    (program_words, kubectl_words) = (shlex.split(each) for each in INSTALL.split(" | "))
    kubectl(*kubectl_words[1:], text=manyserve(*program_words[1:]).stdout)


def _is_placed(kubectl: Kubectl, model: str) -> bool:
    name = names.model_config(HOST)
    return kubectl.exists("configmap", name) and f'"{model}"' in kubectl.get("configmap", name)["data"]["models.json"]


def _writes(port: int) -> list[str]:
    return [line for line in read(port, "/metrics").splitlines() if line.startswith("manyserve_api_writes_total")]
