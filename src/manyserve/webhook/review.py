"""Review of an AdmissionReview: a pure function of the request and a view, without clock and I/O.

Objects out of scope always pass, and so do objects that are being deleted. Updates of unmanaged objects pass, and a
create passes only with one of KServe's marks. With the chart's value `webhook.refuseUnmanaged: false` each create
passes, for a cluster where another controller runs such objects. An update that makes an object managed is reviewed as
a create.

An update passes without a change of the spec, or of a host's labels and annotations, which its children get. Users
write labels of models, and the operator removes owner references. A new owner reference to an absent host does not
pass. Rules are ratcheting, as the API server's own schema rules are: a violation that
the old object had in the same way passes. So a rule that is newer than an object does not block its user. An unknown
field is the same violation while its value is the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from manyserve.api.inferenceservice import InferenceService
from manyserve.api.kube_model import Whole, unknown_fields
from manyserve.api.trainedmodel import TrainedModel
from manyserve.plan.management import MARKS, Unmanaged, host_unmanaged, model_unmanaged
from manyserve.plan.rules.fields import FieldError
from manyserve.plan.rules.validation import host_problems, model_problems
from manyserve.webhook.admission import (
    ALLOWED,
    AdmissionRequest,
    BadReviewError,
    Decision,
    Raw,
    allowed,
    invalid,
    read,
    to_response,
)
from manyserve.webhook.allocations import Allocation
from manyserve.webhook.cache import View
from manyserve.webhook.host_review import review_host
from manyserve.webhook.model_review import review_model, review_owners
from manyserve.webhook.sizes import MOST_VALUES, has_too_many_values

_KINDS: dict[str, type[Whole]] = {"InferenceService": InferenceService, "TrainedModel": TrainedModel}
_HINT = "webhook.refuseUnmanaged=false in the chart lets such objects in, for another controller"


@dataclass(frozen=True)
class Outcome:
    """The response to send, and the memory to reserve for the object with this uid."""

    response: dict[str, Any]
    kind: str
    allowed: bool
    object_uid: str = ""
    reserve: Allocation | None = None
    reason: str = ""
    """The reason of a refusal: `Invalid`, `Forbidden` or `BadRequest`."""


def review(body: Any, view: View) -> Outcome:
    """Review a parsed body. Raises `BadReviewError` when it has no uid to answer to."""
    try:
        request = read(body)
    except BadReviewError as error:
        if error.uid is None:
            raise
        refusal = Decision(allowed=False, message=str(error), code=400, reason="BadRequest")
        return Outcome(to_response(error.uid, refusal), "", allowed=False, reason=refusal.reason)
    decision = decide(request, view)
    reserve = None if request.dry_run else decision.reserve
    response = to_response(request.uid, decision)
    return Outcome(response, request.kind, decision.allowed, request.object_uid, reserve, decision.reason)


def decide(request: AdmissionRequest, view: View) -> Decision:
    """Return the decision on a request."""
    if request.subresource or _is_being_deleted(request) or not view.in_scope(request.namespace):
        return ALLOWED
    unmanaged = review_unmanaged(request, view)
    if unmanaged is not None:
        return unmanaged
    owners = review_owners(request, view) if request.kind == "TrainedModel" else None
    if owners is not None:
        return owners
    if becomes_managed(request):  # the old form was never reviewed
        request = replace(request, old=None)
    elif request.old is not None and _reviewed(request.kind, request.old) == _reviewed(request.kind, request.object):
        return ALLOWED
    return _review_spec(request, view)


def _review_spec(request: AdmissionRequest, view: View) -> Decision:
    """Decide by the rules of the kind first, and then by the other objects."""
    if _is_too_large(request.object):
        sentence = f"has too many values; it and the metadata must have at most {MOST_VALUES}"
        return invalid([FieldError("spec", sentence)])
    if request.old is not None and _is_too_large(request.old):  # it was stored before this bound
        request = replace(request, old=None)
    is_model = request.kind == "TrainedModel"
    rules = partial(model_problems, https=view.config.credentials.https) if is_model else host_problems
    violations = _new_violations(rules, request)
    if violations:
        return invalid(violations)
    return review_model(request, view) if is_model else review_host(request, view)


def _new_violations(rules: Callable[[Raw], list[FieldError]], request: AdmissionRequest) -> list[FieldError]:
    """Return the violations of the object that the old object did not have."""
    violations = rules(request.object)
    if not violations or request.old is None:
        return violations
    before = set(rules(request.old))
    changed = _changed_unknown_fields(_KINDS[request.kind], request.object, request.old)
    return [each for each in violations if each not in before or each.path in changed]


def _changed_unknown_fields(kind: type[Whole], new: Raw, old: Raw) -> set[str]:
    """Return the paths of the unknown fields with a new value."""
    before = dict(unknown_fields(kind, old.get("spec")))
    return {path for path, value in unknown_fields(kind, new.get("spec")) if before.get(path) != value}


def _reviewed(kind: str, raw: Raw) -> tuple[Any, ...]:
    """Return the parts of an object that are reviewed: the spec, and the labels and annotations of a host."""
    metadata = raw.get("metadata")
    if kind != "InferenceService" or not isinstance(metadata, dict):
        return (raw.get("spec"),)
    return raw.get("spec"), metadata.get("labels"), metadata.get("annotations")


def _is_too_large(raw: Raw) -> bool:
    metadata = raw.get("metadata")
    fields = ("labels", "annotations", "ownerReferences")
    written = (metadata.get(field) for field in fields) if isinstance(metadata, dict) else ()
    return has_too_many_values(raw.get("spec"), *written)


def _is_being_deleted(request: AdmissionRequest) -> bool:
    metadata = request.object.get("metadata")
    return isinstance(metadata, dict) and bool(metadata.get("deletionTimestamp"))


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
