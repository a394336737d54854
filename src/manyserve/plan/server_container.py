"""The model server's container: what the server needs to serve many models, under what the user sets.

The server sees the folder `models` of the shared volume, read-only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from manyserve.api import names
from manyserve.api.inferenceservice import InferenceService, ServerFields
from manyserve.api.pod import ContainerFields, EnvVar, Resources
from manyserve.api.servingconfig import ServingConfig
from manyserve.plan.capacity import predictor_config
from manyserve.plan.memory import DEFAULT_MEMORY
from manyserve.plan.restricted import STRICT
from manyserve.plan.servers.kserve import SPEAKS_V1, start_kserve_server
from manyserve.plan.servers.launch import KEY_ENV, MODELS_DIR, Start
from manyserve.plan.servers.mlserver import start_mlserver
from manyserve.plan.servers.triton import start_triton

DEFAULT_CPU = "1"
SERVER_USER = 1000
_GPU = "nvidia.com/gpu"
_LAID_OVER = {"resources", "ports", "volumeMounts", "securityContext", "args", "env", "image"}
_HANDED_ON = {field.alias for field in ContainerFields.model_fields.values()} - _LAID_OVER


def build_server(service: InferenceService, config: ServingConfig) -> dict[str, Any]:
    """Return the container of the model server, the user's fields laid over ours."""
    server = service.spec.predictor.server
    given = {key: each for key, each in server.to_wire().items() if key in _HANDED_ON}
    port, start = http_port(service), how_to_start(service, config)
    return (
        _probes(start)
        | given
        | _env(start, server.env or ())
        | {
            "name": names.SERVER_CONTAINER,
            "image": server_image(service, config),
            "args": [*start.args, *(server.args or ())],
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
    known = predictor_config(service, config)
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


def how_to_start(service: InferenceService, config: ServingConfig) -> Start:
    """Return how the host's server is started; one of the user's own gets only what they give."""
    predictor, port = service.spec.predictor, http_port(service)
    if predictor.name == "triton":
        known = predictor_config(service, config)
        return start_triton(
            port,
            image=server_image(service, config),
            restrict=known is None or known.restrict_load_api,
            has_command=bool(predictor.server.command),
        )
    if predictor.framework_server is None:
        return SPEAKS_V1 if predictor.protocol == "v1" else Start()
    if predictor.protocol == "v2":
        return start_mlserver(predictor.name, port)
    cpu = _resources(predictor.server.resources)["limits"]["cpu"]
    return start_kserve_server(predictor.name, service.metadata.name, port, cpu)


def key_env() -> dict[str, Any]:
    """Return the variable with the key of the pod, which is its UID."""
    return {"name": KEY_ENV, "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}}


def _env(start: Start, given: Sequence[EnvVar]) -> dict[str, Any]:
    """Return the environment: ours where the user's does not say otherwise, the key, the user's."""
    taken = {each.name for each in given}
    ours = [{"name": name, "value": value} for name, value in start.env.items() if name not in taken]
    env = [*ours, *((key_env(),) if start.has_key else ()), *(each.to_wire() for each in given)]
    return {"env": env} if env else {}


def _probes(start: Start) -> dict[str, Any]:
    live = {"httpGet": {"path": start.live, "port": "http"}}
    return {
        "startupProbe": live | {"periodSeconds": 1, "failureThreshold": 600},
        "livenessProbe": live | {"periodSeconds": 10, "timeoutSeconds": 5, "failureThreshold": start.patience},
        "readinessProbe": {"httpGet": {"path": start.ready, "port": "http"}, "periodSeconds": 2},
    }


def _resources(given: Resources | None) -> dict[str, Any]:
    """Fill in what is unset: a limit from the request or our default, a request from the limit."""
    parts = given.to_wire() if given else {}
    limits, requests = dict(parts.get("limits", {})), dict(parts.get("requests", {}))
    for name, default in (("cpu", DEFAULT_CPU), ("memory", DEFAULT_MEMORY)):
        limits.setdefault(name, requests.get(name, default))
        requests.setdefault(name, limits[name])
    return parts | {"limits": limits, "requests": requests}
