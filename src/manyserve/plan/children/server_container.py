"""Container of the model server: defaults of multi-model serving, overridden by the user's fields.

The container mounts the folder `models` of the shared volume, read-only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from manyserve.api import agentenv, names
from manyserve.api.inferenceservice import InferenceService, ServerFields
from manyserve.api.pod import ContainerFields, EnvVar, Resources
from manyserve.api.servingconfig import ServingConfig
from manyserve.plan.capacity import predictor_config
from manyserve.plan.memory import DEFAULT_MEMORY
from manyserve.plan.servers.launch import MODELS_DIR, LaunchRequest, LaunchSpec
from manyserve.plan.servers.registry import server_kind

DEFAULT_CPU = "1"
SERVER_USER = 1000
STRICT = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
    "runAsNonRoot": True,
}
"""Security context of server and agent: stricter than the Pod Security Standard *restricted*."""
RESTRICTED = {key: value for key, value in STRICT.items() if key != "readOnlyRootFilesystem"}
"""Security context of a user's init containers: that of *restricted*, with a writable root file system."""
_GPU = "nvidia.com/gpu"
_MERGED = {"resources", "ports", "volumeMounts", "securityContext", "args", "env", "image"}
_COPIED = {field.alias for field in ContainerFields.model_fields.values()} - _MERGED


def build_server(host: InferenceService, config: ServingConfig) -> dict[str, Any]:
    """Return the container of the model server."""
    server = host.spec.predictor.server
    copied = {key: value for key, value in server.to_wire().items() if key in _COPIED}
    port, launch = http_port(host), launch_spec(host, config)
    return (
        _probes(launch)
        | copied
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
    """Return the server's image, or None when neither the user nor the configuration names one."""
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
    """Return the server's HTTP port: the first port of the user, else the default."""
    ports = host.spec.predictor.server.ports or ()
    return int(ports[0].get("containerPort", names.HTTP_PORT)) if ports else names.HTTP_PORT


def launch_spec(host: InferenceService, config: ServingConfig) -> LaunchSpec:
    """Return the arguments, environment and probes of the host's server."""
    predictor = host.spec.predictor
    request = LaunchRequest(
        predictor=predictor.name,
        name=host.metadata.name,
        port=http_port(host),
        image=server_image(host, config),
        cpu=_resources(predictor.server.resources)["limits"]["cpu"],
        has_command=bool(predictor.server.command),
        config=predictor_config(host, config),
    )
    return server_kind(predictor).launch(request)


def key_env() -> dict[str, Any]:
    """Return the environment variable with the key of the load API: the pod's UID."""
    return {"name": agentenv.SERVER_KEY, "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}}


def _env(launch: LaunchSpec, user_env: Sequence[EnvVar]) -> dict[str, Any]:
    """Return the environment: the launch's variables that the user does not set, the key, the user's variables."""
    overridden = {variable.name for variable in user_env}
    defaults = [{"name": name, "value": value} for name, value in launch.env.items() if name not in overridden]
    env = [*defaults, *((key_env(),) if launch.has_key else ()), *(variable.to_wire() for variable in user_env)]
    return {"env": env} if env else {}


def _probes(launch: LaunchSpec) -> dict[str, Any]:
    live = {"httpGet": {"path": launch.live, "port": "http"}}
    threshold = launch.failure_threshold
    return {
        "startupProbe": live | {"periodSeconds": 1, "failureThreshold": 600},
        "livenessProbe": live | {"periodSeconds": 10, "timeoutSeconds": 5, "failureThreshold": threshold},
        "readinessProbe": {"httpGet": {"path": launch.ready, "port": "http"}, "periodSeconds": 2},
    }


def _resources(resources: Resources | None) -> dict[str, Any]:
    """Fill in unset values: a limit from the request or the default, a request from the limit."""
    fields = resources.to_wire() if resources else {}
    limits, requests = dict(fields.get("limits", {})), dict(fields.get("requests", {}))
    for name, default in (("cpu", DEFAULT_CPU), ("memory", DEFAULT_MEMORY)):
        limits.setdefault(name, requests.get(name, default))
        requests.setdefault(name, limits[name])
    return fields | {"limits": limits, "requests": requests}
