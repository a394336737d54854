"""Container of the model server: defaults of multi-model serving, overridden by the user's fields.

The container mounts the folder `models` of the shared volume, read-only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from manyserve.api import agentenv, names
from manyserve.api.inferenceservice import InferenceService, ServerFields
from manyserve.api.pod import ContainerFields, EnvVar, Resources
from manyserve.api.quantity import is_zero_quantity
from manyserve.api.servingconfig import ServingConfig
from manyserve.plan.capacity import predictor_config
from manyserve.plan.children.probes import build_probes
from manyserve.plan.children.shutdown import build_lifecycle
from manyserve.plan.children.volumes import MODELS, SERVER_TMP, mounted_folder
from manyserve.plan.memory import DEFAULT_MEMORY
from manyserve.plan.servers.flags import FlagTable
from manyserve.plan.servers.launch import MODELS_DIR, LaunchRequest, LaunchSpec
from manyserve.plan.servers.ports import http_port
from manyserve.plan.servers.registry import server_kind

DEFAULT_CPU = "1"
STRICT = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
    "runAsNonRoot": True,
}
"""Security context of server and agent: stricter than the Pod Security Standard *restricted*."""
RESTRICTED = {key: value for key, value in STRICT.items() if key != "readOnlyRootFilesystem"}
"""Security context of *restricted*, with a writable root file system."""
LAST_MESSAGE = {"terminationMessagePolicy": "FallbackToLogsOnError"}
"""Has the kubelet take the end of a container's log as its termination message, when it writes none itself."""
_TMP = "/tmp"  # noqa: S108 - the container's own
_GPU_PREFIX = "nvidia.com/"
"""Prefix of the resources of NVIDIA's device plugin: whole GPUs, MIG slices, shared GPUs."""
_PROBES = {"startupProbe", "livenessProbe", "readinessProbe"}
_MERGED = {"resources", "ports", "volumeMounts", "securityContext", "args", "env", "image", "lifecycle"} | _PROBES
_COPIED = {field.alias for field in ContainerFields.model_fields.values()} - _MERGED


def build_server(host: InferenceService, config: ServingConfig) -> dict[str, Any]:
    """Return the container of the model server."""
    server = host.spec.predictor.server
    copied = {key: value for key, value in server.to_wire().items() if key in _COPIED}
    kind, launch = server_kind(host.spec.predictor), launch_spec(host, config)
    return (
        LAST_MESSAGE
        | copied
        | build_probes(launch, server)
        | build_lifecycle(host)
        | _env(launch, server.env or ())
        | {
            "name": names.SERVER_CONTAINER,
            "image": server_image(host, config),
            "args": _args(kind.flags, launch, server),
            "ports": [
                {"name": "http", "containerPort": http_port(host), "protocol": "TCP"},
                {"name": "grpc", "containerPort": names.GRPC_PORT, "protocol": "TCP"},
                {"name": "metrics", "containerPort": names.METRICS_PORT, "protocol": "TCP"},
            ],
            "resources": _resources(server.resources),
            "securityContext": STRICT | config.hosts.server_security_context | (server.security_context or {}),
            "volumeMounts": _mounts(server.volume_mounts or ()),
        }
    )


def _args(flags: FlagTable, launch: LaunchSpec, server: ContainerFields) -> list[str]:
    """Return the arguments: the operator's, then the user's. A program there goes first if an entry point runs it."""
    command, given = server.command or (), server.args or ()
    rest = flags.without_program(given)
    runs_program = bool(command) and not any(map(flags.is_program, command))
    return [*(given[: len(given) - len(rest)] if runs_program else ()), *launch.args, *rest]


def server_image(host: InferenceService, config: ServingConfig) -> str | None:
    """Return the server's image, or None when neither the user nor the configuration names one."""
    server = host.spec.predictor.server
    if server.image:
        return server.image
    configured = predictor_config(host, config)
    if configured is None:
        return None
    version = configured.default_image_version
    if configured.default_gpu_image_version and _has_gpu(server.resources):
        version = configured.default_gpu_image_version
    return f"{configured.image}:{(isinstance(server, ServerFields) and server.runtime_version) or version}"


def _has_gpu(resources: Resources | None) -> bool:
    limits = (resources and resources.limits) or {}
    return any(name.startswith(_GPU_PREFIX) and not is_zero_quantity(value) for name, value in limits.items())


def launch_spec(host: InferenceService, config: ServingConfig) -> LaunchSpec:
    """Return the arguments, environment and probes of the host's server."""
    predictor = host.spec.predictor
    request = LaunchRequest(
        predictor=predictor.name,
        name=host.metadata.name,
        port=http_port(host),
        image=server_image(host, config),
        cpu=_resources(predictor.server.resources)["limits"]["cpu"],
        args=predictor.server.args or (),
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


def _mounts(user_mounts: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the mounts: the models, an empty /tmp unless the user mounts one, the user's mounts."""
    has_tmp = any(mounted_folder(mount) == _TMP for mount in user_mounts)
    return [
        {"name": MODELS, "mountPath": MODELS_DIR, "subPath": "models", "readOnly": True},
        *(() if has_tmp else ({"name": SERVER_TMP, "mountPath": _TMP},)),
        *user_mounts,
    ]


def _resources(resources: Resources | None) -> dict[str, Any]:
    """Fill in unset values: a limit from the request or the default, a request from the limit."""
    fields = resources.to_wire() if resources else {}
    limits, requests = dict(fields.get("limits", {})), dict(fields.get("requests", {}))
    for name, default in (("cpu", DEFAULT_CPU), ("memory", DEFAULT_MEMORY)):
        limits.setdefault(name, requests.get(name, default))
        requests.setdefault(name, limits[name])
    return fields | {"limits": limits, "requests": requests}
