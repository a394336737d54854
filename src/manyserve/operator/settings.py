"""The operator's settings: the environment in, one frozen object out, checked at start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from manyserve.api.agentreport import AGENT_PORT
from manyserve.api.errors import StartupError

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


@dataclass(frozen=True)
class OperatorSettings:
    """Everything that can be set."""

    namespace: str = "manyserve-system"
    """`POD_NAMESPACE`: where the operator runs and its ConfigMap is."""
    watch_namespace: str | None = None
    """`MANYSERVE_WATCH_NAMESPACE`: the one namespace to look after; unset: all."""
    health_port: int = 8090
    """`MANYSERVE_HEALTH_PORT`: /healthz and /readyz."""
    metrics_port: int = 9090
    """`MANYSERVE_METRICS_PORT`: /metrics."""
    agent_port: int = AGENT_PORT
    """`MANYSERVE_AGENT_PORT`: where the agents in the pods answer."""
    log_level: str = "INFO"
    """`MANYSERVE_LOG_LEVEL`: DEBUG, INFO, WARNING or ERROR."""

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Self:
        """Return the settings of an environment. Raises `StartupError`."""
        return cls(
            namespace=env.get("POD_NAMESPACE") or cls.namespace,
            watch_namespace=env.get("MANYSERVE_WATCH_NAMESPACE") or None,
            health_port=_port(env, "MANYSERVE_HEALTH_PORT", cls.health_port),
            metrics_port=_port(env, "MANYSERVE_METRICS_PORT", cls.metrics_port),
            agent_port=_port(env, "MANYSERVE_AGENT_PORT", cls.agent_port),
            log_level=_level(env, "MANYSERVE_LOG_LEVEL"),
        )


def _port(env: Mapping[str, str], name: str, default: int) -> int:
    text = env.get(name) or str(default)
    if not (text.isascii() and text.isdecimal() and 0 < int(text) < 65536):
        raise StartupError(f"{name} must be a port, 1 to 65535, and is {text!r}")
    return int(text)


def _level(env: Mapping[str, str], name: str) -> str:
    text = env.get(name) or "INFO"
    if text.upper() not in LEVELS:
        raise StartupError(f"{name} must be one of {', '.join(LEVELS)}, and is {text!r}")
    return text.upper()
