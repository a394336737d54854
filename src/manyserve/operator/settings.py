"""Settings of the operator, from environment variables."""

from __future__ import annotations

from manyserve.api.agentreport import AGENT_PORT
from manyserve.api.routerenv import ROUTER_PORT
from manyserve.settings_env import ScopedSettings, env
from manyserve.settings_types import Flag, LogLevel, Port


class OperatorSettings(ScopedSettings):
    """All settings of `manyserve operator`."""

    namespace: str = env("POD_NAMESPACE", default="manyserve-system")
    """The namespace of the operator and of `inferenceservice-config`."""
    pod: str = env("POD_NAME", default="")
    """The identity in the Lease; empty: the machine's name and a random number."""
    leader_election: Flag = env("MANYSERVE_LEADER_ELECTION", default=True)
    """False: this is the only replica, and it works without a Lease."""
    lease: str = env("MANYSERVE_LEASE", default="manyserve-operator")
    """The Lease that the replicas share, in the operator's namespace."""
    take_over: str = env("MANYSERVE_TAKE_OVER", default="")
    """Another operator that is gone, as namespace/name of its Lease: its hosts are taken over."""
    health_port: Port = env("MANYSERVE_HEALTH_PORT", default=8090)
    """Serves /healthz and /readyz."""
    metrics_port: Port = env("MANYSERVE_METRICS_PORT", default=9090)
    """Serves /metrics."""
    agent_port: Port = env("MANYSERVE_AGENT_PORT", default=AGENT_PORT)
    """The port of the agents in the hosts' pods."""
    router_port: Port = env("MANYSERVE_ROUTER_PORT", default=ROUTER_PORT)
    """The port of the router programs of heterogeneous hosts."""
    network_policies: Flag = env("MANYSERVE_NETWORK_POLICIES", default=False)
    """True: the operator has the rights on NetworkPolicies, and watches them."""
    log_level: LogLevel = env("MANYSERVE_LOG_LEVEL", default="INFO")
