"""Review of unmanaged objects: an update passes, a create passes with one of KServe's marks, else it is refused.

The chart's value `webhook.refuseUnmanaged: false` lets each create pass, for a cluster where another controller runs
such objects.
"""

from __future__ import annotations

from manyserve.plan.management import MARKS, Unmanaged, host_unmanaged, model_unmanaged
from manyserve.plan.rules.field_error import FieldError
from manyserve.webhook.admission_request import AdmissionRequest, Raw
from manyserve.webhook.cache import View
from manyserve.webhook.response import ALLOWED, Decision, allowed, invalid

_LET_IN = "webhook.refuseUnmanaged=false in the chart lets such objects in, for another controller"


def review_unmanaged(request: AdmissionRequest, view: View) -> Decision | None:
    """Return the decision on an object that is unmanaged; None when it is managed."""
    unmanaged = _why_unmanaged(request, request.object)
    if unmanaged is None:
        return None
    if request.old is not None:
        return ALLOWED if _why_unmanaged(request, request.old) else allowed(_becomes_unmanaged(request, unmanaged))
    if unmanaged.reason in MARKS or not view.refuse_unmanaged:
        return ALLOWED
    return invalid([FieldError(unmanaged.path, f"{unmanaged.message}; {_LET_IN}")])


def becomes_managed(request: AdmissionRequest) -> bool:
    """Return whether an update makes a managed object of an unmanaged one, as a migration from KServe does."""
    return request.old is not None and _why_unmanaged(request, request.old) is not None


def _why_unmanaged(request: AdmissionRequest, thing: Raw) -> Unmanaged | None:
    return host_unmanaged(thing) if request.kind == "InferenceService" else model_unmanaged(thing)


def _becomes_unmanaged(request: AdmissionRequest, unmanaged: Unmanaged) -> str:
    return f"manyserve stops acting on this {request.kind}: {unmanaged}"
