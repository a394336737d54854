"""Names, labels and annotations of the child objects of a host."""

from __future__ import annotations

from typing import NamedTuple

from manyserve import api_group

GROUP = api_group.GROUP
KSERVE_GROUP = api_group.KSERVE
MANAGER = "manyserve"

MANAGED_BY = "app.kubernetes.io/managed-by"
PART_OF = "app.kubernetes.io/part-of"
COMPONENT_LABEL = f"{GROUP}/component"
PREDICTOR = "predictor"
ROUTER = "router"
HOST_LABEL = f"{GROUP}/inferenceservice"
SHARD_LABEL = f"{GROUP}/shard"
"""Label of the pods and the Deployment of a shard: its index."""
SHARD_DIGITS = 3
"""Digits of the largest index, since a host has at most 1000 shards."""
TEMPLATE_HASH = f"{GROUP}/template-hash"
APPLIED_HASH = f"{GROUP}/applied-hash"
REVISION = f"{GROUP}/revision"
REPLICAS = f"{GROUP}/replicas"
HOST_INPUTS = f"{GROUP}/host-inputs"
"""Annotation of a Deployment: a hash of everything in it that users give."""
ROLLOUT_BEGAN = f"{GROUP}/rollout-began"
"""Annotation of a Deployment: since when a change of the operator's own version or configuration replaces its pods."""
AUTOSCALER_CLASSES = tuple(dict.fromkeys(f"{group}/autoscalerClass" for group in (GROUP, KSERVE_GROUP)))
"""The annotation of a host with the owner of its replicas, in either group; the first one has precedence."""
VOLUME_SIZE_LIMITS = tuple(dict.fromkeys(f"{group}/models-volume-size-limit" for group in (GROUP, KSERVE_GROUP)))
"""The annotation of a host with the limit of its volume with models, in either group; the first has precedence."""
CONFIG_HASH = f"{GROUP}/model-config"
PLANNED_FROM = f"{GROUP}/planned-from"
DRAINABLE_SINCE = f"{GROUP}/drainable-since"
"""Annotation of a ConfigMap: since when the copies of its shard fit on others."""

SERVER_CONTAINER = "kserve-container"
AGENT_CONTAINER = "agent"
ENVOY_CONTAINER = "envoy"
ROUTER_CONTAINER = "router"
HTTP_PORT = 8080
GRPC_PORT = 9000
METRICS_PORT = 8002


class Key(NamedTuple):
    """Namespace and name of a host. The host is the unit of reconciliation."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


def deployment(host: str) -> str:
    """Return the name of the host's Deployment; its HPA and PodDisruptionBudget share it."""
    return f"{host}-predictor-default"


def host_of_deployment(name: str) -> str | None:
    """Return the host with a Deployment of this name, or None for another name."""
    suffix = deployment("")
    return name.removesuffix(suffix) if name.endswith(suffix) else None


def revision(host: str, number: int) -> str:
    """Return the name of the host's nth revision."""
    return f"{deployment(host)}-{number:05d}"


def model_config(host: str, shard: int = 0) -> str:
    """Return the name of the ConfigMap with the shard's `models.json`."""
    return f"modelconfig-{host}-{shard}"


def shard_of_model_config(host: str, name: str) -> int | None:
    """Return the shard with a ConfigMap of this name, or None for another name."""
    return _index(name, model_config(host, 0)[:-1])


def shard_deployment(host: str, shard: int) -> str:
    """Return the name of the Deployment of a shard. It is shorter than that of a homogeneous host."""
    return f"{host}-predictor-s{shard}"


def shard_of_deployment(host: str, name: str) -> int | None:
    """Return the shard with a Deployment of this name, or None for another name."""
    return _index(name, shard_deployment(host, 0)[:-1])


def _index(name: str, prefix: str) -> int | None:
    """Return the index after a prefix, written as we write it."""
    text = name.removeprefix(prefix)
    is_index = name.startswith(prefix) and text.isascii() and text.isdecimal() and len(text) <= SHARD_DIGITS
    return int(text) if is_index and text == str(int(text)) else None


def disruption_budget(host: str) -> str:
    """Return the name of the PodDisruptionBudget over all shards of a host."""
    return f"{host}-predictor"


def network_policy(host: str) -> str:
    """Return the name of the NetworkPolicy of a host's pods with models."""
    return f"{host}-predictor"


def router(host: str) -> str:
    """Return the name of all children of a host that are about its routers."""
    return f"{host}-router"


def labels(host: str) -> dict[str, str]:
    """Return the labels of all child objects of the host."""
    return {MANAGED_BY: MANAGER, HOST_LABEL: host}


def selector(host: str) -> dict[str, str]:
    """Return the labels that select the host's pods."""
    return {HOST_LABEL: host, COMPONENT_LABEL: PREDICTOR}


def router_selector(host: str) -> dict[str, str]:
    """Return the labels that select the pods of the host's routers."""
    return {HOST_LABEL: host, COMPONENT_LABEL: ROUTER}


def shard_selector(host: str, shard: int) -> dict[str, str]:
    """Return the labels that select the pod of a shard."""
    return selector(host) | {SHARD_LABEL: str(shard)}
