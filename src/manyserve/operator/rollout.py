"""Hold of a new pod, from the cluster state."""

from __future__ import annotations

from manyserve.api.names import Key
from manyserve.cluster.state import ClusterState
from manyserve.plan.children.routing import is_routed
from manyserve.plan.pods import replicas_of
from manyserve.plan.rollout import hold_seconds


def hold_of(state: ClusterState, host: Key, uid: str) -> float | None:
    """Return how long the pod of this uid stays unready after its server's first answer; None while that is unknown."""
    replicas = replicas_of(state.replicas(host), state.reports)
    pod = next((each for each in replicas if each.uid == uid), None)
    owner, config = state.hosts.get(host), state.config
    if pod is None or owner is None or config is None:
        return None
    routed = is_routed(owner, config, state.children.get(host, {}))
    return hold_seconds(pod, replicas, state.model_names(host), config.rollout.model_seconds, is_routed=routed)
