"""Owner of the replicas in a host's condition: another autoscaler, another manager, or pods that a fixed host keeps."""

from __future__ import annotations

from manyserve.api.inferenceservice import EXTERNAL, HPA, InferenceService
from manyserve.api.names import AUTOSCALER_CLASSES
from manyserve.plan.children.replicas import ScalingMode, least_replicas, recorded, replica_owners, scaling_mode
from manyserve.plan.observed import Manifest, Observed
from manyserve.plan.status.pod_problem import Problem

REPLICAS_MANAGED = "ReplicasManaged"
"""The annotation gives the replicas another owner; the host works as its user wants."""
OTHER_AUTOSCALER = "OtherAutoscaler"
REPLICAS_KEPT = "ReplicasKept"


def replicas_note(host: InferenceService, observed: Observed, deployment: Manifest) -> Problem | None:
    """Return the reason and the sentence about an owner of the replicas other than the spec, or None."""
    mode = scaling_mode(host, observed.autoscalers)
    if mode in (ScalingMode.EXTERNAL, ScalingMode.NONE):
        return _others_note(host, replica_owners(observed, deployment))
    record = recorded(deployment)
    if mode == ScalingMode.FIXED and record is not None and record.kept is not None:
        return REPLICAS_KEPT, (
            f"{record.kept} replicas run on since the host was scaled by another owner; minReplicas is "
            f"{least_replicas(host)}, and kubectl scale removes the others"
        )
    return None


def scaled_to_zero(host: InferenceService, observed: Observed, deployment: Manifest) -> str:
    """Return the sentence about a Deployment with 0 replicas."""
    if scaling_mode(host, observed.autoscalers) in (ScalingMode.EXTERNAL, ScalingMode.NONE):
        owners = replica_owners(observed, deployment)
        return f"the Deployment is scaled to 0 replicas{_by(owners)}"
    return "the Deployment is scaled to 0 replicas, and no autoscaler scales up from there"


def _others_note(host: InferenceService, owners: tuple[str, ...]) -> Problem | None:
    if not owners:
        return None
    sentence = f"replicas are set{_by(owners)}"
    if host.autoscaler_class != HPA:
        return REPLICAS_MANAGED, sentence
    hint = f"the annotation {AUTOSCALER_CLASSES[0]}: {EXTERNAL} makes that permanent"
    return OTHER_AUTOSCALER, f"{sentence}, and minReplicas and maxReplicas have no effect; {hint}"


def _by(owners: tuple[str, ...]) -> str:
    return f" by {', '.join(owners)}" if owners else ""
