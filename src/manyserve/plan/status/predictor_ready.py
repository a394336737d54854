"""Condition `PredictorReady` of a host.

The predictor answers while its Deployment is available and the host owns its Service. `CHECKS` finds further problems.
A host that answers despite one stays ready, with the problem in its message. So does a host with a roll-out that does
not come up. A host without a problem in `CHECKS` that does not answer has the message of the pod or of the Deployment.
"""

from __future__ import annotations

from datetime import datetime

from manyserve.api import conditions
from manyserve.api.conditions import INVALID_SPEC, Condition
from manyserve.api.inferenceservice import InferenceService
from manyserve.plan.capacity import not_unloaded_error, predictor_name, stuck_server_error
from manyserve.plan.children.common import belongs_to
from manyserve.plan.children.routing import ROUTING
from manyserve.plan.children.server_container import server_image
from manyserve.plan.children.shards import deployment_of, observed_deployments
from manyserve.plan.children.take_over import pending_message
from manyserve.plan.model_config import AT_MOST
from manyserve.plan.observed import Child, Manifest, Observed
from manyserve.plan.placement import Placement
from manyserve.plan.pods import not_unloaded, stuck_loads
from manyserve.plan.status.pod_problem import Problem
from manyserve.plan.status.replicas import replicas_note, scaled_to_zero
from manyserve.plan.status.rollout import model_problem
from manyserve.plan.status.router_ready import router_image_problem
from manyserve.plan.status.unready_replicas import problem_beside_answers, problem_of_pods, rollout_problem
from manyserve.plan.storage.env import annotated
from manyserve.plan.storage.mounts import secret_problems

APPLY_FAILED = "ApplyFailed"
MODEL_NOT_UNLOADED = "ModelNotUnloaded"
PREDICTOR_NOT_CONFIGURED = "PredictorNotConfigured"
CREDENTIALS_NOT_USABLE = "CredentialsNotUsable"
DEPLOYMENT_PAUSED = "DeploymentPaused"
MODEL_CONFIG_FULL = "ModelConfigFull"
SERVER_STUCK = "ModelServerStuck"


def predictor_ready(host: InferenceService, observed: Observed, placement: Placement, now: datetime) -> Condition:
    """Return the condition `PredictorReady`."""
    answers = _answers(host, observed)
    problem = next(filter(None, (check(host, observed) for check in CHECKS)), None)
    if problem is None and answers:
        problem = _problem_beside_answers(host, observed, placement, now)
    elif problem is None:
        problem = _with_foreign(_availability_problem(host, observed, now), observed)
    reason, message = problem or (None, None)
    status: conditions.Status = "True" if answers else "False"
    return Condition(type=conditions.PREDICTOR_READY, status=status, reason=reason, message=message)


def deployment_is_ready(host: InferenceService, observed: Observed) -> bool:
    """Return whether the host's own Deployment is available and has replicas."""
    deployment = deployment_of(host, observed)
    available = deployment is not None and any(
        each["type"] == "Available" and each["status"] == "True" for each in _conditions(deployment)
    )
    # a Deployment without replicas is Available, too
    return available and _scale_problem(host, observed) is None


def _answers(host: InferenceService, observed: Observed) -> bool:
    return deployment_is_ready(host, observed) and _has_service(host, observed)


def _has_service(host: InferenceService, observed: Observed) -> bool:
    service = observed.child("Service", observed.key.name)
    return service is not None and belongs_to(service, host)


def _spec_problem(_: InferenceService, observed: Observed) -> Problem | None:
    problems = observed.host_problems
    return (INVALID_SPEC, "; ".join(map(str, problems))) if problems else None


def _configuration_problem(host: InferenceService, observed: Observed) -> Problem | None:
    if server_image(host, observed.config) is not None:
        return None
    return PREDICTOR_NOT_CONFIGURED, f"predictors.{predictor_name(host)} is not in inferenceservice-config"


def _apply_problem(_: InferenceService, observed: Observed) -> Problem | None:
    if not observed.failures:
        return None
    child, message = min(observed.failures.items(), key=lambda each: (each[0].kind, each[0].name))
    return APPLY_FAILED, f"{child.kind} {child.name}: {message}"


def _credentials_problem(_: InferenceService, observed: Observed) -> Problem | None:
    problems = (*annotated(observed.account).problems, *secret_problems(observed.account))
    if not problems or observed.account is None:
        return None
    return CREDENTIALS_NOT_USABLE, f"ServiceAccount {observed.account.name}: {'; '.join(problems)}"


