"""Types of a server's launch: its inputs, its arguments, environment and probes, and the registry entry."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from manyserve.api.servingconfig import PredictorConfig
from manyserve.plan.servers.flags import FlagTable

MODELS_DIR = "/mnt/models"


@dataclass(frozen=True)
class LaunchRequest:
    """Inputs of a server's launch, from the host and the configuration."""

    predictor: str
    name: str
    """Name of the host."""
    port: int
    image: str | None = None
    cpu: Any = "1"
    """CPU limit of the server's container, as a quantity."""
    args: Sequence[str] = ()
    """Arguments of the user."""
    has_command: bool = False
    """Whether the user sets the container's command."""
    config: PredictorConfig | None = None


@dataclass(frozen=True)
class LaunchSpec:
    """Arguments, environment and probes of a server's container."""

    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    live: str = "/v2/health/live"
    ready: str = "/v2/health/ready"
    failure_threshold: int = 6
    """Failed liveness probes in a row, 10 s apart, before the container is restarted."""
    backends: tuple[str, ...] = ()
    """Backends that models may have; none: the agent does not check them."""
    has_key: bool = False
    """Whether the server requires the key of its pod in requests that load or unload a model."""


class PublicPath(NamedTuple):
    """Path that clients outside the cluster may request: this one, or with `prefix` also those below it."""

    text: str
    prefix: bool = True


EVERYTHING = (PublicPath("/"),)
V2_PATHS = (PublicPath("/v2", prefix=False), PublicPath("/v2/health"), PublicPath("/v2/models"))
"""Metadata, health and inference of the v2 protocol. The load API is below `/v2/repository`."""


@dataclass(frozen=True)
class ServerKind:
    """Registry entry of a model server: its predictors, its launch, and the settings that only the operator may set."""

    predictors: tuple[str, ...]
    protocols: tuple[str, ...]
    launch: Callable[[LaunchRequest], LaunchSpec]
    dialect: str
    """Key of `agent.servers.DIALECTS`."""
    public: tuple[PublicPath, ...]
    """Paths that the Ingress and the HTTPRoute publish."""
    flags: FlagTable = field(default_factory=FlagTable)
    """Flags in the server's arguments, and their use."""
    owned_env: Mapping[str, str | None] = field(default_factory=dict)
    """Environment variables that the operator sets, with the only value that a user may repeat; None: no value."""
