"""`inferenceservice-config`: the operator's configuration, with the keys of KFServing 0.6.

It is a ConfigMap in the operator's namespace, and each key holds JSON. `parse` accepts all of the data or nothing: an
invalid edit raises `ConfigError` with the key and the field, and the caller keeps the last valid configuration.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator

from manyserve.api.agentreport import LONGEST_HOLD
from manyserve.api.credentialsconfig import Credentials
from manyserve.api.hostsconfig import HostsConfig
from manyserve.api.kube_model import KubeModel
from manyserve.api.quantity import Memory, format_memory, parse_duration, parse_memory
from manyserve.api.routerconfig import RouterConfig

NAME = "inferenceservice-config"
PLACEHOLDER = re.compile(r"\{\{\s*\.(Name|Namespace|IngressDomain)\s*\}\}")
"""A placeholder of `domainTemplate`."""
_DOMAIN_TEMPLATE = "{{ .Name }}.{{ .Namespace }}.{{ .IngressDomain }}"
_OTHER_PLACEHOLDER = re.compile(r"\{\{.*?\}\}|[{}].*", re.DOTALL)
MIN_TIMEOUT = 1.0  # seconds
MIN_STORAGE = 128 * 1024**2
"""Bytes of the smallest limit of the volume: agents keep 64 MiB of it free."""


class ConfigError(ValueError):
    """The configuration is invalid. The message has the key, the field and the reason."""


ANY_BACKEND = "*"
Backend = Annotated[str, Field(pattern=r"^(\*|[A-Za-z0-9][-_A-Za-z0-9]*)$", max_length=63)]


class PredictorConfig(KubeModel):
    """Configuration of one model server: its image and the frameworks that it supports."""

    image: str
    default_image_version: str = "latest"
    default_gpu_image_version: str | None = None
    supported_frameworks: tuple[str, ...] = ()
    multi_model_server: bool = False
    restrict_load_api: bool = True
    """Whether only the agent may use Triton's load API, if the version of Triton can restrict it."""
    allowed_backends: Annotated[tuple[Backend, ...], Field(min_length=1)] = (ANY_BACKEND,)
    """Backends of Triton that a new model may have, among those of its framework; `*` stands for all."""


def _domain_template(text: str) -> str:
    """Return the template, or the default for an empty one. Raises `ValueError` for an unknown placeholder."""
    if other := _OTHER_PLACEHOLDER.search(PLACEHOLDER.sub("", text)):
        allowed = "{{ .Name }}, {{ .Namespace }} and {{ .IngressDomain }}"
        raise ValueError(f"{other[0]!r} is no known placeholder; the known ones are {allowed}")
    return text or _DOMAIN_TEMPLATE


class IngressConfig(KubeModel):
    """Access to hosts from outside: an Ingress by default, an HTTPRoute when `gateway` is set."""

    ingress_domain: Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", max_length=200)] = "example.com"
    domain_template: Annotated[str, Field(max_length=160), AfterValidator(_domain_template)] = _DOMAIN_TEMPLATE
    url_scheme: Annotated[str, Field(pattern=r"^https?$")] = "http"
    ingress_class_name: str | None = None
    gateway: Annotated[str | None, Field(pattern=r"^[^/]+/[^/]+$", description="namespace/name")] = None
    disable_ingress_creation: bool = False


def storage_size(text: Any) -> str | None:
    """Return a quantity as it is written; None for an empty text. Raises `ValueError`."""
    if text in ("", None):
        return None
    if parse_memory(text) < MIN_STORAGE:
        raise ValueError(f"{text} is too small; it must be at least {format_memory(MIN_STORAGE)}")
    return str(text)


Storage = Annotated[str | None, BeforeValidator(storage_size)]
"""A quantity of disk space; an empty text means "not set"."""


class AgentConfig(KubeModel):
    """Image and resources of the agent sidecar, and the limit of the volume with models."""

    image: str = "manyserve/manyserve:0.1.0"
    image_pull_policy: str | None = None
    cpu_request: Memory = "100m"
    memory_request: Memory = "100Mi"
    cpu_limit: Memory = "1"
    memory_limit: Memory = "1Gi"
    ephemeral_storage_request: Storage = None
    ephemeral_storage_limit: Storage = None
    volume_size_limit: Storage = None
    """Limit of the volume, beyond which the kubelet evicts the pod."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        request, limit = self.ephemeral_storage_request, self.ephemeral_storage_limit
        if request and limit and parse_memory(limit) < parse_memory(request):
            raise ValueError(f"ephemeralStorageLimit {limit} is less than ephemeralStorageRequest {request}")
        return self

    def limited_to(self, volume_size_limit: str) -> Self:
        """Return the configuration for a host with a limit of its own; an empty one changes nothing."""
        return self.model_copy(update={"volume_size_limit": volume_size_limit}) if volume_size_limit else self

    @property
    def volume_bytes(self) -> int | None:
        """Bytes that the volume may hold: the volume counts as ephemeral storage of the pod, too."""
        limits = filter(None, (self.volume_size_limit, self.ephemeral_storage_limit))
        return min(map(parse_memory, limits), default=None)


class DeployConfig(KubeModel):
    """Roll-out of Deployments."""

    progress_deadline: Annotated[int, Field(ge=1, le=86400, description="Seconds.")] = 600
    """Longest time for the start of a pod; the wait for its models comes in addition."""


def _timeout(text: str) -> str:
    try:
        is_valid = MIN_TIMEOUT <= parse_duration(text) <= LONGEST_HOLD
    except ValueError:
        is_valid = False
    if not is_valid:
        raise ValueError("must be a duration from 1s to 24h, such as 90s, 30m or 1h30m")
    return text


Timeout = Annotated[str, AfterValidator(_timeout)]


class RolloutConfig(KubeModel):
    """Replacement of hosts' pods."""

    model_timeout: Timeout = "30m"
    """Longest wait of a new pod for a model that answers on other pods and fails on this one."""
    max_hosts: Annotated[int, Field(ge=1, strict=True)] = 1
    """Hosts with pods that a change of the operator's version or configuration replaces at a time."""
    host_timeout: Timeout = "15m"
    """Longest time for which such a host keeps others waiting."""

    @property
    def model_seconds(self) -> float:
        """The timeout of a model in seconds."""
        return parse_duration(self.model_timeout)

    @property
    def host_seconds(self) -> float:
        """The timeout of a host in seconds."""
        return parse_duration(self.host_timeout)


class ServingConfig(KubeModel):
    """The whole configuration."""

    predictors: dict[str, PredictorConfig] = {}
    """Keyed by predictor, `triton`, or by predictor and protocol, `sklearn.v2`."""
    ingress: IngressConfig = IngressConfig()
    agent: AgentConfig = AgentConfig()
    router: RouterConfig = RouterConfig()
    hosts: HostsConfig = HostsConfig()
    deploy: DeployConfig = DeployConfig()
    rollout: RolloutConfig = RolloutConfig()
    credentials: Credentials = Credentials()


def parse(data: Mapping[str, str]) -> ServingConfig:
    """Parse the data of the ConfigMap. Raises `ConfigError`."""
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
    """Flatten servers that are given by protocol to names with a protocol. 0.6 has sklearn and xgboost so."""
    flat: dict[str, Any] = {}
    for name, value in section.items():
        by_protocol = isinstance(value, dict) and value and value.keys() <= {"v1", "v2"}
        flat |= {f"{name}.{protocol}": server for protocol, server in value.items()} if by_protocol else {name: value}
    return flat
