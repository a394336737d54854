"""The pod of a host: the model server, the agent beside it, and the volume they share.

The agent sees the whole volume (folders `models`, `staging`, `markers`), so that it can rename from one to
the other; the server sees only `models`, read-only. Everything is as strict as Pod Security *restricted*
asks and a little stricter; what the user sets is laid over it.
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


def build_pod_template(
    service: InferenceService, config: ServingConfig, sources: Sources = NO_SOURCES
) -> dict[str, Any]:
    """Return the pod template of the host's Deployment."""
    host, predictor = service.metadata.name, service.spec.predictor
    given = {key: each for key, each in predictor.to_wire().items() if key in _pod_fields()}
    spec = given | {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": pod_security.POD | given.get("securityContext", {}),
        "containers": [build_server(service, config), build_agent(service, config, sources)],
        "volumes": [*_volumes(host), *_folders(sources), *given.get("volumes", [])],
    }
    return {"metadata": {"labels": names.labels(host) | names.selector(host)}, "spec": spec}


def _pod_fields() -> set[str]:
    return {field.alias or name for name, field in PodFields.model_fields.items()}


def _folders(sources: Sources) -> list[dict[str, Any]]:
    return [{"name": each.name} | each.volume for each in sources.folders]


def _volumes(host: str) -> list[dict[str, Any]]:
    return [
        {"name": "models", "emptyDir": {}},
        {"name": "models-config", "configMap": {"name": names.model_config(host)}},
        {"name": "server-tmp", "emptyDir": {}},
        {"name": "agent-tmp", "emptyDir": {}},
    ]
