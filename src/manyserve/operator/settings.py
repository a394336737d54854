"""The operator's settings: the environment in, one frozen object out, checked at start."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Self, TypeVar

from manyserve import environment
from manyserve.api.agentreport import AGENT_PORT
from manyserve.api.errors import StartupError
from manyserve.api.scope import EVERYWHERE, Scope

Value = TypeVar("Value", int, str, bool)


@dataclass(frozen=True)
class OperatorSettings:
    """Everything that can be set."""

    namespace: str = "manyserve-system"
    """`POD_NAMESPACE`: where the operator runs and its ConfigMap is."""
    pod: str = ""
    """`POD_NAME`: what the Lease names this replica; empty: the machine's name and a random number."""
    leader_election: bool = True
    """`MANYSERVE_LEADER_ELECTION`: whether to work only while holding the Lease; false: this is the only operator."""
    lease: str = "manyserve-operator"
    """`MANYSERVE_LEASE`: the Lease, in the operator's namespace, that the replicas share."""
    scope: Scope = EVERYWHERE
    """`MANYSERVE_WATCH_NAMESPACES` or `MANYSERVE_NAMESPACE_SELECTOR`: where objects are managed; unset: everywhere."""
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
            pod=env.get("POD_NAME") or cls.pod,
            leader_election=_read(env, "MANYSERVE_LEADER_ELECTION", environment.flag, cls.leader_election),
            lease=env.get("MANYSERVE_LEASE") or cls.lease,
            scope=Scope.from_env(env),
            health_port=_read(env, "MANYSERVE_HEALTH_PORT", environment.port, cls.health_port),
            metrics_port=_read(env, "MANYSERVE_METRICS_PORT", environment.port, cls.metrics_port),
            agent_port=_read(env, "MANYSERVE_AGENT_PORT", environment.port, cls.agent_port),
            log_level=_read(env, "MANYSERVE_LOG_LEVEL", environment.level, cls.log_level),
        )


def _read(env: Mapping[str, str], name: str, parse: Callable[[str], Value], default: Value) -> Value:
    text = env.get(name) or str(default)
    try:
        return parse(text)
    except ValueError as error:
        raise StartupError(f"{name} {error}, and is {text!r}") from None
