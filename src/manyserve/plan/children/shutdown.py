"""Shutdown of a pod: the server answers on while nodes and gateways learn that the pod leaves.

Kubernetes removes the endpoint of a pod and stops its containers at the same time. Without a pause, requests on their
way reach a server that has ended.
"""

from __future__ import annotations

from typing import Any

from manyserve.api.inferenceservice import InferenceService

PRE_STOP_SECONDS = 10
"""Seconds until the server is stopped: an endpoint leaves nodes and gateways within a few seconds."""
GRACE_SECONDS = 45
"""Default of `terminationGracePeriodSeconds`: the pause, and 30 s in which Triton answers the requests it has."""


def grace_seconds(host: InferenceService) -> int:
    """Return the seconds after which the kubelet kills the containers of a pod that ends."""
    given = host.spec.predictor.termination_grace_period_seconds
    return GRACE_SECONDS if given is None else given


def build_lifecycle(host: InferenceService) -> dict[str, Any]:
    """Return the hooks of the server: the user's over the pause, which takes half of the grace period at most."""
    seconds = min(PRE_STOP_SECONDS, grace_seconds(host) // 2)
    pause = {"preStop": {"sleep": {"seconds": seconds}}} if seconds > 0 else {}
    given = {name: hook for name, hook in (host.spec.predictor.server.lifecycle or {}).items() if hook is not None}
    return {"lifecycle": pause | given} if pause or given else {}
