"""From an AdmissionReview and a view to an answer, and nothing else: no clock, no I/O.

Objects out of scope always pass. Other objects that manyserve does not manage come next (`unmanaged_review`): updates
of them pass, creates may not. An update that makes an object managed is judged as a create.

Three things always pass, whatever the rules say: what is being deleted, what keeps its spec (users write labels, the
operator removes owner references), and what was wrong in the same way before. So an object that was
stored before a rule was made stays editable. One thing is refused though the spec stays: a new owner that is not there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from manyserve.webhook.admission_request import AdmissionRequest, BadReviewError, read
from manyserve.webhook.allocations import Allocation
from manyserve.webhook.cache import View
from manyserve.webhook.host_review import review_host
from manyserve.webhook.model_review import review_model
from manyserve.webhook.owner_review import review_owners
from manyserve.webhook.response import ALLOWED, Decision, to_response
from manyserve.webhook.unmanaged_review import becomes_managed, review_unmanaged


@dataclass(frozen=True)
class Outcome:
    """The answer to send, and the memory to reserve for the object with this uid."""

    answer: dict[str, Any]
    kind: str
    allowed: bool
    object_uid: str = ""
    reserve: Allocation | None = None
    reason: str = ""
    """Of a refusal: `Invalid`, `Forbidden` or `BadRequest`."""


def review(body: Any, view: View) -> Outcome:
    """Answer a review. Raises `BadReviewError` when it has no uid to answer to."""
    try:
        request = read(body)
    except BadReviewError as error:
        if error.uid is None:
            raise
        verdict = Decision(allowed=False, message=str(error), code=400, reason="BadRequest")
        return Outcome(to_response(error.uid, verdict), "", allowed=False, reason=verdict.reason)
    verdict = judge(request, view)
    reserve = None if request.dry_run else verdict.reserve
    return Outcome(
        to_response(request.uid, verdict), request.kind, verdict.allowed, request.object_uid, reserve, verdict.reason
    )


def judge(request: AdmissionRequest, view: View) -> Decision:
    """Return the verdict on a request."""
    if request.subresource or _is_leaving(request) or not view.in_scope(request.namespace):
        return ALLOWED
    unmanaged = review_unmanaged(request, view)
    if unmanaged is not None:
        return unmanaged
    owners = review_owners(request, view) if request.kind == "TrainedModel" else None
    if owners is not None:
        return owners
    if becomes_managed(request):  # nothing has judged it before
        request = replace(request, old=None)
    elif _keeps_its_spec(request):
        return ALLOWED
    return review_model(request, view) if request.kind == "TrainedModel" else review_host(request, view)


def _is_leaving(request: AdmissionRequest) -> bool:
    metadata = request.object.get("metadata")
    return isinstance(metadata, dict) and bool(metadata.get("deletionTimestamp"))


def _keeps_its_spec(request: AdmissionRequest) -> bool:
    return request.old is not None and request.old.get("spec") == request.object.get("spec")
