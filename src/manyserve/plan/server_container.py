"""The model server's container: what Triton needs to serve many models, under what the user sets.

The server sees the folder `models` of the shared volume, read-only.
"""

from __future__ import annotations

from typing import Any

from manyserve.api import names
from manyserve.api.inferenceservice import InferenceService, ServerFields
from manyserve.api.pod import ContainerFields, Resources
from manyserve.api.servingconfig import ServingConfig
from manyserve.plan.capacity import DEFAULT_CPU, DEFAULT_MEMORY, predictor_name
from manyserve.plan.restricted import STRICT

MODELS_DIR = "/mnt/models"
SERVER_USER = 1000
_GPU = "nvidia.com/gpu"
_LAID_OVER = ("resources", "ports", "volumeMounts", "securityContext", "args", "name", "image")


def build_server(service: InferenceService, config: ServingConfig) -> dict[str, Any]:
    """Return the container of the model server, the user's fields laid over ours."""
    server = service.spec.predictor.server
    given = {key: each for key, each in server.to_wire().items() if key not in _LAID_OVER}
    for key in ("runtimeVersion", "protocolVersion", "storageUri"):
        given.pop(key, None)
    port = http_port(service)
    return (
        _probes()
        | given
        | {
            "name": names.SERVER_CONTAINER,
            "image": server_image(service, config),
            "args": [*_arguments(service, port), *(server.args or ())],
            "ports": [
                {"name": "http", "containerPort": port, "protocol": "TCP"},
                {"name": "grpc", "containerPort": names.GRPC_PORT, "protocol": "TCP"},
                {"name": "metrics", "containerPort": names.METRICS_PORT, "protocol": "TCP"},
            ],
            "resources": _resources(server.resources),
            "securityContext": STRICT | {"runAsUser": SERVER_USER} | (server.security_context or {}),
            "volumeMounts": [
                {"name": "models", "mountPath": MODELS_DIR, "subPath": "models", "readOnly": True},
                {"name": "server-tmp", "mountPath": "/tmp"},  # noqa: S108 - the container's own, an emptyDir
                *(server.volume_mounts or ()),
            ],
        }
    )


def server_image(service: InferenceService, config: ServingConfig) -> str | None:
    """Return the image of the server, or None when neither the user nor the configuration names one."""
    server = service.spec.predictor.server
    if server.image:
        return server.image
    known = config.predictors.get(predictor_name(service))
    if known is None:
        return None
    version = known.default_image_version
    if known.default_gpu_image_version and server.resources and _GPU in (server.resources.limits or {}):
        version = known.default_gpu_image_version
    return f"{known.image}:{(isinstance(server, ServerFields) and server.runtime_version) or version}"


def http_port(service: InferenceService) -> int:
    """Return the port on which the server answers HTTP: the user's first, else ours."""
    ports = service.spec.predictor.server.ports or ()
    return int(ports[0].get("containerPort", names.HTTP_PORT)) if ports else names.HTTP_PORT


def _arguments(service: InferenceService, port: int) -> list[str]:
    """Return what Triton needs to serve many models; a server of the user's own gets only what they give."""
    server: ContainerFields | None = service.spec.predictor.triton
    if server is None:
        return []
    return [
        *(() if server.command else ("tritonserver",)),
        f"--model-repository={MODELS_DIR}",
        "--model-control-mode=explicit",
        "--strict-readiness=false",
        f"--http-port={port}",
        "--http-thread-count=16",  # a load holds one while it lasts, and a hanging one for ever
        f"--grpc-port={names.GRPC_PORT}",
        f"--metrics-port={names.METRICS_PORT}",
    ]


def _probes() -> dict[str, Any]:
    live = {"path": "/v2/health/live", "port": "http"}
    return {
        "startupProbe": {"httpGet": live, "periodSeconds": 1, "failureThreshold": 600},
        "livenessProbe": {"httpGet": live, "periodSeconds": 10, "timeoutSeconds": 5, "failureThreshold": 6},
        "readinessProbe": {"httpGet": {"path": "/v2/health/ready", "port": "http"}, "periodSeconds": 2},
    }


def _resources(given: Resources | None) -> dict[str, Any]:
    """Fill in what is unset: a limit from the request or our default, a request from the limit."""
    parts = given.to_wire() if given else {}
    limits, requests = dict(parts.get("limits", {})), dict(parts.get("requests", {}))
    for name, default in (("cpu", DEFAULT_CPU), ("memory", DEFAULT_MEMORY)):
        limits.setdefault(name, requests.get(name, default))
        requests.setdefault(name, limits[name])
    return parts | {"limits": limits, "requests": requests}
