"""Pod template of a host: the model server, the agent as its sidecar, and the volume that they share.

The agent mounts the whole volume (folders `models`, `staging`, `markers`), so that it can rename between them. The
server mounts only `models`, read-only. The security contexts satisfy the Pod Security Standard *restricted*; the
user's fields override them.
"""

from __future__ import annotations

from typing import Any

from manyserve.api import names
from manyserve.api.inferenceservice import InferenceService
from manyserve.api.pod import PodFields
from manyserve.api.servingconfig import ServingConfig
from manyserve.plan.children import pod_security
from manyserve.plan.children.agent_container import build_agent
from manyserve.plan.children.server_container import build_server
from manyserve.plan.storage.mounts import Sources

NO_SOURCES = Sources()


def build_pod_template(host: InferenceService, config: ServingConfig, sources: Sources = NO_SOURCES) -> dict[str, Any]:
    """Return the pod template of the host's Deployment."""
    name, predictor = host.metadata.name, host.spec.predictor
    user_fields = {key: value for key, value in predictor.to_wire().items() if key in _pod_fields()}
    spec = user_fields | {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": pod_security.POD | user_fields.get("securityContext", {}),
        "containers": [build_server(host, config), build_agent(host, config, sources)],
        "volumes": [*_volumes(name), *_source_volumes(sources), *user_fields.get("volumes", [])],
    }
    return {"metadata": {"labels": names.labels(name) | names.selector(name)}, "spec": spec}


def _pod_fields() -> set[str]:
    return {field.alias or name for name, field in PodFields.model_fields.items()}


def _source_volumes(sources: Sources) -> list[dict[str, Any]]:
    return [{"name": folder.name} | folder.volume for folder in sources.folders]


def _volumes(name: str) -> list[dict[str, Any]]:
    return [
        {"name": "models", "emptyDir": {}},
        {"name": "models-config", "configMap": {"name": names.model_config(name)}},
        {"name": "server-tmp", "emptyDir": {}},
        {"name": "agent-tmp", "emptyDir": {}},
    ]
