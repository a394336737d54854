"""Inputs 1 and 2: names, and values of free text."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from localcluster.paths import Cluster
from manyserve.api import names
from manyserve.api.inferenceservice import NAME_LIMIT as HOST_LIMIT
from manyserve.api.trainedmodel import NAME_LIMIT as MODEL_LIMIT
from manyserve.logs import JsonLines
from manyserve.plan.model_config import text_of
from manyserve.plan.rules.fields import quoted
from tests.contract.stage import configure
from tests.inputs.refusals import lines_about, refusal
from tests.support import make
from tests.support.eventually import eventually_sync
from tests.support.kubectl import Kubectl, condition
from tests.support.programs import program
from tests.support.webhook import DENIED, Webhook

NAMES = {
    "254 characters": "a" * 254,
    "capitals": "Cifar10",
    "an underscore": "cifar_10",
    "an emoji": "cifar-\U0001f600",
    "a right-to-left mark": "cifar\u200f10",
    "a right-to-left override": "cifar\u202e01",
    "a look-alike letter": "cif\u0430r10",
}
ANYTHING = (
    "\U0001f600 m\u00fcnchen \u0430\u0431 \u05d0 \u202eright to left\u202c\u200f \u2028\u2029\x85\x0b\ttab\r\nline"
)
"""Text of an annotation or a variable. It must be stored unchanged, and each log record of it must be one line."""
SPOKEN_URI = "gs://bucket/m\u00fcnchen/\u0430\u0431\u0432/\U0001f600"
MODEL_SENTENCE = f"metadata.name is the model's name in its URL: letters, digits and - only, at most {MODEL_LIMIT}"
HOST_SENTENCE = f"metadata.name must be a DNS label that starts with a letter, of at most {HOST_LIMIT} characters"


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_input_01_invalid_name_is_refused_with_its_path(webhook: Webhook, name: str) -> None:
    for manifest in (make.model_object(name), make.host_object(name)):
        message = refusal(lambda manifest=manifest: webhook.kubectl.try_out(manifest))  # type: ignore[misc]
        assert "metadata.name: Invalid value: " in message, "Kubernetes refuses it for every kind"
    message = refusal(lambda: webhook.kubectl.try_out(make.model_object(host=name)))
    lines = lines_about("spec.inferenceService", message)
    assert len(lines) == 1
    assert lines[0].endswith("must be letters, digits and '-' and start with a letter")


@pytest.mark.parametrize("name", ["a.b", "n" * (MODEL_LIMIT + 1)])
def test_input_01_name_valid_for_kubernetes_only_is_refused(webhook: Webhook, name: str) -> None:
    for manifest, sentence in ((make.model_object(name), MODEL_SENTENCE), (make.host_object(name), HOST_SENTENCE)):
        message = refusal(lambda manifest=manifest: webhook.kubectl.try_out(manifest))  # type: ignore[misc]
        assert f"{DENIED}: metadata.name: {quoted(name)} is not allowed; {sentence}" in message


@contextmanager
def operator(server: Cluster, kubectl: Kubectl, folder: Path) -> Iterator[Path]:
    """Run the operator; yield its log."""
    configure(kubectl)
    log = folder / "operator.log"
    with program(server.kubeconfig, kubectl.namespace, log, settings={"MANYSERVE_LEADER_ELECTION": "false"}):
        yield log


def test_input_01_free_text_is_stored_unchanged_and_logged_on_one_line(
    api_server: Cluster, kubectl: Kubectl, tmp_path: Path, webhook: Webhook
) -> None:
    env = [{"name": "GREETING", "value": ANYTHING}]
    host = make.host_object(triton={"env": env})
    host["metadata"]["annotations"] = {"example.com/note": ANYTHING}
    model = make.model_object(uri=SPOKEN_URI)
    assert "created" in webhook.kubectl.try_out(host) + webhook.kubectl.try_out(model)
    with operator(api_server, kubectl, tmp_path) as log:
        kubectl.create(host)
        kubectl.create(model)
        assert kubectl.get("isvc", "triton-mms")["metadata"]["annotations"] == {"example.com/note": ANYTHING}
        eventually_sync(lambda: placed(kubectl, "triton-mms"), "the model is placed", 30)
        assert placed(kubectl, "triton-mms")[0]["modelSpec"]["storageUri"] == SPOKEN_URI
        eventually_sync(lambda: greeting(kubectl) == ANYTHING, "the server has the variable", 30)
        kubectl("set", "env", "deployment/triton-mms-predictor-default", f"GREETING={ANYTHING}!")
        eventually_sync(lambda: greeting(kubectl) == ANYTHING, "the operator restores the variable", 30)
        eventually_sync(lambda: "GREETING" in log.read_text(), "the log names the difference", 10)
    for line in (log.read_text() + webhook.log.read_text()).removesuffix("\n").split("\n"):
        assert json.loads(line)
        assert line.isprintable()


def placed(kubectl: Kubectl, host: str) -> list[Any]:
    if not kubectl.exists("configmap", names.model_config(host)):
        return []
    return list(json.loads(text_of(kubectl.get("configmap", names.model_config(host))) or "[]"))


def greeting(kubectl: Kubectl) -> Any:
    deployments = kubectl.list("deployments", "-l", f"{names.HOST_LABEL}=triton-mms")
    containers = [container for each in deployments for container in each["spec"]["template"]["spec"]["containers"]]
    return next((env["value"] for each in containers for env in each.get("env", ()) if env["name"] == "GREETING"), "")


@pytest.mark.parametrize("value", [ANYTHING, "\ud800 half of a letter", "\x00\x1b[31mred"], ids=ascii)
def test_input_01_log_record_of_any_text_is_one_readable_line(value: str) -> None:
    record = logging.LogRecord("manyserve", logging.INFO, "/x/y.py", 1, "found %s", (value,), None)
    line = JsonLines().format(record)
    assert line.isprintable()
    assert json.loads(line.encode())["msg"] == f"found {value}"


@pytest.mark.parametrize("length", [HOST_LIMIT + 1, 63])
def test_input_02_host_with_too_long_names_of_children_is_refused(webhook: Webhook, length: int) -> None:
    message = refusal(lambda: webhook.kubectl.try_out(make.host_object("h" * length)))
    assert f"is not allowed; {HOST_SENTENCE}, so that the names of its children fit into 63" in message


def test_input_02_longest_accepted_names_have_all_children(
    api_server: Cluster, kubectl: Kubectl, tmp_path: Path
) -> None:
    host, model = "h" * HOST_LIMIT, "m" * MODEL_LIMIT
    with operator(api_server, kubectl, tmp_path):
        kubectl.create(make.host_object(host, maxReplicas=3, minReplicas=2))
        kubectl.create(make.model_object(model, host=host))
        label = f"{names.HOST_LABEL}={host}"
        eventually_sync(lambda: placed(kubectl, host), "the model is placed", 30)
        eventually_sync(lambda: len(kubectl.list("pods", "-l", label)) == 2, "the pods exist", 30)
        eventually_sync(
            lambda: condition(kubectl.get("isvc", host)).get("reason") == "Unschedulable", "only nodes are missing", 30
        )
        kinds = "deployments,services,configmaps,ingresses,hpa,pdb"
        children = {each["kind"] for each in kubectl.list(kinds, "-l", label)}
    assert children == {
        "ConfigMap", "Deployment", "HorizontalPodAutoscaler", "Ingress", "PodDisruptionBudget", "Service",
    }  # fmt: skip