def _deployment_problem(host: InferenceService, observed: Observed) -> Problem | None:
    exists = deployment_of(host, observed) is not None
    return None if exists else ("DeploymentNotFound", "the Deployment does not exist yet")


def _service_problem(host: InferenceService, observed: Observed) -> Problem | None:
    exists = _has_service(host, observed) or Child("Service", observed.key.name) in observed.foreign
    return None if exists else ("ServiceNotFound", "the Service does not exist yet")


CHECKS = (
    _spec_problem,
    _configuration_problem,
    router_image_problem,
    _apply_problem,
    _credentials_problem,
    _deployment_problem,
    _service_problem,
)


def _availability_problem(host: InferenceService, observed: Observed, now: datetime) -> Problem:
    return (
        _scale_problem(host, observed)
        or problem_of_pods(observed.pods, now, _shards(host, observed))
        or rollout_problem(deployment_of(host, observed) or {})
        or _pause_problem(host, observed)
        or _replicas_problem(host, observed)
    )


def _shards(host: InferenceService, observed: Observed) -> dict[int, Manifest]:
    """Return the Deployments of the shards of a heterogeneous host; none of a homogeneous one."""
    return observed_deployments(host, observed) if host.spec.predictor.is_heterogeneous else {}


def _with_foreign(problem: Problem, observed: Observed) -> Problem:
    """Return the problem, with a message for the first child that another controller still owns."""
    first = min(observed.foreign, key=lambda each: ROUTING.index(each.kind), default=None)
    return problem if first is None else (problem[0], f"{problem[1]}; {pending_message(first)}")


def _problem_beside_answers(
    host: InferenceService, observed: Observed, placement: Placement, now: datetime
) -> Problem | None:
    deployment = deployment_of(host, observed) or {}
    return (
        model_problem(observed)
        or problem_beside_answers(deployment, observed.pods, now, _shards(host, observed))
        or _pause_problem(host, observed)
        or _stuck_problem(observed)
        or _unload_problem(observed)
        or _config_problem(placement)
        or replicas_note(host, observed, deployment)
    )


def _pause_problem(host: InferenceService, observed: Observed) -> Problem | None:
    """Return the problem of a Deployment that was paused by hand; only a person resumes it."""
    if not _spec(host, observed).get("paused"):
        return None
    return (
        DEPLOYMENT_PAUSED,
        "the Deployment is paused by hand; no change of the pods is rolled out until it is resumed",
    )


def _scale_problem(host: InferenceService, observed: Observed) -> Problem | None:
    """Return the problem of a host scaled to 0 replicas while the operator does not set their number."""
    if _spec(host, observed).get("replicas") != 0:
        return None
    return "ScaledToZero", scaled_to_zero(host, observed, deployment_of(host, observed) or {})


def _stuck_problem(observed: Observed) -> Problem | None:
    """Return the problem of a server that must be restarted, since it does not finish its loads."""
    pods = stuck_loads(observed.replicas)
    return (SERVER_STUCK, stuck_server_error(pods)) if pods else None


def _unload_problem(observed: Observed) -> Problem | None:
    """Return the problem of a server that does not unload removed models."""
    sentences = not_unloaded(observed.replicas)
    return (MODEL_NOT_UNLOADED, not_unloaded_error(sentences)) if sentences else None


def _config_problem(placement: Placement) -> Problem | None:
    if not placement.left_out:
        return None
    count = len(placement.left_out)
    models = "1 model is" if count == 1 else f"{count} models are"
    return MODEL_CONFIG_FULL, f"{models} not placed: models.json holds at most {AT_MOST}"


def _replicas_problem(host: InferenceService, observed: Observed) -> Problem:
    deployment = deployment_of(host, observed) or {}
    ready, desired = (
        (deployment.get("status") or {}).get("readyReplicas", 0),
        _spec(host, observed).get("replicas", 1),
    )
    return "MinimumReplicasUnavailable", f"{ready} of {desired} replicas are ready"


def _spec(host: InferenceService, observed: Observed) -> Manifest:
    return dict((deployment_of(host, observed) or {}).get("spec") or {})


def _conditions(deployment: Manifest) -> list[dict[str, str]]:
    return list((deployment.get("status") or {}).get("conditions") or ())
