"""Pod template of a host: the model server, the agent as its sidecar, and the volume that they share.

The agent mounts the whole volume (folders `models`, `staging`, `markers`), so that it can rename between them. The
server mounts only `models`, read-only. The security contexts are stricter than the Pod Security Standard
*restricted*, by a read-only root filesystem; the user's fields override them.
"""

from __future__ import annotations

from typing import Any

from manyserve.api import agentenv, names
from manyserve.api.agentreport import AGENT_PORT
from manyserve.api.inferenceservice import InferenceService
from manyserve.api.pod import PodFields
from manyserve.api.servingconfig import AgentConfig, ServingConfig
from manyserve.plan.children.cloud_identity import skip_annotations
from manyserve.plan.children.server_container import (
    LAST_MESSAGE,
    RESTRICTED,
    STRICT,
    build_server,
    key_env,
    launch_spec,
)
from manyserve.plan.children.shutdown import grace_seconds
from manyserve.plan.children.volumes import AGENT_TMP, MODELS, MODELS_CONFIG, own_volumes
from manyserve.plan.host_metadata import with_host_metadata
from manyserve.plan.servers.ports import http_port
from manyserve.plan.servers.registry import server_kind
from manyserve.plan.storage.mounts import Sources

NON_ROOT = {"runAsNonRoot": True}
POD_SECURITY = {"fsGroupChangePolicy": "OnRootMismatch", "seccompProfile": {"type": "RuntimeDefault"}}
"""With `NON_ROOT` the security context of each pod, under those of the configuration and of the user."""

STORE_DIR = "/mnt/manyserve"
CONFIG_DIR = "/mnt/configs"
_PROBES = {
    "readinessProbe": {"httpGet": {"path": "/readyz", "port": "agent"}, "periodSeconds": 1, "timeoutSeconds": 5},
    "livenessProbe": {
        "httpGet": {"path": "/healthz", "port": "agent"},
        "periodSeconds": 10,
        "timeoutSeconds": 5,
        "failureThreshold": 6,
    },
}

NO_SOURCES = Sources()


def build_pod_template(host: InferenceService, config: ServingConfig, sources: Sources = NO_SOURCES) -> dict[str, Any]:
    """Return the pod template of the host's Deployment."""
    name, predictor = host.metadata.name, host.spec.predictor
    user_fields = {key: value for key, value in predictor.to_wire().items() if key in _pod_fields()}
    spec = user_fields | {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": grace_seconds(host),
        "securityContext": pod_security(config) | user_fields.get("securityContext", {}),
        **_init_containers(user_fields, config),
        **pull_secrets(user_fields, config),
        "containers": [build_server(host, config), build_agent(host, config, sources)],
        "volumes": [
            *own_volumes(name, _agent_config(host, config).volume_size_limit),
            *_source_volumes(sources),
            *user_fields.get("volumes", []),
        ],
    }
    metadata = {
        "labels": names.labels(name) | names.selector(name),
        "annotations": skip_annotations([*spec["containers"], *spec.get("initContainers", ())]),
    }
    return {"metadata": with_host_metadata(metadata, host), "spec": spec}


def pod_security(config: ServingConfig) -> dict[str, Any]:
    """Return the configured security context of a pod, stricter where the configuration says nothing."""
    configured = config.hosts.pod_security_context
    return NON_ROOT | configured | {name: value for name, value in POD_SECURITY.items() if name not in configured}


def pull_secrets(user_fields: dict[str, Any], config: ServingConfig) -> dict[str, Any]:
    """Return the user's pull secrets, and those of the configuration that the user does not name."""
    own = user_fields.get("imagePullSecrets", [])
    named = {each.get("name") for each in own}
    more = [{"name": name} for name in dict.fromkeys(config.hosts.image_pull_secrets) if name not in named]
    return {"imagePullSecrets": [*own, *more]} if own or more else {}


def _init_containers(user_fields: dict[str, Any], config: ServingConfig) -> dict[str, Any]:
    """Return the user's init containers; their security settings override the configured ones."""
    security = RESTRICTED | config.hosts.server_security_context
    containers = [
        each | {"securityContext": security | (each.get("securityContext") or {})}
        for each in user_fields.get("initContainers", ())
    ]
    return {"initContainers": containers} if containers else {}


def _pod_fields() -> set[str]:
    return {field.alias or name for name, field in PodFields.model_fields.items()}


def _source_volumes(sources: Sources) -> list[dict[str, Any]]:
    return [{"name": folder.name} | folder.volume for folder in sources.folders]


def build_agent(host: InferenceService, config: ServingConfig, sources: Sources) -> dict[str, Any]:
    """Return the container of the agent, with the credentials of the stores."""
    agent = config.agent
    pull = {"imagePullPolicy": agent.image_pull_policy} if agent.image_pull_policy else {}
    return {**LAST_MESSAGE, **pull} | {
        "name": names.AGENT_CONTAINER,
        "image": agent.image,
        "args": ["agent"],
        "env": _agent_env(host, config, sources),
        "ports": [{"name": "agent", "containerPort": AGENT_PORT, "protocol": "TCP"}],
        "resources": {
            "limits": {"cpu": agent.cpu_limit, "memory": agent.memory_limit}
            | _ephemeral_storage(agent.ephemeral_storage_limit),
            "requests": {"cpu": agent.cpu_request, "memory": agent.memory_request}
            | _ephemeral_storage(agent.ephemeral_storage_request),
        },
        **_PROBES,
        "securityContext": STRICT | config.hosts.agent_security_context,
        "volumeMounts": _agent_mounts(sources),
    }


def _agent_config(host: InferenceService, config: ServingConfig) -> AgentConfig:
    """Return the configuration of the host's agent and its volume."""
    return config.agent.limited_to(host.volume_size_limit)


def _ephemeral_storage(size: str | None) -> dict[str, str | int]:
    return {"ephemeral-storage": size} if size else {}


def _agent_env(host: InferenceService, config: ServingConfig, sources: Sources) -> list[dict[str, Any]]:
    env = {
        agentenv.STORE_DIR: STORE_DIR,
        agentenv.CONFIG_FILE: f"{CONFIG_DIR}/models.json",
        agentenv.SERVER_URL: f"http://localhost:{http_port(host)}",
        agentenv.SERVER_DIALECT: server_kind(host.spec.predictor).dialect,
    }
    env |= {agentenv.ROUTERS: "true"} if host.spec.predictor.is_heterogeneous else {}
    launch = launch_spec(host, config)
    env |= {agentenv.ALLOWED_BACKENDS: ",".join(launch.backends)} if launch.backends else {}
    volume_bytes = _agent_config(host, config).volume_bytes
    env |= {agentenv.VOLUME_BYTES: str(volume_bytes)} if volume_bytes else {}
    env |= sources.env
    variables = [{"name": name, "value": value} for name, value in env.items()]
    return [*variables, *((key_env(),) if launch.has_key else ())]


def _agent_mounts(sources: Sources) -> list[dict[str, Any]]:
    return [
        {"name": MODELS, "mountPath": STORE_DIR},
        {"name": MODELS_CONFIG, "mountPath": CONFIG_DIR, "readOnly": True},
        {"name": AGENT_TMP, "mountPath": "/tmp"},  # noqa: S108 - the container's own, an emptyDir
        *({"name": folder.name, "mountPath": folder.path, "readOnly": True} for folder in sources.folders),
    ]
