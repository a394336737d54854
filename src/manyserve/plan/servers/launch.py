"""Launch data of a model server: the request, the container's part that follows from it, and the registry entry."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from manyserve.api.servingconfig import PredictorConfig

MODELS_DIR = "/mnt/models"


@dataclass(frozen=True)
class LaunchRequest:
    """The facts of a host by which its server is started."""

    predictor: str
    host: str
    port: int
    image: str | None = None
    cpu: Any = "1"
    """CPU limit of the server's container, a quantity."""
    has_command: bool = False
    """Whether the user gives the program."""
    config: PredictorConfig | None = None


@dataclass(frozen=True)
class LaunchSpec:
    """Arguments, environment and probes of a server's container."""

    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    live: str = "/v2/health/live"
    ready: str = "/v2/health/ready"
    patience: int = 6
    """Failed liveness probes in a row, 10 s apart, before the container is restarted."""
    has_key: bool = False
    """Whether the server asks for the key of its pod when a model is loaded or unloaded."""


def _no_error(_name: str, _value: str) -> str | None:
    return None


@dataclass(frozen=True)
class ServerKind:
    """Registry entry of a model server: its predictors, its launch, and the settings that users leave alone."""

    predictors: tuple[str, ...]
    protocols: tuple[str, ...]
    launch: Callable[[LaunchRequest], LaunchSpec]
    dialect: str
    """Key of `agent.servers.DIALECTS`."""
    owned_args: Mapping[str, str] = field(default_factory=dict)
    """Arguments that the operator gives, with the only value that a user may give too; empty: none."""
    owned_env: Mapping[str, str | None] = field(default_factory=dict)
    """Environment variables that the operator gives, likewise; None: a user may give no value."""
    argument_error: Callable[[str, str], str | None] = _no_error
    """Returns the end of a sentence about a user's argument, name and value, that the operator refuses."""
