"""Builders for the objects of tests, with defaults from the walkthrough."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from manyserve.api import servingconfig
from manyserve.api.agentreport import AgentReport, ModelReport, ModelState
from manyserve.api.inferenceservice import FRAMEWORKS as FRAMEWORKS_RUN
from manyserve.api.inferenceservice import InferenceService
from manyserve.api.modelconfig import Entry
from manyserve.api.servingconfig import ServingConfig
from manyserve.api.trainedmodel import TrainedModel, TrainedModelStatus
from manyserve.plan.actions import SetStatus
from tests.support import replicas

NOW = datetime(2026, 1, 1, tzinfo=UTC)
FRAMEWORKS = ["tensorrt", "tensorflow", "onnx", "pytorch", "caffe2"]
FORMS = ("named", "model")
FORM = "named"
"""Whether hosts name their server (`triton: {}`) or give its format (`model: {modelFormat: {name: triton}}`)."""
Manifest = dict[str, Any]


def config(*, multi_model: bool = True, **sections: Any) -> ServingConfig:
    """Return the chart's configuration, with Triton and routers."""
    triton = {
        "image": "example/tritonserver",
        "defaultImageVersion": "1",
        "supportedFrameworks": FRAMEWORKS,
        "multiModelServer": multi_model,
    }
    texts = {"predictors": {"triton": triton}, "router": {"image": "example/manyserve"}} | sections
    return servingconfig.parse({key: json.dumps(value) for key, value in texts.items()})


def host_object(name: str = "triton-mms", *, memory: str = "2Gi", **predictor: Any) -> Manifest:
    """Return an InferenceService as a user applies it, with its server in the form of `FORM`."""
    limits = {"cpu": "1", "memory": memory}
    spec = {"triton": {"resources": {"limits": limits, "requests": limits}}} | predictor
    given = {key: value for key, value in spec.items() if value is not None}
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": name, "namespace": "default", "uid": f"uid-{name}", "generation": 1},
        "spec": {"predictor": as_model(given) if FORM == "model" else given},
    }


def as_model(predictor: Manifest) -> Manifest:
    """Return a predictor as KServe 0.8 and newer store it, with its framework as `model`."""
    named = [name for name in FRAMEWORKS_RUN if isinstance(predictor.get(name), dict)]
    if len(named) != 1:
        return predictor
    rest = {key: value for key, value in predictor.items() if key != named[0]}
    stored = {"name": "", "resources": {}} | predictor[named[0]]
    return rest | {"model": {"modelFormat": {"name": named[0]}} | stored}


def server_path(name: str = "triton") -> str:
    """Return the path of the server in a host of `host_object`."""
    return f"spec.predictor.{'model' if FORM == 'model' else name}"


def labelled_host(
    labels: dict[str, str], annotations: dict[str, str] | None = None, /, **predictor: Any
) -> InferenceService:
    """Return a parsed host with labels and annotations."""
    return InferenceService.from_wire(labelled(labels, annotations, **predictor))


def host(name: str = "triton-mms", *, memory: str = "2Gi", **predictor: Any) -> InferenceService:
    """Return a parsed host."""
    return InferenceService.from_wire(host_object(name, memory=memory, **predictor))


def labelled(labels: dict[str, str], annotations: dict[str, str] | None = None, /, **predictor: Any) -> Manifest:
    """Return an InferenceService with labels and annotations."""
    manifest = host_object(**predictor)
    return manifest | {"metadata": manifest["metadata"] | {"labels": labels, "annotations": annotations or {}}}


def model_object(
    name: str = "cifar10",
    *,
    memory: str | int = "1Gi",
    framework: str = "pytorch",
    host: str = "triton-mms",
    uri: str = "gs://kfserving-examples/models/torchscript/cifar10",
    created: str = "2026-01-01T00:00:00Z",
    **fields: str,
) -> Manifest:
    """Return a TrainedModel as a user applies it; `fields` are further ones of `spec.model`."""
    return {
        "apiVersion": "serving.kserve.io/v1alpha1",
        "kind": "TrainedModel",
        "metadata": {
            "name": name,
            "namespace": "default",
            "uid": f"uid-{name}",
            "generation": 1,
            "resourceVersion": "1",
            "creationTimestamp": created,
        },
        "spec": {
            "inferenceService": host,
            "model": {"framework": framework, "storageUri": uri, "memory": memory} | fields,
        },
    }


def model(name: str = "cifar10", **fields: Any) -> TrainedModel:
    """Return a parsed model."""
    return TrainedModel.from_wire(model_object(name, **fields))


def pod(name: str = "pod-1", *, ready: bool = True, annotations: dict[str, str] | None = None) -> Manifest:
    """Return a running pod of the host."""
    return {
        "metadata": {
            "name": name,
            "namespace": "default",
            "uid": f"uid-{name}",
            "labels": replicas.pod_labels(),
            "ownerReferences": replicas.pod_owners(),
            "annotations": annotations or {},
        },
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True" if ready else "False"}]},
    }


def status_write(name: str = "cifar10", uid: str = "", **fields: Any) -> SetStatus:
    """Return the status write of a loaded model."""
    return SetStatus(
        "TrainedModel", name, uid or f"uid-{name}", TrainedModelStatus(), TrainedModelStatus(loaded="1/1"), **fields
    )


def report(*entries: Entry, state: ModelState = ModelState.LOADED, server: bool = True, **fields: Any) -> AgentReport:
    """Return the report of an agent on which each entry is in the same state."""
    config_hash = fields.pop("config", "")
    models = {each.model_name: ModelReport(state=state, digest=each.digest, **fields) for each in entries}
    return AgentReport(instance="a", revision=1, config=config_hash, server_ready=server, settled=True, models=models)
