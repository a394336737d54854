"""`inferenceservice-config`: the operator's configuration, with the keys of KFServing 0.6.

A ConfigMap in the operator's namespace; each key holds JSON. `parse` takes its data whole or not at all: a
broken edit raises `ConfigError` with the key and the field, and the caller keeps the last good one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, ValidationError

from manyserve.api.credentialsconfig import Credentials
from manyserve.api.kube_model import KubeModel
from manyserve.api.quantity import Memory

NAME = "inferenceservice-config"


class ConfigError(ValueError):
    """The configuration cannot be used; the message says which key and field, and what is wrong."""


class PredictorConfig(KubeModel):
    """One model server: its image and what it can load."""

    image: str
    default_image_version: str = "latest"
    default_gpu_image_version: str | None = None
    supported_frameworks: tuple[str, ...] = ()
    multi_model_server: bool = False
    restrict_load_api: bool = True
    """Whether Triton's load API is closed to all but the agent, where its version can do that."""


class IngressConfig(KubeModel):
    """How hosts are reached from outside: an Ingress by default, an HTTPRoute when a gateway is named."""

    ingress_domain: Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", max_length=200)] = "example.com"
    domain_template: Annotated[str, Field(max_length=160)] = "{{ .Name }}.{{ .Namespace }}.{{ .IngressDomain }}"
    url_scheme: Annotated[str, Field(pattern=r"^https?$")] = "http"
    ingress_class_name: str | None = None
    gateway: Annotated[str | None, Field(pattern=r"^[^/]+/[^/]+$", description="namespace/name")] = None
    disable_ingress_creation: bool = False


class AgentConfig(KubeModel):
    """The agent sidecar: its image and its resources."""

    image: str = "manyserve/manyserve:0.1.0"
    image_pull_policy: str | None = None
    cpu_request: Memory = "100m"
    memory_request: Memory = "100Mi"
    cpu_limit: Memory = "1"
    memory_limit: Memory = "1Gi"


class DeployConfig(KubeModel):
    """How Deployments roll out."""

    progress_deadline: Annotated[int, Field(ge=1, le=86400, description="Seconds.")] = 600


class ServingConfig(KubeModel):
    """The whole configuration."""

    predictors: dict[str, PredictorConfig] = {}
    """By predictor, `triton`, or by predictor and protocol, `sklearn.v2`."""
    ingress: IngressConfig = IngressConfig()
    agent: AgentConfig = AgentConfig()
    deploy: DeployConfig = DeployConfig()
    credentials: Credentials = Credentials()


def parse(data: Mapping[str, str]) -> ServingConfig:
    """Return the configuration that the ConfigMap's data says. Raises `ConfigError`."""
    sections = {key: _section(key, text) for key, text in data.items() if key in ServingConfig.model_fields}
    try:
        return ServingConfig.model_validate(sections)
    except ValidationError as error:
        first = error.errors()[0]
        path = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"{NAME}: {path}: {first['msg'].removeprefix('Value error, ')}") from None


def _section(key: str, text: str) -> Any:
    try:
        section = json.loads(text)
    except ValueError as error:
        raise ConfigError(f"{NAME}: {key} is not JSON: {error}") from None
    if not isinstance(section, dict):
        raise ConfigError(f"{NAME}: {key} must be a JSON object")
    return _flat_predictors(section) if key == "predictors" else section


def _flat_predictors(section: dict[str, Any]) -> dict[str, Any]:
    """Put the protocol into the name where a server is given by protocol, as 0.6 does for sklearn and xgboost."""
    flat: dict[str, Any] = {}
    for name, each in section.items():
        by_protocol = isinstance(each, dict) and each and each.keys() <= {"v1", "v2"}
        flat |= {f"{name}.{protocol}": one for protocol, one in each.items()} if by_protocol else {name: each}
    return flat
