"""Status of a host for which no plan can be made: a defect of the operator, with an ID that its log has, too.

The conditions keep their statuses, since the host and its models may answer on. Only their reason and message change.
"""

from __future__ import annotations

from datetime import datetime

from manyserve.api import conditions
from manyserve.api.conditions import Condition
from manyserve.api.inferenceservice import InferenceService
from manyserve.api.inferenceservice_status import InferenceServiceStatus

INTERNAL_ERROR = "InternalError"


def internal_error(identifier: str) -> str:
    """Return the name of a defect, for the log and the status."""
    return f"internal error {identifier}"


def internal_error_status(host: InferenceService, identifier: str, now: datetime) -> InferenceServiceStatus:
    """Return the host's status with the defect in `PredictorReady` and `Ready`."""
    shown = (conditions.PREDICTOR_READY, conditions.READY)
    message = (
        f"{internal_error(identifier)}: the operator cannot plan for this host, changes nothing of it and tries again; "
        "its log has the cause under this ID"
    )
    old = host.status.conditions
    new = [
        Condition(type=kind, status=_status(host, kind), reason=INTERNAL_ERROR, message=message) for kind in shown
    ] + [each for each in old if each.type not in shown]
    return host.status.model_copy(update={"conditions": conditions.merge_conditions(old, new, now)})


def _status(host: InferenceService, kind: str) -> conditions.Status:
    before = conditions.find(host.status.conditions, kind)
    return conditions.known_status(before.status) if before else "Unknown"
