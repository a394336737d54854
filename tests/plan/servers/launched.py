"""Containers of hosts, and problems of their specs, for the tests of model servers."""

from __future__ import annotations

from typing import Any

from manyserve.api.inferenceservice import InferenceService
from manyserve.api.servingconfig import ServingConfig
from manyserve.plan.children.pod_template import build_pod_template
from manyserve.plan.rules.validation import host_problems
from tests.support import make

KEY = {"name": "MANYSERVE_SERVER_KEY", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}}
LOCKED = "model-repository,shared-memory,trace,logging:manyserve-key=$(MANYSERVE_SERVER_KEY)"
HTTP, GRPC = f"--http-restricted-api={LOCKED}", f"--grpc-restricted-protocol={LOCKED}"

PROBES = ("startupProbe", "livenessProbe", "readinessProbe")
MULTI_MODEL = {"name": "MULTI_MODEL_SERVER", "value": "true"}
OWN_V1 = [{"name": "mine", "image": "mine:1", "env": [MULTI_MODEL, {"name": "PROTOCOL", "value": "v1"}]}]


def variants(name: str) -> dict[str, Any]:
    """Return the configuration of KServe 0.6 for a server of both protocols."""
    v1 = {"image": f"kserve/{name}server", "defaultImageVersion": "v1", "supportedFrameworks": [name]}
    v2 = {"image": "seldonio/mlserver", "defaultImageVersion": "1.7.1", "supportedFrameworks": [name]}
    return {"v1": v1 | {"multiModelServer": True}, "v2": v2 | {"multiModelServer": True}}


def config(triton: dict[str, Any] | None = None) -> ServingConfig:
    predictors = {name: variants(name) for name in ("sklearn", "xgboost", "lightgbm")}
    defaults = {"image": "nvcr.io/nvidia/tritonserver", "defaultImageVersion": "24.10-py3", "multiModelServer": True}
    return make.config(predictors=predictors | {"triton": defaults | (triton or {})})


def host(**predictor: Any) -> InferenceService:
    return make.host(**({"triton": None} | predictor))


def containers(
    host: InferenceService, configured: ServingConfig | None = None
) -> tuple[dict[str, Any], dict[str, Any]]:
    server, agent = build_pod_template(host, configured or config())["spec"]["containers"]
    return server, agent


def env(container: dict[str, Any]) -> dict[str, Any]:
    return {each["name"]: each.get("value") for each in container.get("env", ())}


def problems(**predictor: Any) -> str:
    return "; ".join(map(str, host_problems(host(**predictor))))
