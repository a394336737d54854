"""Container of the agent. It mounts the whole shared volume, so that it can rename between its folders."""

from __future__ import annotations

from typing import Any

from manyserve.api import agentenv, names
from manyserve.api.agentreport import AGENT_PORT
from manyserve.api.inferenceservice import InferenceService
from manyserve.api.servingconfig import ServingConfig
from manyserve.plan.children.pod_security import GROUP_ID, STRICT
from manyserve.plan.children.server_container import http_port, key_env, launch_spec
from manyserve.plan.servers.registry import server_kind
from manyserve.plan.storage.mounts import Sources

STORE_DIR = "/mnt/manyserve"
CONFIG_DIR = "/mnt/configs"
_PROBES = {
    "readinessProbe": {"httpGet": {"path": "/readyz", "port": "agent"}, "periodSeconds": 1},
    "livenessProbe": {
        "httpGet": {"path": "/healthz", "port": "agent"},
        "periodSeconds": 10,
        "timeoutSeconds": 5,
        "failureThreshold": 6,
    },
}


def build_agent(host: InferenceService, config: ServingConfig, sources: Sources) -> dict[str, Any]:
    """Return the container of the agent, with the credentials of the stores."""
    agent = config.agent
    pull = {"imagePullPolicy": agent.image_pull_policy} if agent.image_pull_policy else {}
    return pull | {
        "name": names.AGENT_CONTAINER,
        "image": agent.image,
        "args": ["agent"],
        "env": _env(host, config, sources),
        "ports": [{"name": "agent", "containerPort": AGENT_PORT, "protocol": "TCP"}],
        "resources": {
            "limits": {"cpu": agent.cpu_limit, "memory": agent.memory_limit},
            "requests": {"cpu": agent.cpu_request, "memory": agent.memory_request},
        },
        **_PROBES,
        "securityContext": STRICT | {"runAsUser": GROUP_ID},
        "volumeMounts": _mounts(sources),
    }


def _env(host: InferenceService, config: ServingConfig, sources: Sources) -> list[dict[str, Any]]:
    env = {
        agentenv.STORE_DIR: STORE_DIR,
        agentenv.CONFIG_FILE: f"{CONFIG_DIR}/models.json",
        agentenv.SERVER_URL: f"http://localhost:{http_port(host)}",
        agentenv.SERVER_DIALECT: server_kind(host.spec.predictor).dialect,
    }
    env |= sources.env
    variables = [{"name": name, "value": value} for name, value in env.items()]
    return [*variables, *((key_env(),) if launch_spec(host, config).has_key else ())]


def _mounts(sources: Sources) -> list[dict[str, Any]]:
    return [
        {"name": "models", "mountPath": STORE_DIR},
        {"name": "models-config", "mountPath": CONFIG_DIR, "readOnly": True},
        {"name": "agent-tmp", "mountPath": "/tmp"},  # noqa: S108 - the container's own, an emptyDir
        *({"name": folder.name, "mountPath": folder.path, "readOnly": True} for folder in sources.folders),
    ]
