"""Sentence of a host with pods that wait for the roll-out of another host.

A problem of the host keeps its reason. The reason `RolloutWaits` replaces a note about the owner of the replicas.
"""

from __future__ import annotations

from manyserve.api.conditions import Condition
from manyserve.api.servingconfig import RolloutConfig
from manyserve.plan.staging import Turn
from manyserve.plan.status.replicas import OTHER_AUTOSCALER, REPLICAS_KEPT, REPLICAS_MANAGED

ROLLOUT_WAITS = "RolloutWaits"
_NOTES = (None, REPLICAS_MANAGED, OTHER_AUTOSCALER, REPLICAS_KEPT)


def with_rollout_wait(predictor: Condition, turn: Turn | None, limits: RolloutConfig, namespace: str) -> Condition:
    """Return the condition `PredictorReady`, with the sentence if the host waits for its turn.

    The sentence names no host of another namespace than its own: its users may not be allowed to know of it.
    """
    if turn is None or turn.after is None:
        return predictor
    unit = "host" if limits.max_hosts == 1 else "hosts"
    other = str(turn.after) if turn.after.namespace == namespace else "a host in another namespace"
    sentence = f"its pods wait for the roll-out of {other}, {limits.max_hosts} {unit} at a time"
    message = f"{predictor.message}; {sentence}" if predictor.message else sentence
    reason = ROLLOUT_WAITS if predictor.reason in _NOTES else predictor.reason
    return predictor.model_copy(update={"reason": reason, "message": message})
