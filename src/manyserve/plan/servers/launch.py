"""How each model server is started: what stands in its file, one a server, is data of this shape."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from manyserve.api import agentenv

MODELS_DIR = "/mnt/models"
KEY_ENV = agentenv.SERVER_KEY


@dataclass(frozen=True)
class Start:
    """What a server is started with, and how the agent is to speak to it."""

    dialect: str = "v2"
    """The word for the agent: `v2`, `mlserver` or `v1`."""
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    live: str = "/v2/health/live"
    ready: str = "/v2/health/ready"
    patience: int = 6
    """How many checks in a row, ten seconds apart, may find the server silent before it is restarted."""
    has_key: bool = False
    """Whether the server asks those who load and unload for the key of its pod."""
