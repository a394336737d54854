"""`status.modelStatus` of a host: whether its pods run the newest spec. KServe 0.8 and newer have this field.

Argo CD's health check of InferenceServices reads it, and a host is Degraded by nothing else. A failure is one of
`_FAILURES`, a late roll-out, or a reason of a container that Argo CD's check of pods takes as one. A refused write of a
child is progress, since the operator repeats it.
"""

from __future__ import annotations

from manyserve.api import conditions
from manyserve.api.conditions import Condition
from manyserve.api.inferenceservice_status import ModelStates, ModelStatus, TransitionStatus
from manyserve.plan.observed import Manifest
from manyserve.plan.status.predictor_ready import APPLY_FAILED, PREDICTOR_NOT_CONFIGURED, SERVER_STUCK
from manyserve.plan.status.rollout import MODEL_FAILS
from manyserve.plan.status.router_ready import ROUTER_NOT_CONFIGURED

_INVALID = frozenset((conditions.INVALID_SPEC, PREDICTOR_NOT_CONFIGURED, ROUTER_NOT_CONFIGURED))
_FAILURES = frozenset((MODEL_FAILS, SERVER_STUCK, "OOMKilled", "InvalidImageName"))
_FIRST, _LAST = "Err", ("Error", "BackOff")
"""Beginning and ends of the reasons of failed containers, such as ErrImagePull and CrashLoopBackOff."""
_TARGETS = {"UpToDate": "Loaded", "InProgress": "Loading"}
_FAILED_TO_LOAD = "FailedToLoad"


def model_status(
    checked: tuple[Condition, ...],
    deployment: Manifest | None,
    before: ModelStatus | None,
    *,
    rolled_out: bool | None,
) -> ModelStatus:
    """Return the host's `modelStatus`; `rolled_out` is None while the desired Deployment is not known yet."""
    if rolled_out is None:
        rolled_out = before is not None and before.transition_status == "UpToDate"
    predictor = conditions.find(checked, conditions.PREDICTOR_READY)
    answers = predictor is not None and predictor.status == "True"
    transition = _transition(checked, deployment, is_new=answers and rolled_out)
    states = ModelStates(
        active_model_state="Loaded" if answers else "", target_model_state=_TARGETS.get(transition, _FAILED_TO_LOAD)
    )
    return ModelStatus(transition_status=transition, states=states)


def _transition(checked: tuple[Condition, ...], deployment: Manifest | None, *, is_new: bool) -> TransitionStatus:
    """Return the state of the newest spec; `is_new` says that the host answers with it."""
    reasons = {each.reason for each in checked if each.reason}
    if reasons & _INVALID:
        return "InvalidSpec"
    if any(map(_is_failure, reasons)) or _is_past_deadline(deployment):
        return "BlockedByFailedLoad"
    return "UpToDate" if is_new and APPLY_FAILED not in reasons else "InProgress"


def _is_failure(reason: str) -> bool:
    return reason in _FAILURES or reason.startswith(_FIRST) or reason.endswith(_LAST)


def _is_past_deadline(deployment: Manifest | None) -> bool:
    """Return whether a Deployment has not progressed within its deadline, whatever a pod of it waits for."""
    given = ((deployment or {}).get("status") or {}).get("conditions") or ()
    return any((each["type"], each["status"]) == ("Progressing", "False") for each in given)
