"""Input 21: objects as large as the API server accepts."""

from __future__ import annotations

import json

from tests.inputs.refusals import create_host, refusal
from tests.support import make
from tests.support.kubectl import Manifest
from tests.support.webhook import DENIED, Webhook

ANNOTATIONS = 256 * 1024
LARGEST = 1536 * 1024
"""Bytes that etcd accepts for one object."""


def heavy_model(name: str, memory: str = "1Gi", *, more: int = 0) -> Manifest:
    """Return a model with annotations of the maximal size, and `more` bytes."""
    model = make.model_object(name, memory=memory, host="input-21")
    model["metadata"]["annotations"] = {"note": "x" * (ANNOTATIONS - len("note") + more)}
    return model


def heavy_host(name: str, memory: str = "2Gi", args: tuple[str, ...] = ()) -> Manifest:
    """Return a host of nearly the maximal size of etcd."""
    server = make.host_object(memory=memory)["spec"]["predictor"]["triton"]
    env = [{"name": f"TEXT_{index}", "value": "x" * 32000} for index in range(48)]
    host = make.host_object(name, triton=server | {"env": env, "args": list(args)})
    assert 0.97 < len(json.dumps(host)) / LARGEST < 1
    return host


def test_input_21_model_with_256_kib_of_annotations_is_reviewed(webhook: Webhook) -> None:
    kubectl = webhook.kubectl
    create_host(kubectl, make.host_object("input-21"))
    message = refusal(lambda: kubectl.create(heavy_model("heavy", "3Gi")))
    assert f"{DENIED}: spec.model.memory: 3Gi does not fit on input-21" in message
    assert "created" in kubectl.create(heavy_model("heavy"))
    grown = json.dumps(kubectl.here(heavy_model("heavy", "3Gi")))
    message = refusal(lambda: kubectl("replace", "-f", "-", text=grown))
    assert f"{DENIED}: spec.model.memory: 3Gi does not fit on input-21" in message


def test_input_21_larger_annotations_are_refused_by_the_api_server(webhook: Webhook) -> None:
    message = refusal(lambda: webhook.kubectl.create(heavy_model("heavier", more=1)))
    assert "metadata.annotations: Too long: may not be more than 262144 bytes" in message


def test_input_21_host_near_the_limit_of_etcd_is_reviewed(webhook: Webhook) -> None:
    kubectl = webhook.kubectl
    message = refusal(lambda: kubectl.create(heavy_host("heavy", args=("--http-port=1",))))
    assert f"{DENIED}: spec.predictor.triton.args[0]: '--http-port=1' undoes the operator's" in message
    create_host(kubectl, heavy_host("heavy"))
    kubectl.create(make.model_object("on-heavy", host="heavy", memory="2Gi"))
    lower = json.dumps(kubectl.here(heavy_host("heavy", "1Gi")))
    message = refusal(lambda: kubectl("replace", "-f", "-", text=lower))
    assert f"{DENIED}: spec.predictor: heavy cannot go down to 1Gi of memory: 2Gi is used by 1 model" in message
    higher = json.dumps(kubectl.here(heavy_host("heavy", "3Gi")))
    assert "replaced" in kubectl("replace", "-f", "-", text=higher)
