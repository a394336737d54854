"""Container of the model server: the user's fields over those that multi-model serving needs.

The server has the folder `models` of the shared volume, read-only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from manyserve.api import agentenv, names
from manyserve.api.inferenceservice import InferenceService, ServerFields
from manyserve.api.pod import ContainerFields, EnvVar, Resources
from manyserve.api.servingconfig import ServingConfig
from manyserve.plan.capacity import predictor_config
from manyserve.plan.children.pod_security import STRICT
from manyserve.plan.memory import DEFAULT_MEMORY
from manyserve.plan.servers.launch import MODELS_DIR, LaunchRequest, LaunchSpec
from manyserve.plan.servers.registry import server_kind

DEFAULT_CPU = "1"
SERVER_USER = 1000
_GPU = "nvidia.com/gpu"
_LAID_OVER = {"resources", "ports", "volumeMounts", "securityContext", "args", "env", "image"}
_HANDED_ON = {field.alias for field in ContainerFields.model_fields.values()} - _LAID_OVER


def build_server(host: InferenceService, config: ServingConfig) -> dict[str, Any]:
    """Return the container of the model server, the user's fields laid over ours."""
    server = host.spec.predictor.server
    given = {key: each for key, each in server.to_wire().items() if key in _HANDED_ON}
    port, launch = http_port(host), launch_spec(host, config)
    return (
        _probes(launch)
        | given
        | _env(launch, server.env or ())
        | {
            "name": names.SERVER_CONTAINER,
            "image": server_image(host, config),
            "args": [*launch.args, *(server.args or ())],
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


def server_image(host: InferenceService, config: ServingConfig) -> str | None:
    """Return the image of the server, or None when neither the user nor the configuration names one."""
    server = host.spec.predictor.server
    if server.image:
        return server.image
    configured = predictor_config(host, config)
    if configured is None:
        return None
    version = configured.default_image_version
    if configured.default_gpu_image_version and server.resources and _GPU in (server.resources.limits or {}):
        version = configured.default_gpu_image_version
    return f"{configured.image}:{(isinstance(server, ServerFields) and server.runtime_version) or version}"


def http_port(host: InferenceService) -> int:
    """Return the port on which the server answers HTTP: the user's first, else ours."""
    ports = host.spec.predictor.server.ports or ()
    return int(ports[0].get("containerPort", names.HTTP_PORT)) if ports else names.HTTP_PORT


def launch_spec(host: InferenceService, config: ServingConfig) -> LaunchSpec:
    """Return how the host's server is started."""
    predictor = host.spec.predictor
    request = LaunchRequest(
        predictor=predictor.name,
        host=host.metadata.name,
        port=http_port(host),
        image=server_image(host, config),
        cpu=_resources(predictor.server.resources)["limits"]["cpu"],
        has_command=bool(predictor.server.command),
        config=predictor_config(host, config),
    )
    return server_kind(predictor).launch(request)


def key_env() -> dict[str, Any]:
    """Return the variable with the key of the pod, which is its UID."""
    return {"name": agentenv.SERVER_KEY, "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}}


def _env(launch: LaunchSpec, given: Sequence[EnvVar]) -> dict[str, Any]:
    """Return the environment: the launch's variables that the user does not set, the key, the user's variables."""
    overridden = {variable.name for variable in given}
    defaults = [{"name": name, "value": value} for name, value in launch.env.items() if name not in overridden]
    env = [*defaults, *((key_env(),) if launch.has_key else ()), *(variable.to_wire() for variable in given)]
    return {"env": env} if env else {}


def _probes(launch: LaunchSpec) -> dict[str, Any]:
    live = {"httpGet": {"path": launch.live, "port": "http"}}
    return {
        "startupProbe": live | {"periodSeconds": 1, "failureThreshold": 600},
        "livenessProbe": live | {"periodSeconds": 10, "timeoutSeconds": 5, "failureThreshold": launch.patience},
        "readinessProbe": {"httpGet": {"path": launch.ready, "port": "http"}, "periodSeconds": 2},
    }


def _resources(given: Resources | None) -> dict[str, Any]:
    """Fill in unset values: a limit from the request or the default, a request from the limit."""
    parts = given.to_wire() if given else {}
    limits, requests = dict(parts.get("limits", {})), dict(parts.get("requests", {}))
    for name, default in (("cpu", DEFAULT_CPU), ("memory", DEFAULT_MEMORY)):
        limits.setdefault(name, requests.get(name, default))
        requests.setdefault(name, limits[name])
    return parts | {"limits": limits, "requests": requests}
