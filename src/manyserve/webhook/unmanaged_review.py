"""Review of unmanaged objects: updates pass, and a create passes only with one of KServe's marks.

With the chart's value `webhook.refuseUnmanaged: false` each create passes, for a cluster where another controller runs
such objects.
"""

from __future__ import annotations

from manyserve.plan.management import MARKS, Unmanaged, host_unmanaged, model_unmanaged
from manyserve.plan.rules.fields import FieldError
from manyserve.webhook.admission_request import AdmissionRequest, Raw
from manyserve.webhook.cache import View
from manyserve.webhook.response import ALLOWED, Decision, allowed, invalid

_HINT = "webhook.refuseUnmanaged=false in the chart lets such objects in, for another controller"


def review_unmanaged(request: AdmissionRequest, view: View) -> Decision | None:
    """Decide on an unmanaged object; None when it is managed."""
    unmanaged = _unmanaged(request, request.object)
    if unmanaged is None:
        return None
    if request.old is not None:
        return ALLOWED if _unmanaged(request, request.old) else allowed(_warning(request, unmanaged))
    if unmanaged.reason in MARKS or not view.refuse_unmanaged:
        return ALLOWED
    return invalid([FieldError(unmanaged.path, f"{unmanaged.message}; {_HINT}")])


def becomes_managed(request: AdmissionRequest) -> bool:
    """Return whether an update turns an unmanaged object into a managed one, as a migration from KServe does."""
    return request.old is not None and _unmanaged(request, request.old) is not None


def _unmanaged(request: AdmissionRequest, raw: Raw) -> Unmanaged | None:
    return host_unmanaged(raw) if request.kind == "InferenceService" else model_unmanaged(raw)


def _warning(request: AdmissionRequest, unmanaged: Unmanaged) -> str:
    return f"manyserve stops acting on this {request.kind}: {unmanaged}"
