"""Whether a host's predictor answers, and in one sentence why not or what else is wrong.

It answers while its Deployment is available and its Service is its own. The list of checks is what can be
wrong besides; a host that answers all the same stays ready and carries the sentence. One that does not says
why in the pod's or the Deployment's own words.
"""

from __future__ import annotations

from manyserve.api import conditions, names
from manyserve.api.conditions import INVALID_SPEC, Condition
from manyserve.api.inferenceservice import InferenceService
from manyserve.plan.capacity import predictor_name
from manyserve.plan.children.common import belongs_to
from manyserve.plan.children.server_container import server_image
from manyserve.plan.children.take_over import ROUTING, why_not_yet
from manyserve.plan.model_config import AT_MOST
from manyserve.plan.observed import Child, Manifest, Observed
from manyserve.plan.placement import Placement
from manyserve.plan.pods import pod_problem
from manyserve.plan.storage.env import annotated
from manyserve.plan.storage.secrets import secret_problems

Trouble = tuple[str, str]
"""A reason and a sentence."""


def predictor_ready(host: InferenceService, observed: Observed, placement: Placement) -> Condition:
    """Return the condition `PredictorReady`."""
    answers = _answers(host, observed)
    trouble = next(filter(None, (check(host, observed) for check in CHECKS)), None)
    if trouble is None and answers:
        trouble = _stuck(host, observed) or _paused(host, observed) or _full(placement)
    elif trouble is None:
        trouble = _with_foreign(_why_not_available(host, observed), observed)
    reason, message = trouble or (None, None)
    status: conditions.Status = "True" if answers else "False"
    return Condition(type=conditions.PREDICTOR_READY, status=status, reason=reason, message=message)


def deployment_is_ready(host: InferenceService, observed: Observed) -> bool:
    """Return whether the host's own Deployment has the replicas that answer."""
    deployment = _deployment(host, observed)
    available = deployment is not None and any(
        each["type"] == "Available" and each["status"] == "True" for each in _said(deployment)
    )
    # a Deployment with no replicas is Available, too
    return available and _scaled_to_zero(host, observed) is None


def _answers(host: InferenceService, observed: Observed) -> bool:
    return deployment_is_ready(host, observed) and _has_service(host, observed)


def _has_service(host: InferenceService, observed: Observed) -> bool:
    found = observed.child("Service", observed.key.name)
    return found is not None and belongs_to(found, host)


def _spec_is_valid(_: InferenceService, observed: Observed) -> Trouble | None:
    problems = observed.host_problems
    return (INVALID_SPEC, "; ".join(map(str, problems))) if problems else None


def _server_is_configured(host: InferenceService, observed: Observed) -> Trouble | None:
    if server_image(host, observed.config) is not None:
        return None
    return "PredictorNotConfigured", f"predictors.{predictor_name(host)} is not in inferenceservice-config"


def _nothing_was_refused(_: InferenceService, observed: Observed) -> Trouble | None:
    if not observed.failures:
        return None
    child, said = min(observed.failures.items(), key=lambda each: (each[0].kind, each[0].name))
    return "ApplyFailed", f"{child.kind} {child.name}: {said}"


def _stores_are_understood(_: InferenceService, observed: Observed) -> Trouble | None:
    problems = (*annotated(observed.account).problems, *secret_problems(observed.account))
    if not problems or observed.account is None:
        return None
    return "CredentialsNotUsable", f"ServiceAccount {observed.account.name}: {'; '.join(problems)}"


def _deployment_is_there(host: InferenceService, observed: Observed) -> Trouble | None:
    there = _deployment(host, observed) is not None
    return None if there else ("DeploymentNotFound", "the Deployment does not exist yet")


def _service_is_there(host: InferenceService, observed: Observed) -> Trouble | None:
    there = _has_service(host, observed) or Child("Service", observed.key.name) in observed.foreign
    return None if there else ("ServiceNotFound", "the Service does not exist yet")


CHECKS = (
    _spec_is_valid,
    _server_is_configured,
    _nothing_was_refused,
    _stores_are_understood,
    _deployment_is_there,
    _service_is_there,
)


def _why_not_available(host: InferenceService, observed: Observed) -> Trouble:
    return (
        _scaled_to_zero(host, observed)
        or pod_problem(observed.pods)
        or _stuck(host, observed)
        or _paused(host, observed)
        or _waiting(host, observed)
    )


def _with_foreign(trouble: Trouble, observed: Observed) -> Trouble:
    """Return the trouble with a sentence about a child that is another controller's while it lasts."""
    first = min(observed.foreign, key=lambda each: ROUTING.index(each.kind), default=None)
    return trouble if first is None else (trouble[0], f"{trouble[1]}; {why_not_yet(first)}")


def _stuck(host: InferenceService, observed: Observed) -> Trouble | None:
    """Return what the Deployment says when it cannot make its pods or does not get on."""
    deployment = _deployment(host, observed) or {}
    for kind, bad in (("ReplicaFailure", "True"), ("Progressing", "False")):
        for each in _said(deployment):
            if each["type"] == kind and each["status"] == bad:
                return each.get("reason") or kind, each.get("message") or "the Deployment does not get on"
    return None


def _paused(host: InferenceService, observed: Observed) -> Trouble | None:
    """Return that somebody stopped the rollout: it is theirs to go on, and nothing else would say why nothing moves."""
    if not _spec(host, observed).get("paused"):
        return None
    return (
        "DeploymentPaused",
        "the Deployment is paused by hand; no change of the pods is rolled out until it is resumed",
    )


def _scaled_to_zero(host: InferenceService, observed: Observed) -> Trouble | None:
    """Return that nothing runs, where the number of replicas is not ours to put back."""
    if _spec(host, observed).get("replicas") != 0:
        return None
    return "ScaledToZero", "the Deployment is scaled to 0 replicas, and no autoscaler scales up from there"


def _full(placement: Placement) -> Trouble | None:
    if not placement.left_out:
        return None
    count = len(placement.left_out)
    models = "1 model is" if count == 1 else f"{count} models are"
    return "ModelConfigFull", f"{models} not placed: models.json holds at most {AT_MOST}"


def _waiting(host: InferenceService, observed: Observed) -> Trouble:
    deployment = _deployment(host, observed) or {}
    ready, wanted = (
        (deployment.get("status") or {}).get("readyReplicas", 0),
        _spec(host, observed).get("replicas", 1),
    )
    return "MinimumReplicasUnavailable", f"{ready} of {wanted} replicas are ready"


def _deployment(host: InferenceService, observed: Observed) -> Manifest | None:
    """Return the host's own Deployment, not an earlier host's of the same name."""
    found = observed.child("Deployment", names.deployment(observed.key.name))
    return found if found is not None and belongs_to(found, host) else None


def _spec(host: InferenceService, observed: Observed) -> Manifest:
    return dict((_deployment(host, observed) or {}).get("spec") or {})


def _said(deployment: Manifest) -> list[dict[str, str]]:
    return list((deployment.get("status") or {}).get("conditions") or ())
